"""Is the difference real? Compare what revisions get right on the test images, each with the first.

A revision is a commit, an experiment or `workspace`. Without any, the workspace is compared with HEAD; with one, it is
compared with that. What is said is about the choice of the test images alone: another train.seed changes results, too,
and tools/seeds.py says how much.
Command: python tools/compare.py [--digits] [--md] [A [B ...]]
"""

import csv
import io
import sys
import textwrap
from typing import NamedTuple

from experiments.revisions import WORKSPACE, is_scored, read_file
from experiments.statistics import LEVEL, Comparison, compare, corrected, difference_interval, verdict, wilson_interval
from foundation.command import Parser, run_command

import yaml

PREDICTIONS, LOCK = "metrics/predictions.csv", "dvc.lock"
TEST = "data/tensors/test.safetensors"
COLUMNS = ["points", "95 % interval", "gained", "lost"]
NOTES = (
    "gained: images that only this one gets right; lost: that only {first} gets right; p: exact McNemar test (Holm: "
    "corrected for the number of rows of its table; the intervals are not). Another train.seed changes results, too, "
    "perhaps by more: see tools/seeds.py."
)

Part = str | list[list[str]]  # a paragraph, or a table with its header


class Results(NamedTuple):
    """A revision, the MD5 of its test images, and the actual and the predicted digit of each."""

    name: str
    md5: str
    actual: list[int]
    predicted: list[int]


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("revisions", nargs="*", metavar="A", help="a commit, an experiment, or workspace")
    parser.add_argument("--digits", action="store_true", help="a table by actual digit, too")
    parser.add_argument("--md", action="store_true", help="write Markdown, for a pull request")
    arguments = parser.parse_args()
    names = arguments.revisions or ["HEAD"]
    results = [read_results(name) for name in (names if len(names) > 1 else [*names, WORKSPACE])]
    check_same_images(results)
    first, *others = (item._replace(name=label(item.name, arguments.md)) for item in results)
    parts = report(first, others)
    if arguments.digits:
        parts += [part for other in others for part in report_digits(first, other)]
    parts.append(NOTES.format(first=first.name))
    print("\n\n".join(show(part, arguments.md) for part in parts))


def read_results(revision: str) -> Results:
    """What a revision predicted, and for which test images."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_file(revision, PREDICTIONS))))
        actual, predicted = ([int(row[column]) for row in rows] for column in ("actual", "predicted"))
        stages = yaml.safe_load(read_file(revision, LOCK))["stages"]
        md5 = {item["path"]: item["md5"] for item in stages["evaluate"]["deps"]}[TEST]
        scored = is_scored(stages)
        if not rows:
            raise ValueError
    except (ValueError, KeyError, TypeError, csv.Error, yaml.YAMLError):
        sys.exit(
            f"error: {PREDICTIONS}: or {LOCK} is damaged, got no digits or no hash of their images from {revision}; "
            "`dvc repro` writes both anew"
        )
    if not scored:
        sys.exit(
            f"error: {PREDICTIONS}: has to come from the model of {revision}, got one scored before; score it: "
            f"`dvc exp apply {revision}; dvc repro`"
        )
    return Results(revision, md5, actual, predicted)


def check_same_images(results: list[Results]) -> None:
    """Stop unless all were scored on the same test images."""
    first = results[0]
    for other in results:
        if (other.md5, other.actual) != (first.md5, first.actual):
            sys.exit(
                f"error: {TEST}: has to be the same in all revisions, got other images in {other.name} than in "
                f"{first.name}; compare revisions with equal parameters in section download"
            )


def label(name: str, markdown: bool) -> str:
    """A name that leaves room in 80 columns; in Markdown as code, where the ~ of HEAD~1 strikes nothing out."""
    short = name if len(name) <= 18 else f"{name[:8]}…{name[-9:]}"
    return f"`{short}`" if markdown else short


def report(first: Results, others: list[Results]) -> list[Part]:
    """Accuracies, differences from the first, and what follows from them."""
    found = corrected([compare(judged(first, other)) for other in others])
    rows = [(other.name, item) for other, item in zip(others, found, strict=True)]
    accuracies = [[f"{len(first.actual):,} test images", "accuracy, %", "95 % interval"]]
    accuracies += [accuracy_row(item) for item in (first, *others)]
    differences = [[f"against {first.name}", *COLUMNS, "p (Holm)" if len(rows) > 1 else "p"]]
    differences += [[name, *cells(item)] for name, item in rows]
    return [accuracies, differences, *(verdict(first.name, name, item, len(rows)) for name, item in rows)]


def report_digits(first: Results, other: Results) -> list[Part]:
    """Differences by actual digit, and which of them are real."""
    digits = sorted(set(first.actual))
    found = corrected([compare([row for row in judged(first, other) if row[0] == digit]) for digit in digits])
    rows = list(zip(map(str, digits), found, strict=True))
    table = [["digit", "images", *COLUMNS, "p (Holm)"]]
    table += [[digit, f"{item.images:,}", *cells(item)] for digit, item in rows]
    better = ", ".join(digit for digit, item in rows if item.p < LEVEL and item.difference > 0) or "none"
    worse = ", ".join(digit for digit, item in rows if item.p < LEVEL and item.difference < 0) or "none"
    title = f"{other.name} against {first.name}, by actual digit:"
    return [
        title,
        table,
        f"Evidence that {other.name} is better: on {better}; worse: on {worse}; else none either way.",
    ]


def judged(first: Results, other: Results) -> list[tuple[int, int, int]]:
    return list(zip(first.actual, first.predicted, other.predicted, strict=True))


def accuracy_row(results: Results) -> list[str]:
    right = [actual == predicted for actual, predicted in zip(results.actual, results.predicted, strict=True)]
    low, high = wilson_interval(sum(right), len(right))
    return [results.name, f"{100 * sum(right) / len(right):.2f}", f"{100 * low:.2f} to {100 * high:.2f}"]


def cells(found: Comparison) -> list[str]:
    """The difference in points of accuracy, its interval, the counts, and p."""
    low, high = difference_interval(found.gained, found.lost, found.images)
    interval = f"{100 * low:+.2f} to {100 * high:+.2f}"
    p = f"{found.p:.4f}" if found.p >= 0.0001 else "<0.0001"
    return [f"{100 * found.difference:+.2f}", interval, f"{found.gained:,}", f"{found.lost:,}", p]


def show(part: Part, markdown: bool) -> str:
    """A paragraph, or a table with all but its first column aligned to the right; 80 columns unless it is Markdown."""
    if isinstance(part, str):
        return part if markdown else textwrap.fill(part, 80)
    if markdown:
        header, *rows = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in part]
        return "\n".join([header, "|---|" + "---:|" * (len(part[0]) - 1), *rows])
    first, *others = (max(map(len, column)) for column in zip(*part, strict=True))
    aligned = "  ".join([f"{{:<{first}}}", *(f"{{:>{width}}}" for width in others)])
    return "\n".join(aligned.format(*row) for row in part)


if __name__ == "__main__":
    run_command(main)
