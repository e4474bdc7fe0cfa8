"""How good a classifier is, what it confuses, and what it looks at."""
