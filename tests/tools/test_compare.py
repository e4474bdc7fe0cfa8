"""Whether a difference is real: the statistics against published examples, and the tool on real experiments."""

import io
import json
import math
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import compare
from bad_input import CHARACTERS, many
from conftest import Call, MakeProject, Run, commit, edit
from digits.foundation.stage import UserError
from experiments import image_report, statistics
from experiments.predictions import Results
from experiments.revisions import read_files
from tables import labels

Judged = list[tuple[str, str, str]]


def judged(both: int, gained: int, lost: int, neither: int) -> Judged:
    """Images that show a 1, with as many of each kind."""
    counts = {("1", "1"): both, ("0", "1"): gained, ("1", "0"): lost, ("0", "0"): neither}
    return [("1", *answers) for answers, count in counts.items() for _ in range(count)]


def test_exact_p() -> None:
    # Tuberculosis cultures, Armitage and Berry, Statistical methods in medical research (1994), p. 127; the exact p
    # is in StatsDirect's help page on matched pairs.
    assert statistics.mcnemar_test(12, 2) == pytest.approx(0.0129, abs=6e-5)
    for gained, lost in ((0, 0), (0, 1), (1, 0), (0, 6), (5, 5), (7, 30), (86, 150)):
        total = gained + lost
        as_uneven = [k for k in range(total + 1) if abs(2 * k - total) >= abs(gained - lost)]
        expected = sum(math.comb(total, k) for k in as_uneven) / 2**total
        assert statistics.mcnemar_test(gained, lost) == pytest.approx(expected, rel=1e-9)


def test_interval_of_the_difference() -> None:
    # Consolidation therapy (Cavo et al.): Newcombe's interval, of another method, in the tests of the R package
    # contingencytables, of Fagerland, Lydersen and Laake, Statistical analysis of contingency tables (2017).
    assert statistics.difference_interval(6, 16, 161) == pytest.approx((-0.1186, -0.0046), abs=0.002)
    # Worked out by hand: -6/23 -+ 1.96 * sqrt((10/23 - (6/23)^2) / 23).
    assert statistics.difference_interval(1, 7, 21) == pytest.approx((-0.5083, -0.0134), abs=1e-4)
    assert statistics.difference_interval(7, 1, 21) == pytest.approx((0.0134, 0.5083), abs=1e-4)


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


def test_images_needed_of_a_published_example() -> None:
    # powerandsamplesize.com, "Compare Paired Proportions: McNemar's Z-test, 2-Sided Equality", which cites Connor.
    assert statistics.images_needed(0.45 + 0.05, 0.45 - 0.05) == 23


def test_holm_of_a_published_example() -> None:
    # Wikipedia, "Holm-Bonferroni method": of these four, the first and the last are rejected.
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.2]) == [0.2]
    assert statistics.holm([0.5, 0.9, 0.5]) == [1, 1, 1]


def test_the_sentence_to_act_on() -> None:
    for counts, expected in [
        ((1, 0, 0, 0), "B predicts the same as A for each of the 1 test images"),
        ((0, 1, 0, 0), "No evidence of a difference between B and A: to confirm the 100.00 points seen here takes "),
        ((0, 100, 0, 0), "B is better than A: it gets 100 more of 100 test images correct"),
        ((0, 0, 100, 0), "B is worse than A: it gets 100 fewer of 100 test images correct"),
        ((9000, 50, 50, 900), "No evidence of a difference between B and A: gains and losses cancel out here."),
        ((9000, 55, 45, 900), "to confirm the 0.10 points seen here takes about 78,000 images (80 % power)."),
    ]:
        assert expected in statistics.conclusion("A", "B", statistics.compare(judged(*counts)), 1)
    other_mistakes = statistics.compare([("1", "2", "3"), *judged(99, 0, 0, 0)])
    assert other_mistakes == (100, 1, 0, 0, 1.0)
    assert "No evidence" in statistics.conclusion("A", "B", other_mistakes, 1)


def test_many_comparisons_take_more_evidence() -> None:
    """Eight to one is evidence alone, but not as one of three, and then more images are needed."""
    found = statistics.compare(judged(991, 8, 1, 0))
    assert "better" in statistics.conclusion("A", "B", found, 1)
    three = statistics.corrected([found, found, found])
    assert three[0].p == pytest.approx(3 * found.p)
    sentence = statistics.conclusion("A", "B", three[0], 3)
    needed = re.search(r"takes about ([\d,]+) images", sentence)
    assert needed is not None and int(needed[1].replace(",", "")) > 1000


def test_names_of_any_length_and_kind_fit() -> None:
    classes = ["1"] * 5000 + ["a|b\x1b[31m"] * 5000
    results = Results("0123456789" * 4, "", classes, classes)
    other = results._replace(name="x" * 50, predicted=["0"] * 10_000)
    names = labels([results.name, other.name], markdown=False)
    first, second = (item._replace(name=name) for item, name in zip((results, other), names, strict=True))
    all_of_them = [first, second, second]
    text, markdown = (
        image_report.report(all_of_them, image_report.differences(all_of_them, classes=True), markdown)
        for markdown in (False, True)
    )
    tables = [part for part in text if "\n" in part]
    assert max(len(line) for part in tables for line in part.splitlines()) <= 80
    assert "01234567…123456789" in text[0]
    assert "\x1b" not in "".join(text + markdown)
    for part in (part for part in markdown if "\n" in part):
        assert len({line.replace(r"\|", "").count("|") for line in part.splitlines()}) == 1


@pytest.fixture(scope="module")
def experiments(copy_finished: MakeProject, run: Run) -> Path:
    """A project with the experiment slow, which is in the workspace, too."""
    folder = copy_finished()
    run(folder, "dvc", "exp", "run", "--name", "slow", "-S", "train.lr=0.001", "evaluate")
    return folder


def read_correct(folder: Path, run: Run, name: str) -> "pd.Series[bool]":
    """Which test images a commit, by its name of Git's or of DVC's, gets right."""
    listed = run(folder, "git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}").strip()
    table = pd.read_csv(io.StringIO(run(folder, "git", "show", f"{listed or name}:metrics/predictions.csv")))
    return table.actual == table.predicted


def test_what_is_compared_by_default(experiments: Path, run: Run, call: Call) -> None:
    assert re.search(r" p\nslow .* <0\.0001\n", call(compare, experiments, "HEAD", "slow")[0])
    same = {call(compare, experiments, *names)[0] for names in ((), ("HEAD",), ("HEAD", "workspace"))}
    assert len(same) == 1
    assert "against HEAD" in same.pop()
    assert "workspace predicts the same as slow" in run(experiments / "tools", "python", "compare.py", "slow")


def test_several_revisions_classes_and_formats(experiments: Path, run: Run, call: Call) -> None:
    names = ("HEAD", "slow", "HEAD~0")
    output, _ = call(compare, experiments, "--classes", *names)
    assert max(map(len, output.splitlines())) <= 80
    assert output.count("p (Holm)\n") == 3
    assert "HEAD~0 predicts the same as HEAD" in output
    assert re.search(r"Evidence that slow is better: on none; that it is worse: on \d", " ".join(output.split()))
    images = re.findall(r"(?m)^\d +(\d+) ", output)
    assert (len(images), sum(map(int, images))) == (20, 2 * 360)

    markdown, _ = call(compare, experiments, "--classes", "--md", *names)
    assert re.search(r"\| against `HEAD` +\| +points \| .*\n\|:-+\|-+:\|-+:\|-+:\|-+:\|-+:\|\n", markdown)
    assert set(re.findall(r"[\d.]+", output)) == set(re.findall(r"[\d.]+", markdown))

    found = json.loads(call(compare, experiments, "--classes", "--json", *names)[0])
    rows = [line.split()[-7:-1] for line in output.splitlines()]
    assert found["images"] == 360
    assert [each["name"] for each in found["revisions"]] == list(names)
    for revision in found["revisions"]:
        correct = read_correct(experiments, run, revision["name"])
        assert (revision["errors"], revision["accuracy"]) == ((~correct).sum(), correct.mean())
        cells = (100 * revision[key] for key in ("accuracy", "accuracy_low", "accuracy_high"))
        assert re.search("{} +{:.2f} +{:.2f} to {:.2f}".format(revision["name"], *cells), output)
    slow, same = found["comparisons"]
    assert (slow["name"], slow["baseline"], slow["verdict"]) == ("slow", "HEAD", "worse")
    assert (same["name"], same["baseline"], same["verdict"]) == ("HEAD~0", "HEAD", "same predictions")
    before, after = (read_correct(experiments, run, name) for name in names[:2])
    assert (slow["gained"], slow["lost"]) == ((~before & after).sum(), (before & ~after).sum())
    fewer = slow["lost"] - slow["gained"]
    assert f"slow is worse than HEAD: it gets {fewer} fewer of 360 test images correct" in " ".join(output.split())
    assert slow["p"] == statistics.mcnemar_test(slow["gained"], slow["lost"])
    assert slow["p_holm"] == pytest.approx(2 * slow["p"])
    assert slow["difference"] == (slow["gained"] - slow["lost"]) / 360
    for entry in (slow, *slow["classes"]):
        points, low, high = (100 * entry[f"difference{end}"] for end in ("", "_low", "_high"))
        assert [f"{points:+.2f}", f"{low:+.2f}", "to", f"{high:+.2f}", str(entry["gained"]), str(entry["lost"])] in rows
    for key in ("images", "gained"):
        assert sum(each[key] for each in slow["classes"]) == slow[key]
    assert len(same["classes"]) == 10
    call(compare, experiments, "--md", "--json", status=2)

    assert call(compare, experiments, "--fail-if-worse", "--json", "HEAD", "slow", status=1)[0].endswith("\n}\n")
    call(compare, experiments, "--fail-if-worse", "slow", "HEAD")


NAMES = ["--all", "-n1", "--output=x", "HEAD:x", "HEAD^{tree}", "@{1", "@{-1}", ":/", "..", "^HEAD", "refs/heads/*"]


@many(30)
@given(st.text(CHARACTERS, max_size=9) | st.sampled_from(NAMES))
def test_any_name_of_a_revision(name: str) -> None:
    with suppress(UserError):
        assert re.fullmatch("[0-9a-f]{40}", str(read_files([name], ["no such file"])[name].commit))


def test_what_cannot_be_compared_is_said(project: Path, run: Run, call: Call) -> None:
    def problem(*arguments: str) -> str:
        _, said = call(compare, project, *arguments, status=1)
        assert said.count("\n") == 1, said
        return said

    # The results that the project came with are of MNIST.
    assert problem("HEAD~1", "HEAD") == (
        "error: data/tensors/test.safetensors: must be the same in all revisions, got different ones in HEAD and "
        "HEAD~1; compare revisions with the same parameters in section download\n"
    )
    assert "error: revision: must be a commit, " in problem("HEAD", "no-such")

    lock, predictions = project / "dvc.lock", project / "metrics/predictions.csv"
    cases: list[tuple[Path, Callable[[str], str], str]] = [
        (lock, lambda text: f"<<<<<<< HEAD\n{text}", "workspace: dvc.lock is damaged"),
        (lock, lambda _: "stages: {evaluate: {}}", "got predictions of an earlier one"),
        (lock, lambda text: re.sub(r"(test.safetensors\n.*\n +md5:) \w+", r"\1 ab", text), "got different ones"),
        (predictions, lambda _: "", "or dvc.lock is damaged"),
        (predictions, lambda _: "\xff\0", "or dvc.lock is damaged"),
        (predictions, lambda text: text[: text.index("\n5,") + 3], "or dvc.lock is damaged"),
        (predictions, lambda text: text[: text.index("\n5,") + 1], "got different ones"),
    ]
    for file, damage, expected in cases:
        text = file.read_text(encoding="utf-8")
        file.write_bytes(damage(text).encode("latin-1"))
        assert expected in problem()
        file.write_text(text, encoding="utf-8")
    for file in (lock, predictions):
        file.rename(project / "kept")
        assert f"{file.name}: is missing in the workspace; `dvc repro` makes it" in problem()
        (project / "kept").rename(file)

    edit(project / "params.yaml", "lr: 0.1", "lr: 0.2")
    run(project, "dvc", "repro", "train")
    assert problem().endswith("got predictions of an earlier one; `dvc repro` scores it in the workspace\n")
    commit(project, run)
    assert "`git checkout HEAD && dvc repro` scores it in the workspace" in problem("HEAD", "HEAD~1")
    (project / "metrics/train.json").unlink()  # as a training that was interrupted leaves it
    assert problem("HEAD~1") == "error: metrics/train.json: is missing in the workspace; `dvc repro` makes it\n"


def test_in_a_folder_of_a_larger_repository(finished: Path, tmp_path: Path, run: Run, call: Call) -> None:
    project = tmp_path / "larger/project"
    shutil.copytree(finished, project, ignore=shutil.ignore_patterns(".git", "cache"))
    run(project.parent, "git", "init", "--quiet")
    commit(project.parent, run)
    assert "workspace predicts the same as HEAD" in call(compare, project)[0]


def test_gits_own_words_are_shown(finished: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    """Such as those about a repository that belongs to another user."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    _, said = call(compare, finished, status=1)
    assert said.startswith("error: git: `git for-each-ref` failed, got fatal: ")
    assert "git config --global --add safe.directory" in said
