"""Experiments: their results in Git, the statistics of comparing them, and the search for better ones."""
