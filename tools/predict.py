"""Recognise the digit, or what else the model has learned, on a picture.

Example: python tools/predict.py seven.jpg note.png
         python tools/predict.py --all postcode.jpg
         python tools/predict.py --evaluate data/drawings

PICTURE may be a folder, or - for standard input. The folder of --evaluate has a
folder of pictures for each class, 0 to 9 for digits, as the page of
tools/draw.py saves them. The exit status is 1 if a picture gets no answer,
such as one without a digit; with --evaluate it just counts as wrong.
"""

import json
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from experiments.statistics import wilson_interval
from foundation.command import Parser, run_command
from handwriting.answers import answer_all, answer_one, find_pictures, in_words, table
from handwriting.recognizer import MODEL, Recognizer

LISTED = 20  # wrong answers that the text of an evaluation lists


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "--model", type=Path, default=MODEL, metavar="FILE", help="use this ONNX file (default: models/model.onnx)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with the probability of each class")
    parser.add_argument(
        "--show", type=Path, metavar="FOLDER", help="write the 28 x 28 pixels that the model sees to this folder"
    )
    parser.add_argument("--all", action="store_true", help="read all digits of a picture, from left to right")
    parser.add_argument("--evaluate", type=Path, metavar="FOLDER", help="score pictures whose classes are known")
    parser.add_argument("pictures", nargs="*", type=Path, metavar="PICTURE", help="files or folders, or -")
    arguments = parser.parse_args()
    if bool(arguments.pictures) == bool(arguments.evaluate):
        parser.error("give either pictures or --evaluate FOLDER")
    if arguments.all and arguments.evaluate:
        parser.error("--all reads pictures whose digits are not known; leave it out with --evaluate")
    recognizer = Recognizer(arguments.model)
    if arguments.all and recognizer.pictures == "whole":
        sys.exit(f"error: --all: needs a model of what is written, got one of whole pictures, {arguments.model}")
    print(recognizer.introduction(), file=sys.stderr, flush=True)
    if arguments.show:
        make_folder(arguments.show)
    if arguments.evaluate:
        evaluation = evaluate(recognizer, arguments.evaluate, arguments.show)
        print(json.dumps(evaluation, indent=2) if arguments.json else evaluation_text(evaluation))
        return
    read = answer_all if arguments.all else partial(answer_one, advice=", or --all")
    answers = [read(recognizer, path, arguments.show) for path in find_pictures(arguments.pictures)]
    if not answers:
        sys.exit(f"error: {arguments.pictures[0]}: holds no pictures; give files, or a folder with some")
    print(json.dumps(answers, indent=2) if arguments.json else table(answers))
    sys.exit(any("problem" in each for each in answers))


def make_folder(path: Path) -> None:
    """Make a folder unless it exists.

    Raises:
        SystemExit: it cannot be made, or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        sys.exit(f"error: {path}: {error.strerror}; give --show a folder that is writable")


def evaluate(recognizer: Recognizer, folder: Path, seen: Path | None = None) -> dict[str, Any]:
    """Score the pictures in the folders that are named after classes; one without an answer counts as an error.

    Returns:
        `images`, `errors`, `unanswered`, `accuracy` with its 95 % interval `accuracy_low` to `accuracy_high`, fractions
        in [0, 1], `classes`, the counts by class, and `wrong`, the answers that are not `actual`.

    Raises:
        SystemExit: there are none.
    """
    folders = [(name, folder / name) for name in recognizer.classes if (folder / name).is_dir()]
    known = [(name, path) for name, inside in folders for path in find_pictures([inside])]
    if not known:
        sys.exit(
            f"error: {folder}: has to have folders with pictures, named after classes such as {recognizer.classes[0]}; "
            "`make draw` saves some in data/drawings"
        )
    answers = [{"actual": name, **answer_one(recognizer, path, seen)} for name, path in known]
    wrong = [each for each in answers if each.get("class") != each["actual"]]
    low, high = wilson_interval(len(known) - len(wrong), len(known))
    images, errors = (Counter(each["actual"] for each in some) for some in (answers, wrong))
    return {
        "images": len(known),
        "errors": len(wrong),
        "unanswered": sum("problem" in each for each in wrong),
        "accuracy": (len(known) - len(wrong)) / len(known),
        "accuracy_low": low,
        "accuracy_high": high,
        "classes": [{"class": name, "images": images[name], "errors": errors[name]} for name in images],
        "wrong": wrong,
    }


def evaluation_text(found: dict[str, Any]) -> str:
    """The first wrong answers, the accuracy, and a table by class."""
    wrong, classes = found["wrong"], found["classes"]
    width = max(len("class"), *(len(each["class"]) for each in classes))
    lines = [f"{each['file']}: {in_words(each)}" for each in wrong[:LISTED]]
    lines += [f"and {len(wrong) - LISTED:,} more"] if len(wrong) > LISTED else []
    lines += [
        f"{found['images'] - found['errors']:,} of {found['images']:,} right: {found['accuracy']:.1%} (95 % interval "
        f"{found['accuracy_low']:.1%} to {found['accuracy_high']:.1%}); {found['unanswered']:,} without an answer",
        f"{'class':{width}}   right      of",
        *(f"{each['class']:{width}}{each['images'] - each['errors']:8,}{each['images']:8,}" for each in classes),
    ]
    return "\n".join(lines).encode(errors="backslashreplace").decode()


if __name__ == "__main__":
    run_command(main)
