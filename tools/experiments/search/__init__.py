"""Searching for parameters with Optuna, each trial a DVC experiment."""
