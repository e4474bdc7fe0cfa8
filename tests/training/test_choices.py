"""What train builds from its parameters gets all of them."""

import pytest

from conftest import BASELINE
from digits.training.augmentation import choose_augmentation
from digits.training.gradients import choose_gradient
from digits.training.optimizers import choose_optimizer
from digits.training.params import TrainParams
from small_networks import build


def given(**changes: object) -> TrainParams:
    return TrainParams(**BASELINE | changes)


def test_the_optimizer() -> None:
    params = given(optimizer="adamw", weight_decay=0.25, sgd={"momentum": 0.5, "nesterov": True})
    expected = {"name": "adamw", "weight_decay": 0.25, "momentum": 0.5, "nesterov": True, "exact": True}
    assert expected.items() <= vars(choose_optimizer(params, build("logistic"))).items()
    params = given(optimizer="lbfgs", weight_decay=0.25, label_smoothing=0.5)
    lbfgs = vars(choose_optimizer(params, build("logistic")))
    assert lbfgs["weight_decay"] == 0.25
    assert lbfgs["targets"][0, :2].tolist() == pytest.approx([0.55, 0.05])


def test_the_augmentation() -> None:
    affine = {"degrees": 1.0, "shift": 3.0, "scale": 0.5, "shear": 0.25}
    elastic = {"alpha": 5.0, "sigma": 6.0}
    handwriting = {"share": 0.25, "stroke": 0.75, "noise": 0.125}
    assert choose_augmentation(given()) is None
    groups = {"affine": affine, "elastic": elastic, "handwriting": handwriting}
    plain = choose_augmentation(given(augment="affine", **groups))
    assert (affine | {"alpha": 0.0, "share": 0.0}).items() <= vars(plain).items()
    bent = choose_augmentation(given(augment="elastic", **groups))
    assert (affine | {"alpha": 5.0, "share": 0.0}).items() <= vars(bent).items()
    other = choose_augmentation(given(augment="handwriting", **groups))
    assert (affine | handwriting | {"alpha": 0.0}).items() <= vars(other).items()
    assert bent is not None
    assert bent.smoothing[0, 6] / bent.smoothing[0, 0] == pytest.approx(2.718281828**-0.5)


def test_the_gradient() -> None:
    softmax = choose_gradient(given(label_smoothing=0.5), build("logistic"))
    assert vars(softmax)["targets"][0, :2].tolist() == pytest.approx([0.55, 0.05])
    network = choose_gradient(given(model="cnn", label_smoothing=0.5, precision="bfloat16"), build("cnn"))
    assert vars(network)["targets"][0, :2].tolist() == pytest.approx([0.55, 0.05])
    assert vars(network)["bfloat16"] is True
