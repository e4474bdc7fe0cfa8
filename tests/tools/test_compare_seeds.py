"""Whether a recipe is better: the model of seeds and images, against known truths, and the tool on real experiments."""

import json
import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, ttest_1samp

import compare
import verdict_coverage as benchmark
from conftest import Call, MakeProject, Run, commit
from experiments.crossed import Crossed, crossed, sign_flip_test
from experiments.seed_groups import Group, model_of
from experiments.seed_report import differences, report
from tables import labels


def test_mean_squares_are_those_of_a_textbook() -> None:
    """By the definitions, cell by cell."""
    values = np.random.default_rng(0).integers(-1, 2, (4, 30))
    mean, of_seeds, of_images = values.mean(), values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    found = crossed(values)
    assert (found.seeds, found.images) == (4, 30)
    assert found.mean == pytest.approx(mean)
    assert found.ms_seeds == pytest.approx(30 * ((of_seeds - mean) ** 2).sum() / 3)
    assert found.ms_images == pytest.approx(4 * ((of_images - mean) ** 2).sum() / 29)
    assert found.ms_rest == pytest.approx(((values - of_seeds - of_images + mean) ** 2).sum() / (3 * 29))
    assert found.sd == pytest.approx(of_seeds.std(ddof=1))


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


def test_names_that_begin_and_end_alike_stay_apart() -> None:
    names = [f"train.optimizer={name},train.epochs=1,train.seed=0" for name in ("adam", "sgd")]
    group, other = made_up(6, 50, luck=1), made_up(6, 20, luck=1)
    table, *_ = report(dict(zip(names, (group, other), strict=True)), [], markdown=False)
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["…adam,train.epochs", "…sgd,train.epochs="]
    assert labels(["same", "same"], markdown=True) == ["`same`", "`same`"]


def test_p_is_corrected_for_the_number_of_rows() -> None:
    groups = {name: made_up(8, wrong, luck=1) for name, wrong in (("a", 50), ("b", 20), ("c", 90))}
    _, table, *_ = report(groups, differences(groups), markdown=False)
    assert [line.split()[-1] for line in table.splitlines()[1:]] == ["0.0156", "0.0156"]  # twice 2^(1-8)


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
    groups = {"x" * 30: made_up(6, 50, luck=1), "y" * 30: made_up(7, 20, luck=1), "worse": made_up(8, 90)}
    groups |= {"close": made_up(6, 47), "few": made_up(3, 50, luck=1)}
    found = differences(groups)
    assert [item.verdict for item in found] == ["better", "worse", *["no evidence of a difference"] * 2]
    *tables, better, worse, close, few, _ = report(groups, found, markdown=False)
    assert max(len(line) for part in tables for line in part.splitlines()) <= 80
    assert "better than xxxxxxxx…xxxxxxxxx: its mean accuracy over 6 seeds is 3.00 points higher, more than" in better
    assert "is worse than" in worse
    assert (
        "no number of seeds would make the 0.40 points seen here evidence; it takes more test images, at least" in close
    )
    assert few.endswith("they get the same images right.")
    assert tables[1].splitlines()[-1].endswith(" 3  8+ seeds")
    assert "95 % together" in tables[1]
    alone, joint = differences(dict([*groups.items()][:2]))[0], found[0]
    assert alone.model.margin(alone.level) < joint.model.margin(joint.level)


@pytest.mark.long
def test_real_experiments(copy_finished: MakeProject, run: Run, call: Call) -> None:
    project = copy_finished()
    (project / "note").write_text("a commit of its own, so that no experiment is taken for the one before")
    commit(project, run)
    for name, lr, seed in (("a", 0.1, 1), ("c", 0.001, 0), ("d", 0.001, 1), ("f", 0.3, 2)):
        changes = "-S", f"train.lr={lr}", "-S", f"train.seed={seed}"
        run(project, "dvc", "exp", "run", "--temp", "--name", name, *changes, "evaluate")
    found = json.loads(call(compare, project, "--seeds", "--json", "--fail-if-worse", "a", "d", status=1)[0])
    assert [(group["name"], group["seeds"]) for group in found["groups"]] == [("a", [0, 1]), ("d", [0, 1])]
    refs = dict(line.split()[::-1] for line in run(project, "git", "show-ref").splitlines() if "/exps/" in line)
    commits = {ref.rpartition("/")[2]: commit for ref, commit in refs.items()} | {"HEAD": "HEAD"}

    def accuracy(name: str) -> float:
        text = run(project, "git", "show", f"{commits[name]}:metrics/predictions.csv")
        table = pd.DataFrame([line.split(",") for line in text.splitlines()[1:]])
        return float((table[1] == table[2]).mean())

    assert [group["accuracies"] for group in found["groups"]] == [
        [pytest.approx(accuracy(name)) for name in names] for names in (["HEAD", "a"], ["c", "d"])
    ]
    (compared,) = found["comparisons"]
    assert (compared["name"], compared["baseline"], compared["seeds"]) == ("d", "a", [0, 1])
    differing = np.array([accuracy("c") - accuracy("HEAD"), accuracy("d") - accuracy("a")])
    assert compared["difference"] == pytest.approx(differing.mean())
    assert (compared["verdict"], compared["p"]) == ("worse", 0.5)
    text, _ = call(compare, project, "--seeds", "--md", "HEAD", "c")
    assert f"| `c` | {100 * differing.mean():+.2f} |" in " ".join(text.split())
    assert "d is worse" not in call(compare, project, "--seeds", "d")[0]
    for names, problem in [
        (("HEAD", "a"), "error: revisions: must differ in more than train.seed with --seeds, got HEAD, a; "),
        (("f",), "error: train.seed: f must have two seeds or more, with test results, got [2]; `dvc exp apply f`, "),
        (("HEAD", "f"), "HEAD and f must have two seeds or more in common, with test results, got none; "),
    ]:
        assert problem in call(compare, project, "--seeds", *names, status=1)[1]
