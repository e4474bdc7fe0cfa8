"""How a stage runs and fails, and how it reads parameters and writes files. Knows nothing of digits."""
