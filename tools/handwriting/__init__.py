"""The exported model, which recognises the digits on pictures, and the page to draw on."""

import sys

from foundation.command import ROOT, require

require("cv2", "numpy", "onnxruntime", "PIL")
# For digits.pictures: what the model sees has to be made from a picture as it is for training.
sys.path.append(str(ROOT / "stages"))
