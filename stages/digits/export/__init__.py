"""The trained model for use without PyTorch, and the card that describes it. Used by export alone."""
