"""Recognise the digit, or what else the model has learned, on a picture.

Example: python tools/predict.py seven.jpg note.png
         python tools/predict.py --all postcode.jpg
         python tools/predict.py --evaluate data/drawings

PICTURE may be a folder, or - for standard input. The folder of --evaluate has a
folder of pictures for each class, 0 to 9 for digits, as the page of
tools/draw.py saves them. The exit status is 1 if a picture, or one of its
digits, gets no answer; with --evaluate it just counts as wrong.
"""

import json
import sys
import tempfile
from pathlib import Path

from command import Parser, run_command
from digits.foundation.stage import UserError
from handwriting.answers import answer, answers_text, evaluate, evaluation_text, find_pictures
from handwriting.recognizer import MODEL, Recognizer


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, metavar="ONNX", help="file (default: models/model.onnx)")
    parser.add_argument("--json", action="store_true", help="print JSON, with the probability of each class")
    parser.add_argument(
        "--show",
        type=Path,
        metavar="FOLDER",
        help="write the 28 x 28 pixels that the model sees to this folder, with --all also where the digits are",
    )
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--all", action="store_true", help="read all digits of a picture, from left to right")
    either.add_argument("--evaluate", type=Path, metavar="FOLDER", help="score pictures whose classes are known")
    parser.add_argument("pictures", nargs="*", type=Path, metavar="PICTURE", help="files or folders, or -")
    arguments = parser.parse_args()
    if bool(arguments.pictures) == bool(arguments.evaluate):
        parser.error("give either pictures or --evaluate FOLDER")
    recognizer = Recognizer(arguments.model)
    if arguments.all and recognizer.pictures == "whole":
        raise UserError(f"--all: needs a model of what is written, got one of whole pictures, {arguments.model}")
    print(recognizer.introduction(), file=sys.stderr, flush=True)
    if arguments.show:
        arguments.show.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=arguments.show).close()  # which tells now, not later, that it is read-only
    if arguments.evaluate:
        evaluation = evaluate(recognizer, known_pictures(arguments.evaluate, recognizer.classes), arguments.show)
        print(json.dumps(evaluation, indent=2) if arguments.json else evaluation_text(evaluation))
        return
    answers = [
        answer(recognizer, path, arguments.show, several=arguments.all, advice=", or --all")
        for path in find_pictures(arguments.pictures)
    ]
    if not answers:
        raise UserError(f"{arguments.pictures[0]}: holds no pictures; give files, or a folder with some")
    print(json.dumps(answers, indent=2) if arguments.json else answers_text(answers))
    sys.exit(any("problem" in each for found in answers for each in (found, *found.get("digits", []))))


def known_pictures(folder: Path, classes: list[str]) -> list[tuple[str, Path]]:
    """The pictures in folders that are named after classes, each with its class; raises a `UserError` without any."""
    known = [(name, path) for name in classes if (folder / name).is_dir() for path in find_pictures([folder / name])]
    if not known:
        raise UserError(
            f"{folder}: must have folders with pictures, named after classes such as {classes[0]}, as `make draw` makes"
        )
    return known


if __name__ == "__main__":
    run_command(main)
