"""Compare what revisions get right on the test images: is the difference real?

Example: python tools/compare.py
         python tools/compare.py HEAD cnn mlp --classes

A revision is a commit, an experiment or `workspace`. Each is compared with the
first: without any, the workspace with HEAD; with one, the workspace with that.
The answer accounts for the choice of test images alone. Another train.seed
changes results, too: tools/seeds.py shows by how much.
"""

import csv
import io
import json
import math
import sys
import textwrap
from typing import Any, NamedTuple

from experiments.revisions import LOCK, WORKSPACE, experiments, is_current, read_files
from experiments.statistics import (
    BETTER,
    WORSE,
    Comparison,
    compare,
    conclusion,
    corrected,
    difference_interval,
    mcnemar_test,
    wilson_interval,
)
from foundation.command import Parser, run_command

PREDICTIONS, TRAINING = "metrics/predictions.csv", "metrics/train.json"
TEST = "data/tensors/test.safetensors"
COLUMNS = ["points", "95 % interval", "gained", "lost"]
NOTES = (
    "gained: images that only this revision gets right; lost: images that only {first} gets right; p: exact McNemar "
    "test (Holm: corrected for the number of rows in its table; the intervals are not). Another train.seed changes "
    "results, too, perhaps by more: see tools/seeds.py."
)

Part = str | list[list[str]]  # a paragraph, or a table with its header


class Results(NamedTuple):
    """A revision, the MD5 of its test images, and the actual and the predicted class of each."""

    name: str
    md5: str
    actual: list[str]
    predicted: list[str]

    @property
    def correct(self) -> int:
        return sum(actual == predicted for actual, predicted in zip(self.actual, self.predicted, strict=True))


class Difference(NamedTuple):
    """A revision against the first, on all test images, and on those of each class; p is corrected by Holm's method."""

    name: str
    overall: Comparison
    by_class: dict[str, Comparison]


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "revisions", nargs="*", metavar="REVISION", help="commits, experiments or workspace (default: HEAD workspace)"
    )
    parser.add_argument("--classes", action="store_true", help="compare by actual class, too")
    style = parser.add_mutually_exclusive_group()
    style.add_argument("--md", action="store_true", help="print Markdown, for a pull request")
    style.add_argument("--json", action="store_true", help="print JSON, with accuracies as fractions")
    arguments = parser.parse_args()
    names = arguments.revisions or ["HEAD"]
    results = [read_results(name) for name in (names if len(names) > 1 else [*names, WORKSPACE])]
    check_same_images(results)
    if arguments.json:
        print(json.dumps(as_json(results, differences(results, arguments.classes)), indent=2))
        return
    results = [item._replace(name=label(item.name, arguments.md)) for item in results]
    parts = report(results, differences(results, arguments.classes))
    print("\n\n".join(show(part, arguments.md) for part in parts))


def read_results(revision: str) -> Results:
    """What a revision predicted, and for which test images."""
    try:
        files = read_files([revision], [TRAINING, PREDICTIONS, LOCK])[revision]
        _ = files[TRAINING]  # which is missing while a training runs, or if it was interrupted
        rows = list(csv.DictReader(io.StringIO(files[PREDICTIONS])))
        actual, predicted = ([row[column] for row in rows] for column in ("actual", "predicted"))
        stages = files.stages
        md5 = {item["path"]: item["md5"] for item in stages["evaluate"]["deps"]}[TEST]
        scored = is_current(stages, "evaluate")
        if not rows or not all(actual + predicted):
            raise ValueError
    except (ValueError, KeyError, TypeError, csv.Error):
        sys.exit(
            f"error: {revision}: {PREDICTIONS} or {LOCK} is damaged, got no predictions or no hash of their images; "
            "`dvc repro` rewrites both"
        )
    if not scored:
        if revision == WORKSPACE:
            advice = "`dvc repro` scores it"
        elif revision in experiments():
            advice = f"`dvc exp apply {revision}; dvc repro` scores it in the workspace"
        else:
            advice = f"`git checkout {revision} && dvc repro` scores it in the workspace"
        sys.exit(
            f"error: {PREDICTIONS}: has to come from the model of {revision}, got predictions of an earlier one; "
            f"{advice}"
        )
    return Results(revision, md5, actual, predicted)


def check_same_images(results: list[Results]) -> None:
    """Stop unless all were scored on the same test images."""
    first = results[0]
    for other in results:
        if (other.md5, other.actual) != (first.md5, first.actual):
            sys.exit(
                f"error: {TEST}: has to be the same in all revisions, got different ones in {other.name} and "
                f"{first.name}; compare revisions with the same parameters in section download"
            )


def label(name: str, markdown: bool) -> str:
    """A name that leaves room in 80 columns; in Markdown as code, where the ~ of HEAD~1 strikes nothing out."""
    short = name if len(name) <= 18 else f"{name[:8]}…{name[-9:]}"
    return f"`{short}`" if markdown else short


def differences(results: list[Results], classes: bool) -> list[Difference]:
    """Each revision against the first; by class, too, if asked for."""
    first, *others = results
    overall = corrected([compare(judged(first, other)) for other in others])
    return [
        Difference(other.name, found, compare_classes(first, other) if classes else {})
        for other, found in zip(others, overall, strict=True)
    ]


def compare_classes(first: Results, other: Results) -> dict[str, Comparison]:
    classes = sorted(set(first.actual), key=lambda name: (int(name) if name.isdecimal() else math.inf, name))
    found = corrected([compare([row for row in judged(first, other) if row[0] == name]) for name in classes])
    return dict(zip(classes, found, strict=True))


def judged(first: Results, other: Results) -> list[tuple[str, str, str]]:
    return list(zip(first.actual, first.predicted, other.predicted, strict=True))


def as_json(results: list[Results], found: list[Difference]) -> dict[str, Any]:
    """All numbers of the report, unrounded: accuracies and their differences are fractions."""
    return {
        "images": len(results[0].actual),
        "revisions": [accuracy_of(item) for item in results],
        "comparisons": [
            {
                "name": item.name,
                "baseline": results[0].name,
                **numbers(item.overall),
                "classes": [{"class": name, **numbers(each)} for name, each in item.by_class.items()],
            }
            for item in found
        ],
    }


def accuracy_of(results: Results) -> dict[str, Any]:
    images = len(results.actual)
    low, high = wilson_interval(results.correct, images)
    accuracy = {"accuracy": results.correct / images, "accuracy_low": low, "accuracy_high": high}
    return {"name": results.name, "errors": images - results.correct, **accuracy}


def numbers(found: Comparison) -> dict[str, Any]:
    """`p` is that of the comparison alone, `p_holm` the corrected one."""
    low, high = difference_interval(found.gained, found.lost, found.images)
    return {
        "verdict": found.verdict,
        **found._asdict(),
        "p": mcnemar_test(found.gained, found.lost),
        "p_holm": found.p,
        "difference": found.difference,
        "difference_low": low,
        "difference_high": high,
    }


def report(results: list[Results], found: list[Difference]) -> list[Part]:
    """Accuracies, differences from the first revision, and what follows from them."""
    first = results[0].name
    accuracies = [
        [f"{len(results[0].actual):,} test images", "accuracy, %", "95 % interval"],
        *map(accuracy_row, results),
    ]
    table = [[f"against {first}", *COLUMNS, "p (Holm)" if len(found) > 1 else "p"]]
    table += [[item.name, *cells(item.overall)] for item in found]
    verdicts = [conclusion(first, item.name, item.overall, len(found)) for item in found]
    by_class = [part for item in found if item.by_class for part in report_classes(first, item)]
    return [accuracies, table, *verdicts, *by_class, NOTES.format(first=first)]


def report_classes(first: str, found: Difference) -> list[Part]:
    """Differences by actual class, and which of them are real."""
    table = [["class", "images", *COLUMNS, "p (Holm)"]]
    table += [[name, f"{item.images:,}", *cells(item)] for name, item in found.by_class.items()]
    better, worse = (
        ", ".join(name for name, item in found.by_class.items() if item.verdict == verdict) or "none"
        for verdict in (BETTER, WORSE)
    )
    return [
        f"{found.name} against {first}, by actual class:",
        table,
        f"Evidence that {found.name} is better: on {better}; that it is worse: on {worse}.",
    ]


def accuracy_row(results: Results) -> list[str]:
    found = accuracy_of(results)
    accuracy, low, high = (100 * found[f"accuracy{end}"] for end in ("", "_low", "_high"))
    return [results.name, f"{accuracy:.2f}", f"{low:.2f} to {high:.2f}"]


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
