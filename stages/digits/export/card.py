"""The model card: what a model is, what it was trained on, how good it is, and what not to expect of it.

Source of the idea and of its parts: M. Mitchell et al., Model cards for model reporting (2019).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from digits.dataset import Summary
from digits.export.inputs import Prediction
from digits.known_datasets import OWN_SOURCE, PUBLISHED
from digits.models.model_file import ModelInfo

CONFUSIONS = 5  # that the card names
HELD_OUT = """
On {metrics[drawings_images]:,} drawings of the user's own that it was not trained on: \
{metrics[drawings_accuracy]:.2%} (95 % interval {metrics[drawings_accuracy_low]:.2%} to \
{metrics[drawings_accuracy_high]:.2%})."""
LIMITS = {
    "strokes": """\
The model answers to every image of 28 x 28 pixels with one of its classes, whatever it shows. `tools/predict.py` and
the page of `make draw`, which find what is written on a picture and bring it to that form, refuse empty pictures, blobs
and several shapes where one is asked for.
{others}
Turned, thick and noisy writing is recognised less well: docs/your-own-pictures.md of the project has tables.""",
    "whole": """\
The model answers to every picture with one of its classes, whatever it shows. It sees 28 x 28 gray pixels: what cannot
be told apart at that size, or only by its colour, is not. Pictures that were taken in another way than the training
pictures are recognised less well; by how much has not been measured.""",
}
OTHERS = {
    False: "They do not refuse what is not among the classes: a model of digits takes a letter for a digit.",
    True: """\
The model was also taught that printed letters (in the DejaVu fonts) are not digits. The tools refuse an image whose
largest logit is below `least_logit` of the metrics, which is so for at most 0.2 % of the validation images. Letters in
other writing, and shapes that are not letters, may still be taken for digits.""",
}
TEMPLATE = Path(__file__).with_name("card.md")


def model_card(
    info: ModelInfo,
    summary: Summary,
    digest: str,
    parameters: int,
    metrics: Mapping[str, Any],
    predictions: Sequence[Prediction],
    params: Mapping[str, Any],
) -> str:
    """The card as Markdown.

    The `digest` is the SHA-256 of the file of the training images, in hexadecimal; metrics and predictions are those of
    evaluate, and `params` sections of params.yaml, as they are.
    """
    about = info.dataset
    return TEMPLATE.read_text(encoding="utf-8").format(
        info=info,
        summary=summary,
        metrics=metrics,
        classes=len(about.classes),
        names=", ".join(about.classes),
        parameters=parameters,
        taught=f" {summary.drawings:,} of them are the user's own drawings." if summary.drawings else "",
        digest=digest,
        source=PUBLISHED[about.name].source if about.name in PUBLISHED else OWN_SOURCE,
        held_out=HELD_OUT.format(metrics=metrics) if "drawings_accuracy" in metrics else "",
        confusions=frequent_confusions(predictions),
        confidence=sum(row.confidence for row in predictions) / len(predictions),
        limits=LIMITS[about.pictures].format(others=OTHERS["least_logit" in metrics]),
        params=yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True),
    )


def frequent_confusions(predictions: Sequence[Prediction]) -> str:
    """The most frequent errors, as a sentence."""
    pairs = Counter((row.actual, row.predicted) for row in predictions if row.actual != row.predicted)
    if not pairs:
        return "It makes no error on them."
    most = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]
    listed = ", ".join(f"{actual} for {predicted} ({n:,})" for (actual, predicted), n in most)
    return f"It most often mistakes {listed}."
