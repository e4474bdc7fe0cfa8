"""The networks, the classifier and its file, and the ONNX model."""
