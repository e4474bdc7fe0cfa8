"""The model's answers to pictures in files, and how they read in a terminal."""

import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from digits.foundation.files import replacing
from digits.foundation.params import printable
from digits.pictures.files import NoPictureError, read_picture
from digits.pictures.ink import NoDigitError, SeveralDigitsError, eight_bits
from digits.pictures.mnist_format import Digit, find_digits
from digits.scoring import score
from handwriting.recognizer import UNKNOWN, Recognizer
from tables import table

STANDARD_INPUT = Path("-")
LISTED = 20  # wrong answers that the text of an evaluation lists


def answer(
    recognizer: Recognizer, path: Path, seen: Path | None = None, *, several: bool = False, advice: str = ""
) -> dict[str, Any]:
    """The model's answer to the picture in a file, or on standard input for the path `-`.

    It has `file`, and `problem`, with `advice` if there are several digits, or what `classified` gives. If all digits
    are to be read (`several`), it has `number`, a text, and `digits`, each with what `classified` gives and its `box`:
    left, top, right and bottom, as fractions of the picture's width and height. What the model sees, and of several
    digits the picture with their boxes, is written to the folder `seen`.
    """
    try:
        picture = read_picture(io.BytesIO(sys.stdin.buffer.read()) if path == STANDARD_INPUT else path)
        digits = find_digits(picture) if several else [Digit(recognizer.convert(picture), (0, 0, 1, 1))]
    except (NoPictureError, NoDigitError) as error:
        return {"file": str(path), "problem": f"{error}{advice if isinstance(error, SeveralDigitsError) else ''}"}
    if seen:
        name = "-".join(path.relative_to(path.anchor).parts)
        for number, digit in enumerate(digits, start=1):
            with replacing(seen / f"{name}{f'-{number}' if several else ''}.png") as temporary:
                Image.fromarray(digit.image).save(temporary, "PNG")
        if several:
            with replacing(seen / f"{name}-digits.png") as temporary:
                marked(picture, digits).save(temporary, "PNG")
    if not several:
        return {"file": str(path), **classified(recognizer, digits[0].image)}
    found = [{**classified(recognizer, digit.image), "box": digit.box} for digit in digits]
    return {"file": str(path), "number": "".join(each.get("class", "?") for each in found), "digits": found}


def marked(picture: Image.Image, digits: Iterable[Digit]) -> Image.Image:
    """The picture in colours, with a red box around each digit."""
    copy = eight_bits(picture).convert("RGB")
    for digit in digits:
        left, top, right, bottom = (share * side for share, side in zip(digit.box, 2 * copy.size, strict=True))
        ImageDraw.Draw(copy).rectangle((left, top, right, bottom), outline="red", width=1 + max(copy.size) // 400)
    return copy


def evaluate(recognizer: Recognizer, known: Iterable[tuple[str, Path]], seen: Path | None = None) -> dict[str, Any]:
    """Score pictures, each with its class; one without an answer counts as an error.

    The result has what `digits.scoring.score` gives, `unanswered`, their number, `classes`, the counts by class, and
    `wrong`, the answers that are not `actual`.
    """
    answers = [{"actual": name, **answer(recognizer, path, seen)} for name, path in known]
    wrong = [each for each in answers if each.get("class") != each["actual"]]
    images, errors = (Counter(each["actual"] for each in some) for some in (answers, wrong))
    return {
        **score(len(answers) - len(wrong), len(answers)),
        "unanswered": sum("problem" in each for each in wrong),
        "classes": [{"class": name, "images": count, "errors": errors[name]} for name, count in images.items()],
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


def classified(recognizer: Recognizer, image: NDArray[np.uint8]) -> dict[str, Any]:
    """Of an image, uint8 (28, 28), `class` and `runner_up` with their and all `probabilities`, or the `problem`."""
    probabilities = recognizer.by_class(image)
    if probabilities is None:
        return {"problem": UNKNOWN}
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


def in_words(found: dict[str, Any]) -> str:
    """The class, its probability and the runner-up; the number, and this for each digit; or the problem."""
    if "problem" in found:
        return str(found["problem"])
    if "number" in found:
        lines = [f"  {in_words(each)}   {place(each['box'])}" for each in found["digits"]]
        return "\n".join([found["number"], *lines])
    first, second = percent(found["probability"]), percent(found["runner_up_probability"])
    return f"{found['class']}  {first:>7}   or {found['runner_up']}  {second:>7}"


def place(box: tuple[float, float, float, float]) -> str:
    left, top, right, bottom = (f"{side:.0%}" for side in box)
    return f"{left} to {right} across, {top} to {bottom} down"


def percent(probability: float) -> str:
    """In percent; nothing is rounded to 0 or 100 %."""
    return ">99.9%" if probability > 0.999 else "<0.1%" if probability < 0.001 else f"{probability:.1%}"
