"""Whether a difference is real: the statistics against published examples, and the tool on real experiments."""

import io
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import compare
from conftest import Run, commit, edit
from experiments import statistics

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, norm

Judged = list[tuple[str, str, str]]


def judged(both: int, gained: int, lost: int, neither: int) -> Judged:
    """Images that show a 1, with as many of each kind."""
    counts = {("1", "1"): both, ("0", "1"): gained, ("1", "0"): lost, ("0", "0"): neither}
    return [("1", *answers) for answers, count in counts.items() for _ in range(count)]


@pytest.mark.parametrize(
    ("gained", "lost", "expected"),
    [
        # Tuberculosis cultures, Armitage and Berry, Statistical methods in medical research (1994), p. 127; the exact p
        # is in StatsDirect's help page on matched pairs.
        (12, 2, 0.0129),
        # Airway reactivity (Bentur et al.), in Fagerland, Lydersen, Laake, BMC Medical Research Methodology 13 (2013).
        (1, 7, 0.0703),
        # The vignette of R's package exact2x2 (M. P. Fay).
        (9, 2, 0.06543),
    ],
)
def test_exact_p_of_published_examples(gained: int, lost: int, expected: float) -> None:
    assert statistics.mcnemar_test(gained, lost) == pytest.approx(expected, abs=6e-5)


def test_exact_p_is_the_enumeration_of_all_shares() -> None:
    for gained, lost in ((0, 0), (0, 1), (1, 0), (0, 6), (5, 5), (7, 30), (86, 150)):
        total = gained + lost
        as_uneven = [k for k in range(total + 1) if abs(2 * k - total) >= abs(gained - lost)]
        expected = sum(math.comb(total, k) for k in as_uneven) / 2**total
        assert statistics.mcnemar_test(gained, lost) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("gained", "lost", "images", "expected", "within"),
    [
        # The prime minister's approval, A. Agresti, Categorical data analysis: Wald's interval, in two digits.
        (86, 150, 1600, (-0.06, -0.02), 0.005),
        # Consolidation therapy (Cavo et al.): Newcombe's interval, of another method, in the tests of the R package
        # contingencytables, of Fagerland, Lydersen and Laake, Statistical analysis of contingency tables (2017).
        (6, 16, 161, (-0.1186, -0.0046), 0.002),
        # Worked out by hand: -6/23 -+ 1.96 * sqrt((10/23 - (6/23)^2) / 23).
        (1, 7, 21, (-0.5083, -0.0134), 1e-4),
    ],
)
def test_interval_of_the_difference(
    gained: int, lost: int, images: int, expected: tuple[float, float], within: float
) -> None:
    assert statistics.difference_interval(gained, lost, images) == pytest.approx(expected, abs=within)
    low, high = expected
    assert statistics.difference_interval(lost, gained, images) == pytest.approx((-high, -low), abs=within)


@pytest.mark.parametrize(
    ("images", "up", "down"), [(360, 0.03, 0.02), (10_000, 0.001, 0.001), (10_000, 0.0005, 0.001), (10_000, 0.05, 0.01)]
)
def test_interval_covers_the_true_difference(images: int, up: float, down: float) -> None:
    """In 95 % of simulated test sets; 4,000 of them tell it within 0.35 points (one standard error)."""
    draws = np.random.default_rng(0).multinomial(images, [up, down, 1 - up - down], size=4000)
    intervals = [statistics.difference_interval(int(gained), int(lost), images) for gained, lost, _ in draws]
    assert np.mean([low <= up - down <= high for low, high in intervals]) == pytest.approx(0.955, abs=0.015)


def test_interval_and_p_agree_but_for_close_calls() -> None:
    for gained in range(60):
        for lost in range(gained):
            p = statistics.mcnemar_test(gained, lost)
            low, _ = statistics.difference_interval(gained, lost, 10_000)
            assert (low > 0) == (p < 0.05) or 0.04 < p < 0.07, (gained, lost, p)


def test_wilson_interval_of_a_published_example() -> None:
    # R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998).
    assert statistics.wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert statistics.wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert statistics.wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_images_needed_of_a_published_example() -> None:
    # powerandsamplesize.com, "Compare Paired Proportions: McNemar's Z-test, 2-Sided Equality", which cites Connor.
    assert statistics.images_needed(0.45 + 0.05, 0.45 - 0.05) == 23


@pytest.mark.parametrize("level", [0.05, 0.05 / 3])
@pytest.mark.parametrize(("discordant", "images"), [(20, 360), (150, 10_000), (1000, 10_000), (40, 40)])
def test_the_detectable_difference_takes_just_these_images(discordant: int, images: int, level: float) -> None:
    seen = statistics.detectable_difference(discordant, images, level)
    assert seen is not None
    assert abs(statistics.images_needed(discordant / images, seen, level) - images) <= 1


@pytest.mark.parametrize(("discordant", "images"), [(0, 360), (3, 10_000), (40, 360), (150, 10_000), (1000, 10_000)])
def test_the_exact_test_sees_the_detectable_difference(discordant: int, images: int) -> None:
    """Its power, enumerated; that of the test with normal quantiles, which Connor's formula is about, is a bit more."""
    seen = statistics.detectable_difference(discordant, images)
    assert seen is not None
    share = max(discordant, 8) / images
    power = 0.0
    for total in range(1, round(images * share + 6 * math.sqrt(images * share))):
        gained = np.arange(total + 1)
        p = 2 * binom.cdf(np.minimum(gained, total - gained), total, 0.5)
        seen_then = binom.pmf(gained, total, (1 + seen / share) / 2)[p < 0.05].sum()
        power += binom.pmf(total, images, share) * seen_then
    assert 0.73 < power < 0.84


def test_too_few_images_to_see_any_difference() -> None:
    assert statistics.detectable_difference(0, 7) is None
    assert statistics.detectable_difference(0, 8) is not None
    assert (norm.ppf(0.975) + norm.ppf(0.8)) ** 2 == pytest.approx(7.85, abs=0.005)  # the familiar number


def test_holm_of_a_published_example() -> None:
    # Wikipedia, "Holm-Bonferroni method": of these four, the first and the last are rejected.
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.2]) == [0.2]
    assert statistics.holm([0.5, 0.9, 0.5]) == [1, 1, 1]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((1, 0, 0, 0), "B predicts the same as A for each of the 1 test images"),
        ((0, 1, 0, 0), "1 test images are too few to detect any"),
        ((0, 100, 0, 0), "B is better than A: it gets 100 more of 100 test images right"),
        ((0, 0, 100, 0), "B is worse than A: it gets 100 fewer of 100 test images right"),
        ((9000, 50, 50, 900), "points (80 % power); gains and losses cancel out here."),
        ((9000, 55, 45, 900), "points (80 % power); to confirm the 0.10 seen here takes about 78,000 images."),
        (
            (9995, 5, 0, 0),
            "would reveal one of about 0.08 points (80 % power); to confirm the 0.05 seen here takes about",
        ),
    ],
)
def test_the_sentence_to_act_on(counts: tuple[int, int, int, int], expected: str) -> None:
    found = statistics.compare(judged(*counts))
    assert expected in statistics.conclusion("A", "B", found, 1)


def test_other_mistakes_are_no_difference() -> None:
    found = statistics.compare([("1", "2", "3"), *judged(99, 0, 0, 0)])
    assert found == (100, 1, 0, 0, 1.0)
    assert "No evidence" in statistics.conclusion("A", "B", found, 1)


def test_many_comparisons_take_more_evidence() -> None:
    """Eight to one is evidence alone, but not as one of three, and then more images are needed."""
    found = statistics.compare(judged(991, 8, 1, 0))
    assert "better" in statistics.conclusion("A", "B", found, 1)
    three = statistics.corrected([found, found, found])
    assert three[0].p == pytest.approx(3 * found.p)
    sentence = statistics.conclusion("A", "B", three[0], 3)
    needed = re.search(r"takes about ([\d,]+) images\.", sentence)
    assert needed is not None and int(needed[1].replace(",", "")) > 1000


def test_names_of_any_length_fit() -> None:
    results = compare.Results("0123456789" * 4, "", ["1"] * 10_000, ["1"] * 10_000)
    other = results._replace(name="x" * 50, predicted=["0"] * 10_000)
    first, second = (item._replace(name=compare.label(item.name, markdown=False)) for item in (results, other))
    all_of_them = [first, second, second]
    parts = compare.report(all_of_them, compare.differences(all_of_them, classes=True))
    lines = "\n".join(compare.show(part, markdown=False) for part in parts).splitlines()
    assert max(map(len, lines)) <= 80
    assert "01234567…123456789" in lines[1]


@pytest.fixture(scope="module")
def experiments(finished: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A project with the experiment slow, which is in the workspace, too."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("compare") / "project"))
    run(folder, "dvc", "exp", "run", "--name", "slow", "-S", "train.lr=0.001", "evaluate")
    return folder


def test_two_revisions(experiments: Path, run: Run) -> None:
    """What is said of them is what their metrics and predictions say."""
    output = run(experiments, "python", "tools/compare.py", "HEAD", "slow")
    before, after = (read_right(experiments, run, name) for name in ("HEAD", "slow"))
    gained, lost = (~before & after).sum(), (before & ~after).sum()
    assert output.startswith("360 test images  accuracy, %")
    assert re.search(rf"HEAD +{100 * before.mean():.2f}  .* to .*\nslow +{100 * after.mean():.2f}  .* to ", output)
    assert re.search(rf"slow +-{100 * (lost - gained) / 360:.2f}  -.* to -.*  +{gained} +{lost}  <0.0001\n", output)
    assert f"slow is worse than HEAD: it gets {lost - gained} fewer of 360 test images right" in output
    assert "train.seed" in output
    assert max(map(len, output.splitlines())) <= 80
    low, high = statistics.wilson_interval(int(sum(before)), 360)
    metrics = json.loads(run(experiments, "git", "show", "HEAD:metrics/test.json"))
    assert (low, high) == pytest.approx((metrics["accuracy_low"], metrics["accuracy_high"]), abs=1e-6)


def read_right(folder: Path, run: Run, name: str) -> "pd.Series[bool]":
    """Which test images a commit, by its name of Git's or of DVC's, gets right."""
    listed = run(folder, "git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}").strip()
    table = pd.read_csv(io.StringIO(run(folder, "git", "show", f"{listed or name}:metrics/predictions.csv")))
    return table.actual == table.predicted


def test_what_is_compared_with_what(experiments: Path, run: Run) -> None:
    outputs = {
        names: run(experiments, "python", "tools/compare.py", *names)
        for names in ((), ("HEAD",), ("HEAD", "workspace"))
    }
    assert len(set(outputs.values())) == 1
    assert "against HEAD" in outputs[()]
    assert "workspace predicts the same as slow" in run(experiments / "tools", "python", "compare.py", "slow")


def test_several_revisions_classes_and_markdown(experiments: Path, run: Run) -> None:
    names = ("HEAD", "slow", "workspace", "HEAD~0")
    output = run(experiments, "python", "tools/compare.py", "--classes", *names)
    assert max(map(len, output.splitlines())) <= 80
    assert output.count("p (Holm)\n") == 4
    assert "slow is worse than HEAD" in output
    assert "HEAD~0 predicts the same as HEAD" in output
    assert re.search(r"Evidence that slow is better: on none; that it is worse: on \d", " ".join(output.split()))
    rows = re.findall(r"(?m)^\d +(\d+) ", output)
    assert len(rows) == 30
    assert sum(map(int, rows)) == 3 * 360

    markdown = run(experiments, "python", "tools/compare.py", "--classes", "--md", *names)
    assert (
        "| against `HEAD` | points | 95 % interval | gained | lost | p (Holm) |\n|---|---:|---:|---:|---:|---:|\n"
        in markdown
    )
    assert set(re.findall(r"[\d.]+", output)) == set(re.findall(r"[\d.]+", markdown))


def test_json_has_the_numbers_of_the_tables(experiments: Path, run: Run) -> None:
    names = ("HEAD", "slow", "HEAD~0")
    found = json.loads(run(experiments, "python", "tools/compare.py", "--classes", "--json", *names))
    output = run(experiments, "python", "tools/compare.py", "--classes", *names)
    rows = [line.split()[-7:-1] for line in output.splitlines()]
    assert found["images"] == 360
    assert [each["name"] for each in found["revisions"]] == list(names)
    for revision in found["revisions"]:
        right = read_right(experiments, run, revision["name"])
        assert (revision["errors"], revision["accuracy"]) == ((~right).sum(), right.mean())
        cells = (100 * revision[key] for key in ("accuracy", "accuracy_low", "accuracy_high"))
        assert re.search("{} +{:.2f} +{:.2f} to {:.2f}".format(revision["name"], *cells), output)
    slow, same = found["comparisons"]
    assert (slow["name"], slow["baseline"], slow["verdict"]) == ("slow", "HEAD", "worse")
    assert (same["name"], same["baseline"], same["verdict"]) == ("HEAD~0", "HEAD", "same predictions")
    assert slow["p"] == statistics.mcnemar_test(slow["gained"], slow["lost"])
    assert slow["p_holm"] == pytest.approx(2 * slow["p"])
    assert slow["difference"] == (slow["gained"] - slow["lost"]) / 360
    for entry in (slow, *slow["classes"]):
        points, low, high = (100 * entry[f"difference{end}"] for end in ("", "_low", "_high"))
        assert [f"{points:+.2f}", f"{low:+.2f}", "to", f"{high:+.2f}", str(entry["gained"]), str(entry["lost"])] in rows
    assert sum(each["images"] for each in slow["classes"]) == 360
    assert sum(each["gained"] for each in slow["classes"]) == slow["gained"]
    assert len(same["classes"]) == 10
    run(experiments, "python", "tools/compare.py", "--md", "--json", status=2)


def test_other_test_images_are_refused(project: Path, run: Run) -> None:
    """As those of the results that the project came with: MNIST's."""
    assert only_line(run(project, "python", "tools/compare.py", "HEAD~1", "HEAD", status=1)) == (
        "error: data/tensors/test.safetensors: has to be the same in all revisions, got different ones in HEAD and "
        "HEAD~1; compare revisions with the same parameters in section download\n"
    )


@pytest.mark.parametrize(
    ("file", "damage", "expected"),
    [
        ("dvc.lock", lambda text: f"<<<<<<< HEAD\n{text}", "workspace: dvc.lock is damaged"),
        ("dvc.lock", lambda _: "stages: {evaluate: {}}", "or dvc.lock is damaged"),
        (
            "dvc.lock",
            lambda text: re.sub(r"(test.safetensors\n.*\n +md5:) \w+", r"\1 ab", text),
            "got different ones",
        ),
        ("metrics/predictions.csv", lambda _: "", "or dvc.lock is damaged"),
        ("metrics/predictions.csv", lambda _: "\xff\0", "or dvc.lock is damaged"),
        ("metrics/predictions.csv", lambda text: text[: text.index("\n5,") + 3], "or dvc.lock is damaged"),
        (
            "metrics/predictions.csv",
            lambda text: text[: text.index("\n5,") + 1],
            "got different ones",
        ),
    ],
)
def test_damaged_results_are_named(
    project: Path, run: Run, file: str, damage: Callable[[str], str], expected: str
) -> None:
    text = (project / file).read_text(encoding="utf-8")
    (project / file).write_bytes(damage(text).encode("latin-1"))
    assert expected in only_line(run(project, "python", "tools/compare.py", status=1))


def test_missing_results_and_revisions_are_named(project: Path, run: Run) -> None:
    output = run(project, "python", "tools/compare.py", "HEAD", "no-such", status=1)
    assert "error: revision: " in only_line(output)
    assert "got no-such" in output
    for file in ("dvc.lock", "metrics/predictions.csv"):
        (project / file).unlink()
        output = run(project, "python", "tools/compare.py", status=1)
        assert f"error: {file}: is missing in the workspace; `dvc repro` makes it" in only_line(output)
    commit(project, run)
    assert "is missing in HEAD" in only_line(run(project, "python", "tools/compare.py", "HEAD~1", "HEAD", status=1))


def only_line(output: str) -> str:
    assert output.count("\n") == 1, output
    return output


def test_what_is_not_scored_is_not_compared(project: Path, run: Run) -> None:
    edit(project / "params.yaml", "lr: 0.1", "lr: 0.2")
    run(project, "dvc", "repro", "train")
    compare = "python", "tools/compare.py"
    assert "got predictions of an earlier one; `dvc repro` scores it\n" in run(project, *compare, status=1)
    commit(project, run)
    output = run(project, *compare, "HEAD", "HEAD~1", status=1)
    assert "got predictions of an earlier one; `git checkout HEAD && dvc repro` scores it in the workspace\n" in output
    (project / "metrics/train.json").unlink()  # as a training that was interrupted leaves it
    output = run(project, *compare, "HEAD~1", status=1)
    assert output == "error: metrics/train.json: is missing in the workspace; `dvc repro` makes it\n"
