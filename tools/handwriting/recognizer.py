"""The exported model. It needs no PyTorch."""

from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field, Json, ValidationError

from command import ROOT
from digits.dataset import Classes, Name, Pictures
from digits.export.runtime import ONNX_ERRORS, open_session, run_session
from digits.foundation.params import first_problem, printable
from digits.foundation.stage import UserError
from digits.known_datasets import PUBLISHED
from digits.pictures.conversion import CONVERSIONS

MODEL = ROOT / "models/model.onnx"
UNKNOWN = "it does not look like anything the model knows"
Share = Annotated[float, Field(ge=0, le=1)]


class Metrics(BaseModel):
    """The accuracy on the test images, its 95 % interval, their number, and the limit for the largest logit."""

    accuracy: Share
    accuracy_low: Share
    accuracy_high: Share
    images: Annotated[int, Field(ge=1, le=10**9)]
    least_logit: Annotated[float, Field(allow_inf_nan=False)] = -np.inf  # an image below it is none of the classes


class About(BaseModel):
    """What a model file says of itself."""

    architecture: Annotated[str, Field(pattern=r"^[ -~]{1,100}$")]
    dataset: Name
    classes: Json[Classes]
    pictures: Pictures
    metrics: Json[Metrics]


class Recognizer:
    """A model that `stages/export.py` wrote, with the attributes of `About`.

    Raises a `UserError` if the file is missing, damaged, or holds something else.
    """

    def __init__(self, path: Path = MODEL) -> None:
        try:
            self._session = open_session(path.read_bytes())
            about = About.model_validate(self._session.get_modelmeta().custom_metadata_map)
            self.architecture, self.dataset, self.classes = about.architecture, about.dataset, about.classes
            self.pictures, self.metrics = about.pictures, about.metrics
            for count in (1, 2):
                blank = np.zeros((count, 28, 28), np.uint8)
                for name, found in (("logits", self.logits(blank)), ("probabilities", self.probabilities(blank))):
                    if found.dtype != np.float32 or found.shape != (count, len(self.classes)):
                        raise ValueError(f"{name} {found.dtype} {found.shape} for {count} images")
                if not ((found >= 0).all() and np.allclose(found.sum(axis=1), 1, atol=1e-3)):
                    raise ValueError(f"probabilities with sums {found.sum(axis=1).tolist()}")
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; `dvc repro` makes models/model.onnx")
        except ONNX_ERRORS as error:
            problem = first_problem(error) if isinstance(error, ValidationError) else str(error).partition("\n")[0]
            advice = "`dvc checkout --force` restores that" if path.resolve() == MODEL else f"take {MODEL}"
            raise UserError(f"{path}: must be a model that `dvc repro` made, got {printable(problem)}; {advice}")

    def convert(self, picture: Image.Image) -> NDArray[np.uint8]:
        """A picture as an image like those that the model was trained on, uint8 (28, 28).

        Raises a `NoDigitError` if it must show one digit, or another thing that is drawn or written, and does not.
        """
        return CONVERSIONS[self.pictures](picture)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The probability of each class, float32 (N, classes), for images from `convert`, uint8 (N, 28, 28)."""
        return run_session(self._session, ["probabilities"], images)[0]

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The logit of each class, float32 (N, classes), for images from `convert`, uint8 (N, 28, 28)."""
        return run_session(self._session, ["logits"], images)[0]

    def knows(self, images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Whether images look like one of the classes, bool (N,); to a model that was taught no others, all do."""
        return np.asarray(self.logits(images).max(axis=1) >= self.metrics.least_logit)

    def by_class(self, image: NDArray[np.uint8]) -> dict[str, float] | None:
        """The probability of each class, by name, for an image from `convert`, uint8 (28, 28); None if unlike all."""
        logits, probabilities = run_session(self._session, ["logits", "probabilities"], image[None])
        if logits.max() < self.metrics.least_logit:
            return None
        return dict(zip(self.classes, probabilities[0].tolist(), strict=True))

    def introduction(self) -> str:
        """Which model it is, its test accuracy, and, for a linear one of a known data set, a far better recipe."""
        found, better = self.metrics, ""
        if self.architecture == "logistic" and self.dataset in PUBLISHED:
            better = "\nThis is the linear model; `make cnn` trains a far better one."
        return (
            f"{self.architecture}, trained on {self.dataset}: {found.accuracy:.2%} of {found.images:,} test images "
            f"correct\n(95 % interval {found.accuracy_low:.2%} to {found.accuracy_high:.2%}){better}"
        )
