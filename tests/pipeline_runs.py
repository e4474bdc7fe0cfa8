"""What a run of the pipeline printed and wrote."""

import re
import signal
from pathlib import Path
from typing import Any

import yaml

STAGES = ["download", "preprocess", "train", "evaluate", "export"]
# Runs train with a checkpoint after every epoch, and kills it when the second one is written in full, but has not taken
# the place of the first.
KILLED_AT_SECOND_CHECKPOINT = f"""
import math, os, runpy, signal, sys
sys.path.insert(0, "stages")
from digits.models.portable_arithmetic import use_portable_arithmetic
use_portable_arithmetic()
from digits.training import checkpoint
checkpoint.MAX_SAVE_SHARE = math.inf
calls = iter(range(2))
os.fsync = lambda _: next(calls) and os.kill(os.getpid(), {signal.SIGKILL:d})
runpy.run_path("stages/train.py", run_name="__main__")
"""


def set_params(folder: Path, train: dict[str, Any]) -> None:
    """Set parameters of section train."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["train"] |= train
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def stages_run(output: str) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", output)


def results(folder: Path) -> dict[str, bytes]:
    """Everything that the pipeline wrote, by path."""
    outputs = [path for name in ("data", "models", "metrics") for path in sorted((folder / name).rglob("*"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in outputs if path.is_file()}
