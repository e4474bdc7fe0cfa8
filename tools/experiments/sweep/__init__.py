"""The experiments of a sweep, and the figure of their errors."""
