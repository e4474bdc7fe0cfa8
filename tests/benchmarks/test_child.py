"""The measurement that needs a process of its own still fits the code that it measures."""

from pathlib import Path

import pytest

from conftest import Run


@pytest.mark.parametrize("arithmetic", ["native", "portable"])
def test_an_epoch_is_timed(project: Path, run: Run, arithmetic: str) -> None:
    assert float(run(project, "python", "benchmarks/child.py", "mlp", arithmetic, "500")) > 0
