"""Experiments: what Git has of them, what their results show, and the search for better ones."""
