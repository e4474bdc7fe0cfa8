"""The figures in plots/."""
