"""One ONNX model that averages several."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dvc.api
import numpy as np
import onnx
from dvc.exceptions import DvcException
from onnx import helper

from command import ROOT
from digits.dataset import load_dataset
from digits.foundation.stage import UserError
from digits.scoring import score
from experiments.revisions import Files
from handwriting.recognizer import Recognizer

MODEL = "models/model.onnx"
IMAGES = {"validation": "data/tensors/val.safetensors", "test": "data/tensors/test.safetensors"}
BATCH_SIZE = 1000


def get_model(revision: Files) -> onnx.ModelProto:
    """The model of a commit, from DVC's cache or its remote; raises a `UserError` if neither has it."""
    try:
        with dvc.api.open(MODEL, str(ROOT), rev=revision.commit, mode="rb") as file:
            return onnx.load(file)
    except (DvcException, OSError) as error:
        problem = error.__cause__ or error  # of which DVC's own message may say that the commit has no such file
        raise UserError(
            f"{revision.revision}: its model is in no cache or remote of DVC, got {problem}; see `dvc pull`"
        )


def average(members: Mapping[str, onnx.ModelProto], commits: list[str]) -> onnx.ModelProto:
    """A model of the same input and outputs, whose logits are the mean of those of the members.

    Args:
        members: by name; a `UserError` is raised if they tell different classes apart.
        commits: one for each.
    """
    (first_name, first), *others = members.items()
    classes = properties(first)["classes"]
    for name, other in others:
        if (got := properties(other)["classes"]) != classes:
            raise UserError(f"{name}: has other classes than {first_name}, got {got} and {classes}")
    nodes, tensors = [], []
    for number, model in enumerate(members.values()):
        renamed = onnx.compose.add_prefix(model, f"{number}.", rename_inputs=False).graph
        nodes += [node for node in renamed.node if node.op_type != "Softmax"]
        tensors += renamed.initializer
    logits = [f"{number}.logits" for number in range(len(members))]
    nodes += [
        helper.make_node("Mean", logits, ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(nodes, "ensemble", first.graph.input, first.graph.output, tensors)
    ensemble = helper.make_model(graph, opset_imports=first.opset_import, ir_version=first.ir_version)
    listed = (f"{name} {commit}\n" for name, commit in zip(members, commits, strict=True))
    ensemble.doc_string = "The average of these models, with their commits:\n" + "".join(listed)
    helper.set_model_props(ensemble, properties(first) | {"architecture": f"{len(members)} models"})
    onnx.checker.check_model(ensemble, full_check=True)
    return ensemble


def properties(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def save_model(path: Path, model: onnx.ModelProto, changes: Mapping[str, str]) -> None:
    """Write a model, with changes of its metadata, the same bytes every time."""
    helper.set_model_props(model, properties(model) | dict(changes))
    path.write_bytes(model.SerializeToString(deterministic=True))


def score_model(path: Path) -> dict[str, dict[str, Any]]:
    """What `digits.scoring.score` says of a model on test images and, if there are any, validation images."""
    recognizer, scores = Recognizer(path), {}
    for name, file in IMAGES.items():
        dataset = load_dataset(ROOT / file, len(recognizer.classes), allow_empty=True)
        if len(dataset) > 0:
            starts = range(0, len(dataset), BATCH_SIZE)
            batches = [recognizer.probabilities(dataset.images[start : start + BATCH_SIZE]) for start in starts]
            correct = np.concatenate(batches).argmax(axis=1) == dataset.labels
            scores[name] = score(int(correct.sum()), len(dataset))
    return scores
