"""The measurements that need a process of their own still fit the code that they measure."""

import json
import os
from pathlib import Path
from typing import Any

from conftest import Run

import pytest
import yaml


def child(project: Path, run: Run, *arguments: str) -> dict[str, Any]:
    path = os.pathsep.join(str(project / folder) for folder in ("stages", "benchmarks"))
    output = run(project, "python", "benchmarks/child.py", *arguments, PYTHONPATH=path)
    return dict(json.loads(output.splitlines()[-1]))


@pytest.mark.parametrize("model", ["logistic", "mlp"])
def test_an_epoch(project: Path, run: Run, model: str) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())["train"] | {"model": model}
    assert child(project, run, "epoch", json.dumps(params), "500")["seconds"] > 0


@pytest.mark.long
@pytest.mark.parametrize("stage", ["download", "preprocess", "train", "evaluate", "export"])
def test_a_stage(project: Path, run: Run, stage: str) -> None:
    found = child(project, run, "stage", stage, "0")
    assert set(found) == {"start and imports", "work", "reading", "writing"}
    assert found["work"] > 0


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments", [["train"], ["optimizer"], ["growth", "data/tensors/train.safetensors", "1"]], ids=" ".join
)
def test_memory(project: Path, run: Run, arguments: list[str]) -> None:
    assert 100 < child(project, run, *arguments)["peak_mb"] < 2000
