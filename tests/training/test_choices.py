"""What train builds from its parameters gets all of them."""

import pytest

from conftest import BASELINE
from digits.training.augmentation import Augmentation, choose_augmentation
from digits.training.gradients import choose_gradient
from digits.training.optimizers import choose_optimizer
from digits.training.params import TrainParams
from small_networks import build


def given(**changes: object) -> TrainParams:
    return TrainParams(**BASELINE | changes)


def test_the_optimizer_and_the_gradient() -> None:
    params = given(optimizer="adamw", weight_decay=0.25, sgd={"momentum": 0.5, "nesterov": True})
    expected = {"name": "adamw", "weight_decay": 0.25, "momentum": 0.5, "nesterov": True, "exact": True}
    assert expected.items() <= vars(choose_optimizer(params, build("logistic"))).items()
    smooth = given(optimizer="lbfgs", weight_decay=0.25, label_smoothing=0.5)
    lbfgs, softmax = (vars(choose(smooth, build("logistic"))) for choose in (choose_optimizer, choose_gradient))
    assert lbfgs["weight_decay"] == 0.25
    params = given(model="cnn", label_smoothing=0.5, precision="bfloat16")
    network = vars(choose_gradient(params, build("cnn")))
    assert network["bfloat16"] is True
    for chosen in lbfgs, softmax, network:
        assert chosen["targets"][0, :2].tolist() == pytest.approx([0.55, 0.05])


def test_the_augmentation() -> None:
    groups = {
        "affine": {"degrees": 1.0, "shift": 3.0, "scale": 0.5, "shear": 0.25},
        "elastic": {"alpha": 5.0, "sigma": 6.0},
        "handwriting": {"share": 0.25, "stroke": 0.75, "noise": 0.125},
    }
    assert choose_augmentation(given()) is None
    for name, strengths in groups.items():
        expected = Augmentation(**{"alpha": 0.0, "share": 0.0} | groups["affine"] | strengths)
        assert choose_augmentation(given(augment=name, **groups)) == expected
