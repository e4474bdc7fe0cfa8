"""Say which digit a picture shows: a drawing or a photograph of one, dark on light or light on dark.

Command: python tools/predict.py [--model FILE] [--json] [--show FOLDER] IMAGE ...
         python tools/predict.py [--model FILE] --evaluate FOLDER
An IMAGE may be a folder of them, or - for standard input. FOLDER has folders 0 to 9 with pictures of these digits, as
the page of tools/draw.py saves them. The status is 1 if a picture shows no single digit.
"""

import argparse
import io
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_form import NoDigitError, mnist_form
from paired import wilson_interval
from pictures import NoPictureError, find_pictures, read_picture
from recognizer import MODEL, Recognizer

import numpy as np
from numpy.typing import NDArray
from PIL import Image

STANDARD_INPUT = Path("-")


@dataclass(frozen=True)
class Answer:
    """What the model says to a picture.

    Attributes:
        file: where the picture is.
        form: what the model saw, uint8 (28, 28); None if there is no digit.
        probabilities: of the digits, float32 (10,).
        problem: why there is no digit.
    """

    file: Path
    form: NDArray[np.uint8] | None = None
    probabilities: NDArray[np.float32] | None = None
    problem: str = ""

    def ranking(self) -> list[tuple[int, float]]:
        """The digits and their probabilities, the most probable first; none if there is no digit."""
        probabilities = [] if self.probabilities is None else self.probabilities.tolist()
        return sorted(enumerate(probabilities), key=lambda pair: -pair[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, metavar="FILE", help="if not models/model.onnx")
    parser.add_argument("--json", action="store_true", help="print the answers, with all probabilities, as JSON")
    parser.add_argument("--show", type=Path, metavar="FOLDER", help="write there the 28 x 28 pixels that the model saw")
    parser.add_argument("--evaluate", type=Path, metavar="FOLDER", help="score pictures whose digits are known")
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE")
    arguments = parser.parse_args()
    if bool(arguments.images) == bool(arguments.evaluate):
        parser.error("either images or --evaluate FOLDER are needed")
    recognizer = Recognizer(arguments.model)
    print(recognizer.introduction(), file=sys.stderr, flush=True)
    if arguments.evaluate:
        print(evaluation(recognizer, arguments.evaluate))
        return
    answers = [answer(recognizer, path) for path in find_pictures(arguments.images)]
    if not answers:
        sys.exit(f"error: {arguments.images[0]}: holds no pictures; give files, or a folder with some")
    if arguments.show:
        show(answers, arguments.show)
    print(json.dumps([as_dict(each) for each in answers], indent=2) if arguments.json else table(answers))
    sys.exit(any(each.problem for each in answers))


def answer(recognizer: Recognizer, path: Path) -> Answer:
    """The answer to the picture in a file, or on standard input for the path `-`."""
    try:
        picture = read_picture(io.BytesIO(sys.stdin.buffer.read()) if path == STANDARD_INPUT else path)
        form = mnist_form(picture)
    except (NoPictureError, NoDigitError) as error:
        return Answer(path, problem=str(error))
    return Answer(path, form, recognizer.probabilities(form[None])[0])


def table(answers: list[Answer]) -> str:
    """A line for each answer."""
    width = max(len(str(each.file)) for each in answers)
    return "\n".join(f"{each.file!s:{width}}  {in_words(each)}" for each in answers)


def in_words(answer: Answer) -> str:
    """The digit, its probability and the runner-up, or the problem."""
    if answer.problem:
        return answer.problem
    (first, p), (second, q), *_ = answer.ranking()
    return f"{first}  {p:6.1%}   or {second}  {q:6.1%}"


def as_dict(answer: Answer) -> dict[str, Any]:
    """The same as JSON has it."""
    if answer.problem:
        return {"file": str(answer.file), "problem": answer.problem}
    (first, p), (second, q), *rest = answer.ranking()
    return {
        "file": str(answer.file),
        "digit": first,
        "probability": p,
        "runner_up": second,
        "runner_up_probability": q,
        "probabilities": [probability for _, probability in sorted([(first, p), (second, q), *rest])],
    }


def show(answers: list[Answer], folder: Path) -> None:
    """Write what the model saw, in the order of the answers, as PNG files with the names of theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(answers):
        if each.form is not None:
            Image.fromarray(each.form).save(folder / f"{number:03}-{each.file.stem}.png")


def evaluation(recognizer: Recognizer, folder: Path) -> str:
    """How many pictures in the folders 0 to 9 are taken for what they are, and which ones are not.

    Raises:
        SystemExit: there are none.
    """
    known = [(digit, path) for digit in range(10) for path in find_pictures([folder / str(digit)]) if path.is_file()]
    if not known:
        sys.exit(f"error: {folder}: has to have folders 0 to 9 with pictures; `make draw` saves some in data/drawings")
    answers = [(digit, answer(recognizer, path)) for digit, path in known]
    wrong = [(digit, each) for digit, each in answers if not each.ranking() or each.ranking()[0][0] != digit]
    right = len(answers) - len(wrong)
    low, high = wilson_interval(right, len(answers))
    refused = sum(bool(each.problem) for _, each in wrong)
    lines = [f"{each.file}: {in_words(each)}" for _, each in wrong[:20]]
    lines += [f"and {len(wrong) - 20:,} more"] if len(wrong) > 20 else []
    of_each, missed = Counter(digit for digit, _ in answers), Counter(digit for digit, _ in wrong)
    return "\n".join(
        [
            *lines,
            f"{right:,} of {len(answers):,} right: {right / len(answers):.1%} (95 % interval {low:.1%} to {high:.1%}); "
            f"{refused:,} without an answer",
            "digit " + "".join(f"{digit:6}" for digit in of_each),
            "right " + "".join(f"{of_each[digit] - missed[digit]:6}" for digit in of_each),
            "of    " + "".join(f"{of_each[digit]:6}" for digit in of_each),
        ]
    )


if __name__ == "__main__":
    main()
