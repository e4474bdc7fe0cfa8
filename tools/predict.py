"""Say which digit a picture shows: a drawing or a photograph of one, dark on light or light on dark.

Command: python tools/predict.py [--model FILE] [--json] [--show FOLDER] IMAGE ...
         python tools/predict.py [--model FILE] --evaluate FOLDER
An IMAGE may be a folder of them, or - for standard input. FOLDER has folders 0 to 9 with pictures of these digits, as
the page of tools/draw.py saves them. The status is 1 if a picture shows no single digit.
"""

import io
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from experiments.statistics import wilson_interval
from foundation.command import Parser, run_command
from handwriting.ink import NoDigitError
from handwriting.mnist_format import mnist_form
from handwriting.pictures import NoPictureError, find_pictures, read_picture
from handwriting.recognizer import MODEL, Recognizer

from PIL import Image

STANDARD_INPUT = Path("-")
LISTED = 20  # wrong answers that an evaluation names


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, metavar="FILE", help="if not models/model.onnx")
    parser.add_argument("--json", action="store_true", help="print the answers, with all probabilities, as JSON")
    parser.add_argument("--show", type=Path, metavar="FOLDER", help="write there the 28 x 28 pixels that the model saw")
    parser.add_argument("--evaluate", type=Path, metavar="FOLDER", help="score pictures whose digits are known")
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE")
    arguments = parser.parse_args()
    if bool(arguments.images) == bool(arguments.evaluate):
        parser.error("either images or --evaluate FOLDER are needed, and not both")
    if arguments.evaluate and (arguments.json or arguments.show):
        parser.error("--evaluate goes with --model alone")
    recognizer = Recognizer(arguments.model)
    print(recognizer.introduction(), file=sys.stderr, flush=True)
    if arguments.evaluate:
        print(evaluation(recognizer, arguments.evaluate))
        return
    if arguments.show:
        make_folder(arguments.show)
    answers = [answer(recognizer, path, arguments.show) for path in find_pictures(arguments.images)]
    if not answers:
        sys.exit(f"error: {arguments.images[0]}: holds no pictures; give files, or a folder with some")
    print(json.dumps(answers, indent=2) if arguments.json else table(answers))
    sys.exit(any("problem" in each for each in answers))


def make_folder(path: Path) -> None:
    """Make a folder if there is none.

    Raises:
        SystemExit: it cannot be made, or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        sys.exit(f"error: {path}: {error.strerror}; give --show a folder that can be written to")


def answer(recognizer: Recognizer, path: Path, seen: Path | None = None) -> dict[str, Any]:
    """What the model says to the picture in a file, or on standard input for the path `-`.

    Args:
        seen: a folder in which to put what the model saw.

    Returns:
        `file`, and `problem`, or `digit`, `probability`, `runner_up`, `runner_up_probability` and `probabilities`.
    """
    try:
        form = mnist_form(read_picture(io.BytesIO(sys.stdin.buffer.read()) if path == STANDARD_INPUT else path))
    except (NoPictureError, NoDigitError) as error:
        return {"file": str(path), "problem": str(error)}
    if seen:
        Image.fromarray(form).save(seen / f"{'-'.join(path.relative_to(path.anchor).parts)}.png")
    probabilities = recognizer.probabilities(form[None])[0].tolist()
    second, first = sorted(range(10), key=probabilities.__getitem__)[-2:]
    return {
        "file": str(path),
        "digit": first,
        "probability": probabilities[first],
        "runner_up": second,
        "runner_up_probability": probabilities[second],
        "probabilities": probabilities,
    }


def table(answers: list[dict[str, Any]]) -> str:
    """A line for each answer."""
    width = max(len(each["file"]) for each in answers)
    lines = (f"{each['file']:{width}}  {in_words(each)}" for each in answers)
    return "\n".join(lines).encode(errors="backslashreplace").decode()  # names of files need not be text


def in_words(answer: dict[str, Any]) -> str:
    """The digit, its probability and the runner-up, or the problem."""
    if "problem" in answer:
        return str(answer["problem"])
    first, second = percent(answer["probability"]), percent(answer["runner_up_probability"])
    return f"{answer['digit']}  {first:>7}   or {answer['runner_up']}  {second:>7}"


def percent(probability: float) -> str:
    """In per cent; what is neither 0 nor 1 is not rounded to them."""
    return ">99.9%" if probability > 0.999 else "<0.1%" if probability < 0.001 else f"{probability:.1%}"


def evaluation(recognizer: Recognizer, folder: Path) -> str:
    """How many pictures in the folders 0 to 9 are taken for what they are, and which ones are not.

    Raises:
        SystemExit: there are none.
    """
    folders = [(digit, folder / str(digit)) for digit in range(10) if (folder / str(digit)).is_dir()]
    known = [(digit, path) for digit, inside in folders for path in find_pictures([inside])]
    if not known:
        sys.exit(f"error: {folder}: has to have folders 0 to 9 with pictures; `make draw` saves some in data/drawings")
    answers = [(digit, answer(recognizer, path)) for digit, path in known]
    wrong = [(digit, each) for digit, each in answers if each.get("digit") != digit]
    right, refused = len(known) - len(wrong), sum("problem" in each for _, each in wrong)
    low, high = wilson_interval(right, len(known))
    of_each, wrong_of_each = (Counter(digit for digit, _ in pairs) for pairs in (answers, wrong))
    lines = [f"{each['file']}: {in_words(each)}" for _, each in wrong[:LISTED]]
    lines += [f"and {len(wrong) - LISTED:,} more"] if len(wrong) > LISTED else []
    lines += [
        f"{right:,} of {len(known):,} right: {right / len(known):.1%} (95 % interval {low:.1%} to {high:.1%}); "
        f"{refused:,} without an answer",
        "digit " + "".join(f"{digit:6}" for digit in of_each),
        "right " + "".join(f"{of_each[digit] - wrong_of_each[digit]:6}" for digit in of_each),
        "of    " + "".join(f"{of_each[digit]:6}" for digit in of_each),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
