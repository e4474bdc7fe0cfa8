"""Pictures of handwriting, and how they become images like those of MNIST; also for the tools that recognise digits."""
