"""Running DVC experiments, without waiting for DVC and the stages to start."""
