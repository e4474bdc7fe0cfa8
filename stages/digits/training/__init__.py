"""Training: the loop and what it calls, used by train alone."""
