"""What a trained model answers to images, and how good its answers are."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from digits.dataset import Dataset
from digits.foundation.stage import UserError
from digits.models.exact import softmax
from digits.models.model_file import Model
from digits.models.portable_arithmetic import use_portable_arithmetic
from digits.models.softmax_regression import SoftmaxRegression
from digits.scoring import loss_and_accuracy, score

REFUSED = 0.002  # share of the validation images that may count as none of the classes


class Scorer(Protocol):
    """A way to compute logits and their slopes."""

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Logits, float32 (N, classes), of images, uint8 (N, 28, 28)."""

    def slope(self, images: np.ndarray, label: int) -> np.ndarray:
        """What `mean_saliency` asks for."""


@dataclass(frozen=True)
class Answers:
    """A model's answers to labelled images."""

    logits: np.ndarray  # float32 (N, classes)
    actual: np.ndarray  # int64 (N,), like `predicted`
    predicted: np.ndarray
    confidence: np.ndarray  # float64 (N,), the probability given to the predicted class

    def metrics(self) -> dict[str, Any]:
        """Accuracy with its 95 % interval, the number of errors, the mean cross-entropy, and the number of images."""
        loss, accuracy = loss_and_accuracy(self.logits, self.actual)
        found = score(round(accuracy * len(self.actual)), len(self.actual))
        images = found.pop("images")
        return found | {"loss": loss, "images": images}


def choose_scorer(model: Model, batch_size: int) -> Scorer:
    """NumPy for softmax regression; for the other models PyTorch, `batch_size` images at a time."""
    if model.info.architecture == "logistic":
        weight, bias, mean, std = (model.tensors[name] for name in ("layers.1.weight", "layers.1.bias", "mean", "std"))
        return SoftmaxRegression(weight, bias, mean.item(), std.item())
    use_portable_arithmetic()
    from digits.evaluation.network import Network  # here, since it loads PyTorch, which takes seconds

    return Network(model, batch_size)


def answer(scorer: Scorer, dataset: Dataset) -> Answers:
    """The answers to the images of a data set."""
    logits = scorer.predict(dataset.images)
    _, _, totals = softmax(np.ascontiguousarray(logits.T, dtype=np.float64))
    return Answers(logits, dataset.labels, logits.argmax(axis=1), 1 / totals)  # the largest exponential is 1


def least_logit(logits: np.ndarray) -> float:
    """What the largest logit of an image must reach to count as one of the classes.

    At most `REFUSED` of the validation images, which have these logits, float32 (N, classes), N > 0, do not reach it.
    """
    return float(np.sort(logits.max(axis=1))[int(REFUSED * len(logits))])


def check_finite(*values: np.ndarray | float) -> None:
    """Raise a `UserError` if logits, a loss or gradients are not finite, because the model's weights are too large."""
    if not all(np.isfinite(each).all() for each in values):
        raise UserError(
            "models/model.safetensors: its weights are too large, got logits, a loss or gradients that are not finite; "
            "lower train.lr and run `dvc repro`"
        )
