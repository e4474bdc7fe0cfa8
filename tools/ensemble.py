"""Average the models of several experiments into one, which errs less often.

Example: python tools/ensemble.py seed=0 seed=1 seed=2

The ONNX model averages the logits of its members, and takes as long for an
image as all of them. It is scored on the images in data/tensors, which have to
be those of every member: on the validation images, by which to choose members,
and on the test images.
"""
# ruff: noqa: E402 - missing packages are reported before they are imported

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.revisions import LOCK, WORKSPACE, Files, is_current, read_files
from experiments.statistics import wilson_interval
from foundation.command import ROOT, Parser, require, run_command
from foundation.repository import md5_of_file, use_own_environment

require("onnx", "onnxruntime", "safetensors")

from handwriting.recognizer import Recognizer

import numpy as np
import onnx
from onnx import helper
from safetensors.numpy import load_file

MODEL = "models/model.onnx"
IMAGES = {"validation": "data/tensors/val.safetensors", "test": "data/tensors/test.safetensors"}


class Member(NamedTuple):
    """A model to average: the revision that it is of, and its ONNX model."""

    name: str
    commit: str | None
    model: onnx.ModelProto


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("revisions", nargs="+", metavar="REVISION", help="experiments or commits, two or more")
    parser.add_argument(
        "--model",
        type=Path,
        default=ROOT / "models/ensemble.onnx",
        metavar="FILE",
        help="write the model to this file (default: models/ensemble.onnx)",
    )
    arguments = parser.parse_args()
    if len(set(arguments.revisions)) < max(2, len(arguments.revisions)):
        parser.error("REVISION: two or more, all different, are needed")
    if WORKSPACE in arguments.revisions:
        parser.error(f"REVISION: has to be an experiment or a commit, got {WORKSPACE}")
    use_own_environment()
    files = read_files(arguments.revisions, [LOCK])
    if len({revision.commit for revision in files.values()}) < len(files):
        parser.error("REVISION: two or more, all different, are needed")
    check_images(files)
    with tempfile.TemporaryDirectory() as folder:
        members = [
            Member(name, files[name].commit, load_model(files[name], Path(folder, f"{number}.onnx")))
            for number, name in enumerate(arguments.revisions)
        ]
        path = Path(folder, "ensemble.onnx")
        ensemble = average(members)
        path.write_bytes(ensemble.SerializeToString(deterministic=True))
        scores = score(Recognizer(path))
    helper.set_model_props(ensemble, properties(ensemble) | {"metrics": json.dumps(scores["test"])})
    try:
        arguments.model.parent.mkdir(parents=True, exist_ok=True)
        temporary = arguments.model.with_name(f"{arguments.model.name}.tmp")
        temporary.write_bytes(ensemble.SerializeToString(deterministic=True))
        temporary.replace(arguments.model)  # which may be a link into DVC's cache
    except OSError as error:
        sys.exit(f"error: {arguments.model}: cannot be written, got {error.strerror}")
    for name, found in scores.items():
        print(
            f"{name}: {found['accuracy']:.2%} of {found['images']:,} images right "
            f"(95 % interval {found['accuracy_low']:.2%} to {found['accuracy_high']:.2%})"
        )
    print(f"{arguments.model}: the average of {len(members)} models")


def check_images(files: Mapping[str, Files]) -> None:
    """Exit with an error unless revisions have models, and were judged by the images that are here."""
    here = {path: md5_of_file(ROOT / path) for path in IMAGES.values() if (ROOT / path).is_file()}
    for name, revision in files.items():
        stages = revision.stages
        if not is_current(stages, "export"):
            sys.exit(
                f"error: {name}: has no ONNX model, since the stage export has not run; `dvc exp apply {name}; dvc "
                f"repro; dvc exp save -n {name}-whole` makes an experiment that has one"
            )
        used = {dep["path"]: dep["md5"] for stage in ("train", "export") for dep in stages[stage]["deps"]}
        for path in IMAGES.values():
            if path not in here:
                sys.exit(f"error: {path}: is missing; `dvc checkout` brings it back, or `dvc repro`")
            if here[path] != used[path]:
                sys.exit(
                    f"error: {path}: has other images than {name} was judged by; take experiments of the same data, "
                    f"and `dvc exp apply {name}; dvc checkout` for theirs"
                )


def load_model(files: Files, path: Path) -> onnx.ModelProto:
    """The model of a revision, for which `path` is a place; exits with an error if DVC does not have it."""
    command = ["dvc", "get", "--quiet", ".", MODEL, "--rev", str(files.commit), "--out", str(path)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"error: {files.revision}: its model cannot be read from DVC's cache, got\n{done.stdout.strip()}")
    return onnx.load(path)


def average(members: list[Member]) -> onnx.ModelProto:
    """A model of the same input and outputs, whose logits are the mean of those of the members.

    Exits with an error if they tell other classes apart.
    """
    first = members[0].model
    nodes, tensors = [], []
    for number, member in enumerate(members):
        got, wanted = (properties(model)["classes"] for model in (member.model, first))
        if got != wanted:
            sys.exit(f"error: {member.name}: has other classes than {members[0].name}, got {got} and {wanted}")
        renamed = onnx.compose.add_prefix(member.model, f"{number}.", rename_inputs=False).graph
        nodes += [node for node in renamed.node if node.op_type != "Softmax"]
        tensors += renamed.initializer
    logits = [f"{number}.logits" for number, _ in enumerate(members)]
    nodes += [
        helper.make_node("Mean", logits, ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(nodes, "ensemble", first.graph.input, first.graph.output, tensors)
    ensemble = helper.make_model(graph, opset_imports=first.opset_import, ir_version=first.ir_version)
    ensemble.doc_string = "The average of these models, with their commits:\n" + "".join(
        f"{member.name} {member.commit}\n" for member in members
    )
    helper.set_model_props(ensemble, properties(first) | {"architecture": f"{len(members)} models"})
    onnx.checker.check_model(ensemble, full_check=True)
    return ensemble


def properties(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def score(recognizer: Recognizer) -> dict[str, Mapping[str, Any]]:
    """Accuracy, its 95 % interval, and how many errors and images: on test images and, if any, validation images."""
    scores: dict[str, Mapping[str, Any]] = {}
    for name, path in IMAGES.items():
        tensors = load_file(ROOT / path)
        images, labels = tensors["images"], tensors["labels"]
        if len(labels) == 0:
            continue
        parts = np.array_split(images, 1 + len(images) // 1000)
        predicted = np.concatenate([recognizer.probabilities(part).argmax(axis=1) for part in parts])
        correct = int((predicted == labels).sum())
        low, high = wilson_interval(correct, len(labels))
        scores[name] = {
            "accuracy": correct / len(labels),
            "accuracy_low": low,
            "accuracy_high": high,
            "errors": len(labels) - correct,
            "images": len(labels),
        }
    return scores


if __name__ == "__main__":
    run_command(main)
