"""What the parameters of the stage train choose: the gradient, the optimizer and the augmentation."""

from digits.models.classifier import Classifier
from digits.training.augmentation import Augmentation
from digits.training.gradients import Backpropagation, ClosedForm, addmm_portably
from digits.training.optimizers import Gradient, Lbfgs, Optimizer
from digits.training.params import TrainParams
from digits.training.processes import Processes
from digits.training.shared import averaged

import torch


def choose_gradient(params: TrainParams, model: Classifier, processes: Processes) -> Gradient:
    """How to compute the gradient: in closed form for softmax regression, by autograd for the other models."""
    several = processes.count > 1
    gradient: Gradient
    if params.model == "logistic":
        addmm = addmm_portably if params.arithmetic == "portable" else torch.addmm
        gradient = ClosedForm(model, params.label_smoothing, addmm, several).gradient
    else:
        settings = params.label_smoothing, params.precision, params.channels_last
        gradient = Backpropagation(model, *settings, several).gradient
    return averaged(gradient, model.parameters(), processes) if several else gradient


def choose_optimizer(params: TrainParams, model: Classifier) -> Optimizer | Lbfgs:
    """How to use the gradient."""
    if params.optimizer == "lbfgs":
        return Lbfgs(model.parameters(), params.weight_decay, params.label_smoothing)
    return Optimizer(params.optimizer, model.parameters(), params.weight_decay, **params.sgd.model_dump())


def choose_augmentation(params: TrainParams) -> Augmentation | None:
    """How to change the images of a batch, if at all."""
    if params.augment == "none":
        return None
    more = getattr(params, params.augment).model_dump()
    return Augmentation(**params.affine.model_dump() | more)
