"""The exported model, which needs ONNX Runtime, NumPy, OpenCV and Pillow."""

import json
import sys
from pathlib import Path

from digits.pictures.conversion import CONVERSIONS
from foundation.command import ROOT

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

MODEL = ROOT / "models/model.onnx"


class Recognizer:
    """A model that `stages/export.py` wrote.

    Args:
        path: the ONNX file.

    Raises:
        SystemExit: the file is missing, damaged, or holds something else.
    """

    def __init__(self, path: Path = MODEL) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # more are slower for such a small network
        try:
            self._session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
            about = self._session.get_modelmeta().custom_metadata_map
            self.architecture, self.dataset = about["architecture"], about["dataset"]
            self.classes: list[str] = json.loads(about["classes"])
            self.pictures = about["pictures"]
            self._convert = CONVERSIONS[self.pictures]
            metrics = json.loads(about["metrics"])
            self.accuracy, self.low, self.high = (float(metrics[f"accuracy{end}"]) for end in ("", "_low", "_high"))
            self.images = int(metrics["images"])
            probabilities = self.probabilities(np.zeros((1, 28, 28), np.uint8))
            if not np.isfinite(probabilities).all():
                raise ValueError("its weights are damaged")
            # Drawings are saved in folders of these names.
            if len(self.classes) != probabilities.size or any("/" in name or name[0] == "." for name in self.classes):
                raise ValueError("its classes are damaged")
        except OSError as error:
            sys.exit(f"error: {path}: {error.strerror}; `dvc repro` makes models/model.onnx")
        except Exception:  # ONNX Runtime raises a dozen unrelated classes
            sys.exit(f"error: {path}: is not a model that `dvc repro` made; `dvc checkout --force` restores that")

    def convert(self, picture: Image.Image) -> NDArray[np.uint8]:
        """A picture as an image like those that the model was trained on, uint8 (28, 28).

        Raises:
            NoDigitError: it has to show one digit, or another thing that is drawn or written, and does not.
        """
        return self._convert(picture)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The probability of each class, float32 (N, classes), for images from `convert`, uint8 (N, 28, 28)."""
        pixels = images[:, None].astype(np.float32) / 255
        result: NDArray[np.float32] = self._session.run(["probabilities"], {"pixels": pixels})[0]
        return result

    def by_class(self, image: NDArray[np.uint8]) -> dict[str, float]:
        """The probability of each class, by name, for an image from `convert`, uint8 (28, 28)."""
        return dict(zip(self.classes, self.probabilities(image[None])[0].tolist(), strict=True))

    def introduction(self) -> str:
        """Which model it is, its test accuracy, and, for a linear one of a known data set, a far better recipe."""
        trained = f"{self.architecture}, trained on {self.dataset}"
        lines = [
            f"{trained}: {self.accuracy:.2%} of {self.images:,} test images right",
            f"(95 % interval {self.low:.2%} to {self.high:.2%})",
        ]
        if self.architecture == "logistic" and self.dataset != "folder":
            lines.append("This is the linear model; `make cnn` trains a far better one.")
        return "\n".join(lines)
