"""The model card: what a model is, what it was trained on, how good it is, and what not to expect of it.

Source of the idea and of its parts: M. Mitchell et al., Model cards for model reporting (2019).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from digits.data.dataset import Summary
from digits.models.model_file import ModelInfo

import yaml

CONFUSIONS = 5  # that the card names
SOURCES = {
    "mnist": "Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits; CC BY-SA 3.0",
    "fashion-mnist": "H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST (2017); MIT licence",
    "kmnist": "T. Clanuwat et al., Deep learning for classical Japanese literature (2018); CC BY-SA 4.0",
    "optdigits": "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (1998); CC BY 4.0",
    "folder": "pictures of whoever trained the model; ask them for the licence",
}
LIMITS = {
    "strokes": """\
The model answers to every image of 28 x 28 pixels with one of its classes, whatever it shows. `tools/predict.py` and
the page of `make draw`, which find what is written on a picture and bring it to that form, refuse empty pictures, blobs
and several shapes where one is asked for. They do not refuse what is not among the classes: a model of digits takes a
letter for a digit. Turned, thick and noisy writing is recognised less well: docs/your-own-pictures.md of the project
has a table, by model.""",
    "whole": """\
The model answers to every picture with one of its classes, whatever it shows. It sees 28 x 28 gray pixels: what cannot
be told apart at that size, or only by its colour, is not. Pictures that were taken in another way than the training
pictures are recognised less well; by how much has not been measured.""",
}
CARD = """\
# {architecture}, trained on {dataset}

A classifier of 28 x 28 gray images with {parameters:,} parameters: pixels in [0, 1] in, logits and probabilities out.
It is meant for learning, teaching and comparing methods. No decision about a person should depend on it.

Its {classes} classes: {names}.

## Trained on

{train:,} images; {val:,} others judged its parameters.{drawings}
The file of the training images has the SHA-256 {digest}.
Source: {source}.

## How good it is

On {images:,} test images that chose nothing: {accuracy:.2%} right (95 % interval {low:.2%} to {high:.2%}).{own}
{confusions}
Its confidence is {confidence:.1%} on average; the expected calibration error is {ece:.3f}.

## Limits

{limits}

## Licence

The code is under the MIT licence. For the data see their source above.

## Make it again

In a clone of the project, with these parameters in params.yaml, `dvc repro` trains it:

```yaml
{params}```
"""


class Answers(NamedTuple):
    """What evaluate predicted for each test image.

    Attributes:
        actual, predicted: names of classes.
        confidence: in [0, 1], one for each image.
    """

    actual: Sequence[str]
    predicted: Sequence[str]
    confidence: Sequence[float]


def model_card(
    info: ModelInfo,
    summary: Summary,
    digest: str,
    parameters: int,
    metrics: Mapping[str, Any],
    answers: Answers,
    params: Mapping[str, Any],
) -> str:
    """The card as Markdown.

    Args:
        digest: SHA-256 of the file of the training images, in hexadecimal.
        parameters: their number.
        metrics: of metrics/test.json.
        params: sections of params.yaml, as they are.
    """
    about = info.dataset
    return CARD.format(
        architecture=info.architecture,
        dataset=about.name,
        classes=len(about.classes),
        names=", ".join(about.classes),
        parameters=parameters,
        train=summary.train,
        val=summary.val,
        drawings=f" {summary.drawings:,} of them are the user's own drawings." if summary.drawings else "",
        digest=digest,
        source=SOURCES[about.name],
        images=metrics["images"],
        accuracy=metrics["accuracy"],
        low=metrics["accuracy_low"],
        high=metrics["accuracy_high"],
        own=own_drawings(metrics),
        confusions=frequent_confusions(answers),
        confidence=sum(answers.confidence) / len(answers.confidence),
        ece=metrics["ece"],
        limits=LIMITS[about.pictures],
        params=yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True),
    )


def own_drawings(metrics: Mapping[str, Any]) -> str:
    """The accuracy on the user's own drawings that are never trained on, if there are any."""
    if "drawings_accuracy" not in metrics:
        return ""
    return (
        f"\nOn {metrics['drawings_images']:,} drawings of the user's own that it was not trained on: "
        f"{metrics['drawings_accuracy']:.2%} (95 % interval {metrics['drawings_accuracy_low']:.2%} to "
        f"{metrics['drawings_accuracy_high']:.2%})."
    )


def frequent_confusions(answers: Answers) -> str:
    """The most frequent errors, as a sentence."""
    pairs = Counter(pair for pair in zip(answers.actual, answers.predicted, strict=True) if pair[0] != pair[1])
    if not pairs:
        return "It makes no error on them."
    most = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]
    listed = ", ".join(f"{actual} for {predicted} ({n:,})" for (actual, predicted), n in most)
    return f"It mistakes most often {listed}."
