"""How a stage runs, fails, reads parameters and writes files. Knows nothing about digits; used by every stage."""
