"""The measurements that need a process of their own still fit the code that they measure."""

import json
import os
from pathlib import Path

import pytest
import yaml

from conftest import Run


@pytest.mark.parametrize(
    "arguments", [["epoch"], pytest.param(["stage", "evaluate", "0"], marks=pytest.mark.long)], ids=" ".join
)
def test_a_measurement(project: Path, run: Run, arguments: list[str]) -> None:
    if arguments == ["epoch"]:
        params = yaml.safe_load((project / "params.yaml").read_text())["train"] | {"model": "mlp"}
        arguments = ["epoch", json.dumps(params), "500"]
    path = os.pathsep.join(str(project / folder) for folder in ("stages", "benchmarks"))
    found = json.loads(run(project, "python", "benchmarks/child.py", *arguments, PYTHONPATH=path).splitlines()[-1])
    assert set(found) == ({"seconds"} if arguments[0] == "epoch" else {"start and imports", "work"})
    assert all(seconds > 0 for seconds in found.values())
