"""The pictures in plots/."""
