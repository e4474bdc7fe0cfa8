"""The networks, the classifier and its file, and the arithmetic that makes them reproducible."""
