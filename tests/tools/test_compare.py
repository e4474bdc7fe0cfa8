"""Whether a difference is real: the statistics against published examples and known truths, and real experiments."""

import io
import json
import math
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t, ttest_1samp

import compare
import verdict_coverage as benchmark
from bad_input import CHARACTERS, many
from conftest import Call, MakeProject, Run, commit, committed, edit
from digits.foundation.stage import UserError
from experiments import image_report, statistics
from experiments.crossed import Crossed, crossed, sign_flip_test
from experiments.predictions import Group, Results, model_of
from experiments.revisions import read_files
from experiments.seed_report import differences, report
from experiments.statistics import SAME, WORSE
from tables import labels, probability


def judged(both: int, gained: int, lost: int, neither: int) -> list[tuple[str, str, str]]:
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


def test_images_needed_and_holm_of_published_examples() -> None:
    # powerandsamplesize.com, "Compare Paired Proportions: McNemar's Z-test, 2-Sided Equality", which cites Connor.
    assert statistics.images_needed(0.45 + 0.05, 0.45 - 0.05) == 23
    # Wikipedia, "Holm-Bonferroni method": of these four, the first and the last are rejected.
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.2]) == [0.2]
    assert statistics.holm([0.5, 0.9, 0.5]) == [1, 1, 1]


def test_the_sentence_to_act_on() -> None:
    for counts, comparisons, expected in [
        ((1, 0, 0, 0), 1, "B predicts the same as A for each of the 1 test images"),
        ((0, 1, 0, 0), 1, "No evidence of a difference between B and A: to confirm the 100.00 points seen here takes "),
        ((0, 100, 0, 0), 1, "B is better than A: it gets 100 more of 100 test images correct"),
        ((0, 0, 100, 0), 1, "B is worse than A: it gets 100 fewer of 100 test images correct"),
        ((9000, 50, 50, 900), 1, "No evidence of a difference between B and A: gains and losses cancel out here."),
        ((9000, 55, 45, 900), 1, "to confirm the 0.10 points seen here takes about 78,000 images (80 % power)."),
        # Eight to one is evidence alone, but not as one of three, and then more images are needed.
        ((991, 8, 1, 0), 1, "B is better than A: it gets 7 more of 1,000 test images correct"),
        ((991, 8, 1, 0), 3, "to confirm the 0.70 points seen here takes about 1,900 images (80 % power)."),
    ]:
        found, *_ = statistics.corrected([statistics.compare(judged(*counts))] * comparisons)
        assert expected in statistics.conclusion("A", "B", found, comparisons)
    other_mistakes = statistics.compare([("1", "2", "3"), *judged(99, 0, 0, 0)])
    assert other_mistakes == (100, 1, 0, 0, 1.0)
    assert "No evidence" in statistics.conclusion("A", "B", other_mistakes, 1)


@pytest.mark.parametrize("markdown", [False, True])
def test_names_of_any_length_and_kind_fit(monkeypatch: pytest.MonkeyPatch, markdown: bool) -> None:
    classes = ["1"] * 5000 + ["a|b\x1b[31m"] * 5000
    first = Results("0123456789" * 4, "", classes, classes)
    second = first._replace(name="x" * 50, predicted=["0"] * 10_000)
    monkeypatch.setattr(image_report, "read_results", lambda _: [first, second, second._replace(name="y")])
    _, parts = image_report.report_images([], True, markdown)
    assert "\x1b" not in "".join(parts)
    assert "01234567…123456789" in parts[0]
    for lines in (part.splitlines() for part in parts if "\n" in part):
        assert len({line.replace(r"\|", "").count("|") for line in lines if markdown}) == int(markdown)
        assert markdown or max(map(len, lines)) <= 80


def test_names_that_begin_and_end_alike_stay_apart() -> None:
    names = [f"train.optimizer={name},train.epochs=1,train.seed=0" for name in ("adam", "sgd")]
    assert labels(names, markdown=False) == ["…adam,train.epochs", "…sgd,train.epochs="]
    assert labels(["same", "same"], markdown=True) == ["`same`", "`same`"]


def predictions(folder: Path, run: Run, name: str) -> pd.DataFrame:
    """Those of a commit, by its name of Git's or of DVC's, and whether they are correct."""
    table = pd.read_csv(io.StringIO(committed(folder, name, "metrics/predictions.csv", run)))
    return table.assign(correct=table.actual == table.predicted)


def test_what_is_compared_by_default_and_several_revisions_in_all_formats(project: Path, run: Run, call: Call) -> None:
    run(project, "dvc", "exp", "run", "--name", "slow", "-S", "train.lr=0.001", "evaluate")
    assert re.search(r" p\nslow .* <0\.0001\n", call(compare, project, "HEAD", "slow")[0])
    same = {call(compare, project, *names)[0] for names in ((), ("HEAD",), ("workspace",), ("HEAD", "workspace"))}
    assert len(same) == 1
    assert "against HEAD" in same.pop()
    assert "workspace predicts the same as slow" in run(project / "tools", "python", "compare.py", "slow")

    names = ("HEAD", "slow", "HEAD~0")
    output, _ = call(compare, project, "--classes", *names)
    assert max(map(len, output.splitlines())) <= 80
    assert output.count("p (Holm)\n") == 3
    assert "HEAD~0 predicts the same as HEAD" in output
    assert re.search(r"Evidence that slow is better: on none; that it is worse: on \d", " ".join(output.split()))

    markdown, _ = call(compare, project, "--classes", "--md", *names)
    assert re.search(r"\| against `HEAD` +\| +points \| .*\n\|:-+\|-+:\|-+:\|-+:\|-+:\|-+:\|\n", markdown)
    assert set(re.findall(r"[\d.]+", output)) == set(re.findall(r"[\d.]+", markdown))

    found = json.loads(call(compare, project, "--classes", "--json", *names)[0])
    assert found["images"] == 360
    assert [each["name"] for each in found["revisions"]] == list(names)
    for revision in found["revisions"]:
        correct = predictions(project, run, revision["name"]).correct
        assert (revision["errors"], revision["accuracy"]) == ((~correct).sum(), correct.mean())
        cells = (100 * revision[key] for key in ("accuracy", "accuracy_low", "accuracy_high"))
        assert re.search("{} +{:.2f} +{:.2f} to {:.2f}".format(revision["name"], *cells), output)
    slow, same = found["comparisons"]
    assert (same["name"], same["baseline"], same["verdict"], same["changed"]) == ("HEAD~0", "HEAD", SAME, 0)
    before, after = (predictions(project, run, name) for name in names[:2])
    gained, lost = int((~before.correct & after.correct).sum()), int((before.correct & ~after.correct).sum())
    p, (low, high) = statistics.mcnemar_test(gained, lost), statistics.difference_interval(gained, lost, 360)
    by_class = slow.pop("classes")
    assert slow == {
        "name": "slow", "baseline": "HEAD", "verdict": WORSE, "images": 360, "gained": gained, "lost": lost,
        "changed": (before.predicted != after.predicted).sum(), "p": p, "p_holm": pytest.approx(2 * p),
        "difference": (gained - lost) / 360, "difference_low": low, "difference_high": high,
    }  # fmt: skip
    assert f"slow is worse than HEAD: it gets {lost - gained} fewer of 360 test images" in " ".join(output.split())
    lines = [" ".join(line.split()) for line in output.splitlines()]
    for entry in (slow, *by_class):
        name = f"{entry['class']} {entry['images']}" if "class" in entry else "slow"
        ends = [f"{100 * entry[f'difference{end}']:+.2f}" for end in ("", "_low", "_high")]
        others = entry["gained"], entry["lost"], probability(entry["p_holm"])
        assert "{} {} {} to {} {} {} {}".format(name, *ends, *others) in lines
    for key in ("images", "gained"):
        assert sum(each[key] for each in by_class) == slow[key]
    assert len(by_class) == len(same["classes"]) == 10
    call(compare, project, "--md", "--json", status=2)

    assert call(compare, project, "--fail-if-worse", "--json", "HEAD", "slow", status=1)[0].endswith("\n}\n")
    call(compare, project, "--fail-if-worse", "slow", "HEAD")


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


def test_mean_squares_are_those_of_a_textbook() -> None:
    """By the definitions, cell by cell."""
    values = np.random.default_rng(0).integers(-1, 2, (4, 30))
    mean, of_seeds, of_images = values.mean(), values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    rest = values - of_seeds - of_images + mean
    sums = 30 * ((of_seeds - mean) ** 2).sum(), 4 * ((of_images - mean) ** 2).sum(), (rest**2).sum()
    assert crossed(values) == pytest.approx((4, 30, mean, sums[0] / 3, sums[1] / 29, sums[2] / (3 * 29)))
    assert crossed(values).sd == pytest.approx(of_seeds.std(ddof=1))


def test_the_interval_is_that_of_one_sample_where_the_other_does_not_vary() -> None:
    by_seed = np.array([0, 1, 1, -1, 1] * 4)
    for values, sample in ((np.tile(by_seed[:, None], (1, 8)), by_seed), (np.tile(by_seed, (3, 1)), by_seed)):
        expected = ttest_1samp(sample, 0).confidence_interval(0.95)
        assert crossed(values).interval() == pytest.approx((expected.low, expected.high))
    assert crossed(np.zeros((5, 300), int)).interval() == pytest.approx((-0.01, 0.01), abs=2e-4)  # the rule of three


@pytest.mark.parametrize("seeds", [3, 6])
@pytest.mark.parametrize("scenario", [benchmark.Scenario(1000, (0.96, 0.96), sd) for sd in (0, 0.005)])
def test_the_interval_holds_the_truth(scenario: benchmark.Scenario, seeds: int) -> None:
    """In about 95 % of 500 simulated experiments, which tell it within a point (one standard error)."""
    assert benchmark.coverage(scenario, seeds, 500) == pytest.approx(0.95, abs=0.03)


def test_simulated_recipes_are_as_good_and_as_uneven_as_they_say() -> None:
    scenario, rng = benchmark.Scenario(20_000, (0.9, 0.9), 0.01), np.random.default_rng(0)
    right = benchmark.answers(math.sqrt(0.9) * rng.standard_normal(20_000), 0.9, scenario, 200, rng)
    assert right.mean() == pytest.approx(0.9, abs=0.005)
    assert right.mean(axis=1).std() == pytest.approx(0.01, rel=0.2)


def test_what_it_takes() -> None:
    model = Crossed(seeds=4, images=1000, mean=0.01, ms_seeds=0.3, ms_images=0.05, ms_rest=0.03)
    assert model.margin() > 0.01
    seeds, images = model.needed()
    assert seeds is not None and images is None
    enough, fewer = (
        model._replace(seeds=count, ms_images=0.03 + count * 0.005).margin() for count in (4 + seeds, 3 + seeds)
    )
    assert enough < 0.01 <= fewer
    small = model._replace(mean=0.004)
    assert small.needed() == (None, small.images_needed())
    assert small.images_needed() == math.ceil(0.005 * (t.ppf(0.975, 999) / 0.004) ** 2) > 1000
    assert small.images_needed(0.01) > small.images_needed()


def test_exact_p_by_seed() -> None:
    # Darwin's maize, Fisher (1935), section 21: 863 of 32,768 sums are 314 eighths of an inch or more.
    darwin = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert sign_flip_test(darwin) == 2 * 863 / 32_768
    for sample in ([3], [0, 0], [1, -1, 2], [5, 4, 3, 2, 1, 1]):
        sums = [
            sum(s * x for s, x in zip(signs, sample, strict=True)) for signs in product((-1, 1), repeat=len(sample))
        ]
        assert sign_flip_test(sample) == np.mean([abs(each) >= abs(sum(sample)) for each in sums])


def test_what_images_explain_of_the_spread_between_seeds() -> None:
    assert model_of(made_up(6, 50)).share_of_images is None
    assert model_of(made_up(6, 50, luck=1)).share_of_images is None  # one error each
    luck = np.random.default_rng(0).random((200, 1000)) < 0.1
    assert crossed(luck.astype(int)).share_of_images == pytest.approx(1, abs=0.2)
    shared = np.repeat([[1] * 400 + [0] * 600, [1] * 600 + [0] * 400], 3, axis=0)
    assert crossed(shared).share_of_images == pytest.approx(0.006, abs=0.004)


def made_up(seeds: int, wrong: int, luck: int = 0) -> Group:
    """A recipe that gets the first `wrong` of 1,000 images wrong, and by chance `luck` others with each seed."""
    group = {seed: np.ones(1000, np.int64) for seed in range(seeds)}
    for seed, correct in group.items():
        correct[:wrong] = 0
        correct[500 + seed * luck : 500 + (seed + 1) * luck] = 0
    return group


def test_the_sentence_to_act_on_and_the_width() -> None:
    groups = {"x" * 30: made_up(8, 50, luck=1), "y" * 30: made_up(9, 20, luck=1), "worse": made_up(8, 90)}
    groups |= {"close": made_up(6, 47), "few": made_up(3, 50, luck=1)}
    found = differences(groups)
    assert [item.verdict for item in found] == ["better", "worse", *["no evidence of a difference"] * 2]
    *tables, better, worse, close, few, _ = report(groups, found, markdown=False)
    assert max(len(line) for part in tables for line in part.splitlines()) <= 80
    assert "better than xxxxxxxx…xxxxxxxxx: its mean accuracy over 8 seeds is 3.00 points higher, more than" in better
    assert "is worse than" in worse
    assert (
        "no number of seeds would make the 0.40 points seen here evidence; it takes more test images, at least" in close
    )
    assert few.endswith("they get the same images right.")
    # Twice 2^(1-8) at first, and corrected for the number of rows; few seeds cannot reach what that asks for.
    last_columns = [line.split()[-2:] for line in tables[1].splitlines()[1:]]
    assert last_columns == [["8", "0.0312"], ["8", "0.0312"], ["8+", "seeds"], ["8+", "seeds"]]
    assert "95 % together" in tables[1]
    alone, joint = differences(dict([*groups.items()][:2]))[0], found[0]
    assert alone.model.margin(alone.level) < joint.model.margin(joint.level)


@pytest.mark.long
def test_real_experiments(copy_with_experiments: MakeProject, run: Run, call: Call) -> None:
    project = copy_with_experiments()
    both = "seed-1", "slow-1"
    found = json.loads(call(compare, project, "--seeds", "--json", "--fail-if-worse", *both, status=1)[0])
    assert [(group["name"], group["seeds"]) for group in found["groups"]] == [(name, [0, 1]) for name in both]

    names = "HEAD", "seed-1", "slow-0", "slow-1"
    accuracies = np.array([predictions(project, run, name).correct.mean() for name in names]).reshape(2, 2)
    assert np.allclose([group["accuracies"] for group in found["groups"]], accuracies)
    (compared,) = found["comparisons"]
    assert (compared["name"], compared["baseline"], compared["seeds"]) == ("slow-1", "seed-1", [0, 1])
    difference = (accuracies[1] - accuracies[0]).mean()
    assert compared["difference"] == pytest.approx(difference)
    assert (compared["verdict"], compared["p"]) == ("worse", 0.5)
    text, _ = call(compare, project, "--seeds", "--md", "HEAD", "slow-0")
    assert f"| `slow-0` | {100 * difference:+.2f} |" in " ".join(text.split())
    described = call(compare, project, "--seeds", "slow-1")[0]
    assert "slow-1 is worse" not in described
    assert "-\n" not in described  # names stay whole
    advice = "`dvc exp apply unscored; dvc repro` scores it in the workspace"
    assert f"got predictions of an earlier one; {advice}" in call(compare, project, "HEAD", "unscored", status=1)[1]
    for recipes, problem in [
        (("HEAD", "seed-1"), "error: revisions: must differ in more than train.seed, got HEAD, seed-1; "),
        (("unscored",), "error: train.seed: unscored must have two seeds or more, with test results, got [2]; `dvc "),
        (("HEAD", "unscored"), "and unscored must have two seeds or more in common, with test results, got none; "),
    ]:
        assert problem in call(compare, project, "--seeds", *recipes, status=1)[1]
