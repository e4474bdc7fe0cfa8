"""Pictures of handwriting, from a file or from the page, and what the exported model takes them for."""

from foundation.command import require

require("numpy", "onnxruntime", "PIL")
