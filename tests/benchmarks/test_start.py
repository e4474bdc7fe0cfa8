"""Every benchmark starts, and says what it does."""

import pytest

from conftest import ROOT, Run

PARTS = {"child", "seed_script"}  # of run.py, in processes of their own
NAMES = [path.stem for path in sorted((ROOT / "benchmarks").glob("*.py")) if "__main__" in path.read_text("utf-8")]


@pytest.mark.long
def test_every_benchmark_starts(run: Run) -> None:
    for name in set(NAMES) - PARTS:
        assert run(ROOT, "python", f"benchmarks/{name}.py", "--help").startswith(f"usage: {name}.py [-h]")
