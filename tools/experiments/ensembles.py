"""One ONNX model that averages several."""

import json
from collections.abc import Mapping
from typing import Any

import dvc.api
import onnx
from dvc.exceptions import DvcException
from onnx import helper

from command import ROOT
from digits.dataset import load_dataset
from digits.export.onnx_model import predict_onnx
from digits.foundation.stage import UserError
from digits.scoring import score
from experiments.revisions import Files

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
    """A model of the same input and outputs, whose logits are the mean of those of the members, by name.

    There is a commit for each. Raises a `UserError` if the members have different classes.
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


def with_scores(ensemble: onnx.ModelProto) -> tuple[bytes, dict[str, dict[str, Any]]]:
    """Score a model on the test images and, if there are any, the validation images; add the first to its metadata.

    Returns its file, the same bytes every time, and what `digits.scoring.score` says, by the name of the images.
    """
    scores, about = {}, properties(ensemble)
    for name, file in IMAGES.items():
        dataset = load_dataset(ROOT / file, len(json.loads(about["classes"])), allow_empty=True)
        if len(dataset) > 0:
            logits, _ = predict_onnx(ensemble.SerializeToString(), dataset.images, BATCH_SIZE)
            scores[name] = score(int((logits.argmax(axis=1) == dataset.labels).sum()), len(dataset))
    helper.set_model_props(ensemble, about | {"metrics": json.dumps(scores["test"])})
    content: bytes = ensemble.SerializeToString(deterministic=True)
    return content, scores
