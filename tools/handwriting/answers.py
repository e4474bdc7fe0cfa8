"""The model's answers to pictures in files, and how they read in a terminal."""

import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits.foundation.files import replacing
from digits.foundation.params import printable
from digits.pictures.files import NoPictureError, read_picture
from digits.pictures.ink import NoDigitError, SeveralDigitsError
from digits.pictures.mnist_format import find_digits
from digits.scoring import score
from handwriting.recognizer import Recognizer
from tables import table

STANDARD_INPUT = Path("-")
LISTED = 20  # wrong answers that the text of an evaluation lists


def answer_one(recognizer: Recognizer, path: Path, seen: Path | None = None, advice: str = "") -> dict[str, Any]:
    """The model's answer to the picture in a file, or on standard input for the path `-`.

    Args:
        seen: a folder to which to write what the model sees.
        advice: what to do with a picture that shows several digits.

    Returns:
        `file`, and `problem`, or what `classified` gives.
    """
    try:
        image = recognizer.convert(picture(path))
    except (NoPictureError, NoDigitError) as error:
        return {"file": str(path), "problem": f"{error}{advice if isinstance(error, SeveralDigitsError) else ''}"}
    save_seen(image, seen, path)
    return {"file": str(path), **classified(recognizer, image)}


def answer_all(recognizer: Recognizer, path: Path, seen: Path | None = None) -> dict[str, Any]:
    """The model's answers to all digits on the picture in a file, or on standard input for the path `-`.

    Returns:
        `file`, and `problem`, or `number`, a text, and `digits`, each with what `classified` gives and its `box`: left,
        top, right and bottom, as fractions of the picture's width and height.
    """
    try:
        found = find_digits(picture(path))
    except (NoPictureError, NoDigitError) as error:
        return {"file": str(path), "problem": str(error)}
    for number, digit in enumerate(found, start=1):
        save_seen(digit.image, seen, path, f"-{number}")
    digits = [{**classified(recognizer, digit.image), "box": digit.box} for digit in found]
    return {"file": str(path), "number": "".join(each["class"] for each in digits), "digits": digits}


def evaluate(recognizer: Recognizer, known: Iterable[tuple[str, Path]], seen: Path | None = None) -> dict[str, Any]:
    """Score pictures, each with its class; one without an answer counts as an error.

    Returns:
        What `digits.scoring.score` gives, `unanswered`, their number, `classes`, the counts by class, and `wrong`, the
        answers that are not `actual`.
    """
    answers = [{"actual": name, **answer_one(recognizer, path, seen)} for name, path in known]
    wrong = [each for each in answers if each.get("class") != each["actual"]]
    images, errors = ([each["actual"] for each in some] for some in (answers, wrong))
    return {
        **score(len(answers) - len(wrong), len(answers)),
        "unanswered": sum("problem" in each for each in wrong),
        "classes": [
            {"class": name, "images": images.count(name), "errors": errors.count(name)}
            for name in dict.fromkeys(images)
        ],
        "wrong": wrong,
    }


def find_pictures(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among `paths`, and the picture files, by their endings, in folders among them, but no hidden ones."""
    for path in paths:
        if path.is_dir():
            # Only for folders, since it loads every format's reader.
            endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
            endings |= {".heic", ".heif"}
            files = (file for file in sorted(path.rglob("*")) if file.suffix.lower() in endings and file.is_file())
            yield from (file for file in files if not any(part[0] == "." for part in file.relative_to(path).parts))
        else:
            yield path


def picture(path: Path) -> Image.Image:
    """The picture in a file, or on standard input for the path `-`.

    Raises:
        NoPictureError: there is none.
    """
    return read_picture(io.BytesIO(sys.stdin.buffer.read()) if path == STANDARD_INPUT else path)


def save_seen(image: NDArray[np.uint8], folder: Path | None, path: Path, ending: str = "") -> None:
    if folder is None:
        return
    with replacing(folder / f"{'-'.join(path.relative_to(path.anchor).parts)}{ending}.png") as temporary:
        Image.fromarray(image).save(temporary, "PNG")


def classified(recognizer: Recognizer, image: NDArray[np.uint8]) -> dict[str, Any]:
    """`class`, `probability`, `runner_up`, `runner_up_probability` and `probabilities` for an image, uint8 (28, 28)."""
    probabilities = recognizer.by_class(image)
    second, first = sorted(probabilities, key=probabilities.__getitem__)[-2:]
    return {
        "class": first,
        "probability": probabilities[first],
        "runner_up": second,
        "runner_up_probability": probabilities[second],
        "probabilities": probabilities,
    }


def answers_text(answers: list[dict[str, Any]]) -> str:
    """A line for each answer."""
    width = max(len(printable(each["file"])) for each in answers)
    return "\n".join(f"{printable(each['file']):{width}}  {in_words(each)}" for each in answers)


def evaluation_text(found: dict[str, Any]) -> str:
    """The first wrong answers, the accuracy, and a table by class."""
    wrong = [f"{printable(each['file'])}: {in_words(each)}" for each in found["wrong"]]
    more = [f"and {len(wrong) - LISTED:,} more"] if len(wrong) > LISTED else []
    summary = (
        f"{found['images'] - found['errors']:,} of {found['images']:,} correct: {found['accuracy']:.1%} (95 % interval "
        f"{found['accuracy_low']:.1%} to {found['accuracy_high']:.1%}); {found['unanswered']:,} without an answer"
    )
    rows = [[each["class"], f"{each['images'] - each['errors']:,}", f"{each['images']:,}"] for each in found["classes"]]
    return "\n".join([*wrong[:LISTED], *more, summary, table(["class", "correct", "of"], rows)])


def in_words(answer: dict[str, Any]) -> str:
    """The class, its probability and the runner-up; the number, and this for each digit; or the problem."""
    if "problem" in answer:
        return str(answer["problem"])
    if "number" in answer:
        return "\n".join(
            [answer["number"], *(f"  {in_words(each)}   {place(each['box'])}" for each in answer["digits"])]
        )
    first, second = percent(answer["probability"]), percent(answer["runner_up_probability"])
    return f"{answer['class']}  {first:>7}   or {answer['runner_up']}  {second:>7}"


def place(box: tuple[float, float, float, float]) -> str:
    left, top, right, bottom = (f"{side:.0%}" for side in box)
    return f"{left} to {right} across, {top} to {bottom} down"


def percent(probability: float) -> str:
    """In percent; nothing is rounded to 0 or 100 %."""
    return ">99.9%" if probability > 0.999 else "<0.1%" if probability < 0.001 else f"{probability:.1%}"
