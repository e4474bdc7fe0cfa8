"""How a command starts, fails and ends, and how it reads this repository."""
