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
import textwrap
from typing import Any, NamedTuple

from command import Parser, run_command
from digits.dataset import class_order
from digits.foundation.params import printable
from digits.foundation.stage import UserError
from digits.scoring import score
from experiments.revisions import LOCK, WORKSPACE, experiments, is_current, read_files
from experiments.statistics import BETTER, WORSE, Comparison, compare, conclusion, corrected, mcnemar_test
from tables import table

PREDICTIONS, TRAINING = "metrics/predictions.csv", "metrics/train.json"
TEST = "data/tensors/test.safetensors"
COLUMNS = ["points", "95 % interval", "gained", "lost"]
NOTES = (
    "gained: images that only this revision gets right; lost: images that only {first} gets right; p: exact McNemar "
    "test (Holm: corrected for the number of rows in its table; the intervals are not). Another train.seed changes "
    "results, too, perhaps by more: see tools/seeds.py."
)


class Results(NamedTuple):
    """A revision, the MD5 of its test images, and the actual and the predicted class of each."""

    name: str
    md5: str
    actual: list[str]
    predicted: list[str]

    def score(self) -> dict[str, Any]:
        """Its name, and what `digits.scoring.score` says of it."""
        correct = sum(actual == predicted for actual, predicted in zip(self.actual, self.predicted, strict=True))
        return {"name": self.name, **score(correct, len(self.actual))}


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
    parts = report(results, differences(results, arguments.classes), arguments.md)
    # Tables have more than one line, paragraphs have one.
    print("\n\n".join(part if "\n" in part or arguments.md else textwrap.fill(part, 80) for part in parts))


def read_results(revision: str) -> Results:
    """What a revision predicted, and for which test images.

    Raises:
        UserError: it is missing, damaged, or from another model.
    """
    files = read_files([revision], [TRAINING, PREDICTIONS, LOCK])[revision]
    _ = files[TRAINING]  # which is missing while a training runs, or if it was interrupted
    if not is_current(files.stages, "evaluate"):
        checkout = f"dvc exp apply {revision}; " if revision in experiments() else f"git checkout {revision} && "
        raise UserError(
            f"{PREDICTIONS}: must come from the model of {revision}, got predictions of an earlier one; "
            f"`{'' if revision == WORKSPACE else checkout}dvc repro` scores it in the workspace"
        )
    try:
        rows = list(csv.DictReader(io.StringIO(files[PREDICTIONS])))
    except csv.Error:
        rows = []
    actual, predicted = ([row.get(column) or "" for row in rows] for column in ("actual", "predicted"))
    md5 = files.stages["evaluate"].deps.get(TEST)
    if not rows or not all(actual + predicted) or not md5:
        raise UserError(
            f"{revision}: {PREDICTIONS} or {LOCK} is damaged, got no predictions or no hash of their images; "
            "`dvc repro` rewrites both"
        )
    return Results(revision, md5, actual, predicted)


def check_same_images(results: list[Results]) -> None:
    """Make sure that all were scored on the same test images.

    Raises:
        UserError: some were not.
    """
    first, *others = results
    for other in others:
        if (other.md5, other.actual) != (first.md5, first.actual):
            raise UserError(
                f"{TEST}: must be the same in all revisions, got different ones in {other.name} and "
                f"{first.name}; compare revisions with the same parameters in section download"
            )


def label(name: str, markdown: bool) -> str:
    """A name that leaves room in 80 columns; in Markdown as code, where the ~ of HEAD~1 strikes nothing out."""
    short = name if len(name) <= 18 else f"{name[:8]}…{name[-9:]}"
    return f"`{short}`" if markdown else short


def differences(results: list[Results], classes: bool) -> list[Difference]:
    """Each revision against the first; by class, too, if asked for."""
    first, *others = results
    names = sorted(set(first.actual), key=class_order) if classes else []
    judged = [list(zip(first.actual, first.predicted, other.predicted, strict=True)) for other in others]
    overall = corrected([compare(rows) for rows in judged])
    by_class = [corrected([compare([row for row in rows if row[0] == name]) for name in names]) for rows in judged]
    return [
        Difference(other.name, found, dict(zip(names, each, strict=True)))
        for other, found, each in zip(others, overall, by_class, strict=True)
    ]


def as_json(results: list[Results], found: list[Difference]) -> dict[str, Any]:
    """All numbers of the report, unrounded: accuracies and their differences are fractions."""
    return {
        "images": len(results[0].actual),
        "revisions": [item.score() for item in results],
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


def numbers(found: Comparison) -> dict[str, Any]:
    """`p` is that of the comparison alone, `p_holm` the corrected one."""
    low, high = found.interval
    return {
        "verdict": found.verdict,
        **found._asdict(),
        "p": mcnemar_test(found.gained, found.lost),
        "p_holm": found.p,
        "difference": found.difference,
        "difference_low": low,
        "difference_high": high,
    }


def report(results: list[Results], found: list[Difference], markdown: bool) -> list[str]:
    """Accuracies, differences from the first revision, and what follows from them: paragraphs and tables."""
    first = results[0].name
    header = [f"{len(results[0].actual):,} test images", "accuracy, %", "95 % interval"]
    accuracies = table(header, [accuracy_row(item) for item in results], markdown=markdown)
    header = [f"against {first}", *COLUMNS, "p (Holm)" if len(found) > 1 else "p"]
    compared = table(header, [[item.name, *cells(item.overall)] for item in found], markdown=markdown)
    verdicts = [conclusion(first, item.name, item.overall, len(found)) for item in found]
    by_class = [part for item in found if item.by_class for part in report_classes(first, item, markdown)]
    return [accuracies, compared, *verdicts, *by_class, NOTES.format(first=first)]


def report_classes(first: str, found: Difference, markdown: bool) -> list[str]:
    """Differences by actual class, and which of them are real."""
    rows = [[printable(name), f"{item.images:,}", *cells(item)] for name, item in found.by_class.items()]
    better, worse = (
        ", ".join(printable(name) for name, item in found.by_class.items() if item.verdict == verdict) or "none"
        for verdict in (BETTER, WORSE)
    )
    return [
        f"{found.name} against {first}, by actual class:",
        table(["class", "images", *COLUMNS, "p (Holm)"], rows, markdown=markdown),
        f"Evidence that {found.name} is better: on {better}; that it is worse: on {worse}.",
    ]


def accuracy_row(results: Results) -> list[str]:
    found = results.score()
    accuracy, low, high = (100 * found[f"accuracy{end}"] for end in ("", "_low", "_high"))
    return [results.name, f"{accuracy:.2f}", f"{low:.2f} to {high:.2f}"]


def cells(found: Comparison) -> list[str]:
    """The difference in points of accuracy, its interval, the counts, and p."""
    low, high = found.interval
    p = f"{found.p:.4f}" if found.p >= 0.0001 else "<0.0001"
    interval = f"{100 * low:+.2f} to {100 * high:+.2f}"
    return [f"{100 * found.difference:+.2f}", interval, f"{found.gained:,}", f"{found.lost:,}", p]


if __name__ == "__main__":
    run_command(main)
