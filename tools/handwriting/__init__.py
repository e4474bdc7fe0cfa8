"""Pictures of handwriting, from files or from the page, and the exported model that recognises their digits."""

from foundation.command import require

require("numpy", "onnxruntime", "PIL")
