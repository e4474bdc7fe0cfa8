"""One model against another, image by image: numbers, tables, and what follows from them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from digits.dataset import class_order
from digits.foundation.params import printable
from experiments.predictions import Results, read_results
from experiments.statistics import BETTER, WORSE, Comparison, compare, conclusion, corrected, mcnemar_test
from tables import labels, percents, probability, table

COLUMNS = ["points", "95 % interval", "gained", "lost"]
NOTES = (
    "gained: images that only this revision gets right; lost: images that only {first} gets right; p: exact McNemar "
    "test (Holm: corrected for the number of rows in its table; the intervals are not). Another train.seed changes "
    "results, too, perhaps by more: with several seeds of each, --seeds accounts for that."
)


class Difference(NamedTuple):
    """A revision against the first, on all test images, and on those of each class; p is corrected by Holm's method."""

    name: str
    overall: Comparison
    by_class: dict[str, Comparison]


def report_images(revisions: Sequence[str], classes: bool, markdown: bool) -> tuple[dict[str, Any], list[str]]:
    """Each revision against the first, for `classes` by class, too: for JSON, and as text; raises as `read_results`."""
    results = read_results(revisions)
    found = differences(results, classes)
    names = labels([item.name for item in results], markdown)
    shown = [item._replace(name=name) for item, name in zip(results, names, strict=True)]
    found_shown = [item._replace(name=name) for item, name in zip(found, names[1:], strict=True)]
    return as_json(results, found), report(shown, found_shown, markdown)


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
    scores = [item.score() for item in results]
    rows = [
        [each["name"], f"{100 * each['accuracy']:.2f}", percents((each["accuracy_low"], each["accuracy_high"]))]
        for each in scores
    ]
    accuracies = table(header, rows, markdown=markdown)
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


def cells(found: Comparison) -> list[str]:
    """The difference in points of accuracy, its interval, the counts, and p."""
    counts = [f"{count:,}" for count in (found.gained, found.lost)]
    return [f"{100 * found.difference:+.2f}", percents(found.interval, "+"), *counts, probability(found.p)]
