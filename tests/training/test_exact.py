"""Exact arithmetic: no sum is rounded, up to the bounds, and nothing depends on the order or on the machine."""

import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import Run
from digits.models import exact
from digits.models.classifier import build_layers
from digits.models.softmax_regression import SoftmaxRegression, slope_unit, to_values
from digits.training.gradients import target_table
from samples import CLASSES, some_tensors

RANDOM = np.random.default_rng(0)


def test_functions_are_those_of_the_c_library() -> None:
    values = np.concatenate([[0.0, -1e-9, -700.0], -RANDOM.exponential(30, 10_000).clip(0, 700)])
    np.testing.assert_allclose(exact.exp(values), np.exp(values), rtol=1e-12)
    assert exact.exp(np.array([-1e300, -np.inf])) == pytest.approx(math.exp(-700))
    totals = np.concatenate([1 + RANDOM.exponential(1e-6, 1000), RANDOM.uniform(1, 8192, 10_000), [1.0, 2.0]])
    np.testing.assert_allclose(exact.log(totals), np.log(totals), rtol=1e-14)
    turns = np.linspace(0, 1, 1001)
    cosines = [exact.cosine_of_half_turns(turn) for turn in turns.tolist()]
    np.testing.assert_allclose(cosines, np.cos(np.pi * turns), atol=1e-15)


@pytest.mark.parametrize("scale", [1e-300, 1e-3, 1.0, 1e38])
@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_a_mean_does_not_depend_on_the_order(scale: float, count: int) -> None:
    values = RANDOM.normal(size=count) * scale
    mean = exact.exact_mean(values)
    assert mean == pytest.approx(math.fsum(values.tolist()) / count, rel=1e-9, abs=1e-14 * scale)
    assert {exact.exact_mean(RANDOM.permutation(values)) for _ in range(20)} == {mean}


def test_the_totals_of_a_softmax_over_the_most_classes_do_not_depend_on_their_order() -> None:
    logits = RANDOM.normal(size=(8192, 1))
    assert len({exact.softmax(RANDOM.permutation(logits))[2].item() for _ in range(20)}) == 1


@pytest.mark.parametrize("largest", [0.0, 1e-38, 0.03, 1.0, 1e38])
def test_logits_of_the_largest_weights_and_the_worst_image_are_not_rounded(largest: float) -> None:
    weight = RANDOM.uniform(-largest, largest, (10, 784)).astype(np.float32)
    weight[0], weight[1, ::2] = largest, -largest
    regression = SoftmaxRegression(weight, np.zeros(10, np.float32), 0.0, 1 / 255)  # which scales by 1
    values = np.stack([np.full(784, 255.0), RANDOM.integers(0, 256, 784).astype(np.float64)])
    exactly = [
        [sum(Fraction(w) * int(v) for w, v in zip(row, image.tolist(), strict=True)) for image in values]
        for row in regression.whole_weights().tolist()
    ]
    assert regression.logits(values, regression.whole_weights()).tolist() == [
        [float(product) for product in row] for row in exactly
    ]
    assert all(float(product) == product for row in exactly for product in row)
    assert regression.whole_weights() == pytest.approx(weight, rel=1e-9, abs=largest * 2**-34)


@pytest.mark.parametrize("images", [1, 3, 2048, 2049, 10**6, 2**25])
def test_sums_over_the_largest_batches_are_not_rounded(images: int) -> None:
    unit = slope_unit(images)
    largest_sum = images * 255 * int(1 / unit)  # in units, if every slope is 1 and every pixel 255
    assert largest_sum <= 2**53
    assert unit <= 2**-20
    assert (unit == 2**-34) == (images <= 2048)
    with pytest.raises(ValueError, match="at most 2\\^25 images"):
        slope_unit(2**25 + 1)


def test_sums_over_a_batch_depend_neither_on_the_order_of_its_images_nor_on_who_adds_them_up() -> None:
    (images, labels), layer = some_tensors(0, 700), build_layers("logistic", {}, CLASSES, seed=0)[1]
    weight, bias = (parameter.detach().numpy() for parameter in layer.parameters())
    regression, targets = SoftmaxRegression(weight, bias, 0.13, 0.31), target_table(CLASSES, 0.1).T

    def sums(part: np.ndarray) -> np.ndarray:
        _, *found = regression.slope_sums(images.numpy()[part], labels.numpy()[part], targets, 700)
        return np.concatenate([array.ravel() for array in found])

    whole = sums(np.arange(700))
    assert np.array_equal(sums(RANDOM.permutation(700)), whole)
    parts = [sums(part) for part in np.split(np.arange(700), [100, 350])]
    assert np.array_equal(parts[0] + parts[1] + parts[2], whole)


def test_values_between_whole_numbers_are_rounded() -> None:
    images = torch.tensor([0.4, 0.5, 1.5, 254.6]).repeat(196).reshape(1, 28, 28)
    assert to_values(images.numpy())[0, :4].tolist() == [0, 0, 2, 255]


# What the libraries do on this processor, on others, and with other numbers of threads.
LIBRARIES = [
    ("1", {}),
    ("1", {"OPENBLAS_CORETYPE": "Prescott", "ATEN_CPU_CAPABILITY": "default", "NPY_DISABLE_CPU_FEATURES": "X86_V3"}),
    ("3", {"OPENBLAS_CORETYPE": "Zen", "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3"}),
]
# Trains and evaluates with both kinds of optimizers, and prints the hashes of the results.
BOTH = """
import hashlib, runpy, sys, yaml
from pathlib import Path
sys.path.insert(0, "stages")
params = yaml.safe_load(Path("params.yaml").read_text())
params["train"] |= {
    "threads": int(sys.argv[1]), "lr": 0.01, "schedule": "cosine", "warmup": 0.1, "normalize": True, "batch_size": 500,
    "weight_decay": 0.01, "label_smoothing": 0.1, "sgd": {"momentum": 0.9, "nesterov": True},
}
for params["train"]["optimizer"] in "sgd", "adam":
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for stage in "train", "evaluate":
        runpy.run_path(f"stages/{stage}.py", run_name="__main__")
    for path in "models/model.safetensors", "metrics/train.csv", "metrics/test.json", "metrics/predictions.csv":
        print("sha256", hashlib.sha256(Path(path).read_bytes()).hexdigest())
"""


def test_every_library_gives_the_same_bytes(project: Path, run: Run) -> None:
    outputs = [run(project, "python", "-c", BOTH, threads, **variables) for threads, variables in LIBRARIES]
    first, *others = (re.findall("sha256 .*", output) for output in outputs)
    assert len({*first}) == 8
    assert others == [first, first]
