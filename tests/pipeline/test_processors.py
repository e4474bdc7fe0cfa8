"""The same bytes on other processors, emulated: an Intel Haswell of 2013 and an AMD EPYC of 2019."""

import os
import re
import shutil
import signal
from pathlib import Path

from conftest import Run, commit, edit
from pipeline_runs import KILLED_AT_SECOND_CHECKPOINT, results, stages_run
from reproduce import EMULATOR, emulated_python

import pytest

# pip cannot install the emulator; without it, the other tests still run. CI installs it.
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which(EMULATOR) is None, reason=f"{EMULATOR} is not installed (Debian: qemu-user)"),
]
TIMEOUT = 1500  # seconds; emulation takes a hundred times as long
# Two updates of two networks: without augmentation, which Debian 12's QEMU 7.2 computes wrongly (10 does not), and
# without cnn, in which it crashes.
UPDATES = """
import hashlib, sys
sys.path[:0] = ["stages", "tests"]
from digits.foundation.arithmetic import use_portable_arithmetic
use_portable_arithmetic()
from digits.data.optdigits import load_optdigits
from digits.training.gradients import Backpropagation
from digits.training.optimizers import Optimizer
from small_networks import build
import torch
torch.set_num_threads(1)
torch.manual_seed(0)
digits = load_optdigits()
images, labels = torch.from_numpy(digits.images), torch.from_numpy(digits.labels)
for network in ("mlp", "lenet5"):
    model = build(network)
    optimizer = Optimizer("sgd", model.parameters(), weight_decay=0.01, momentum=0.9)
    for _ in range(2):
        optimizer.step(Backpropagation(model, 0.1, "float32", False).gradient, images[:50], labels[:50].long(), lr=0.01)
    print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest())
"""


def path_of(folder: Path, cpu: str, environment: dict[str, str]) -> str:
    """PATH for DVC to run the stages in `folder` on an emulated processor."""
    return f"{emulated_python(folder, cpu)}{os.pathsep}{environment['PATH']}"


@pytest.mark.parametrize("cpu", ["Haswell", "EPYC-Rome"])
def test_all_stages(project: Path, run: Run, cpu: str) -> None:
    output = run(project, "python", "tools/reproduce.py", "--cpu", cpu, timeout=TIMEOUT)
    assert re.search(rf"^emulated {cpu} \.\.\. \d+ s\nthe same bytes in \d+ outputs of 5 stages$", output, re.M)
    assert output.endswith("this machine gives the committed bytes, those of dvc.lock\n")


def test_networks(project: Path, run: Run, environment: dict[str, str]) -> None:
    there = path_of(project, "Haswell", environment)
    emulated = run(project, "python", "-c", UPDATES, timeout=TIMEOUT, PATH=there)
    here = run(project, "python", "-c", UPDATES).split()
    assert len(set(here)) == 2
    assert emulated.split()[-2:] == here  # after the emulator's warnings


def test_a_training_goes_on_where_another_processor_left_it(
    project: Path, run: Run, environment: dict[str, str]
) -> None:
    edit(project / "params.yaml", "batch_size: 100\n", "batch_size: 2\n")
    edit(project / "params.yaml", "epochs: 3\n", "epochs: 6\n")
    run(project, "dvc", "repro", "train")
    expected = results(project)
    shutil.rmtree(project / ".checkpoints")
    run(project, "python", "-c", KILLED_AT_SECOND_CHECKPOINT, status=-signal.SIGKILL)
    there = path_of(project, "Haswell", environment)
    output = run(project, "python", "stages/train.py", timeout=TIMEOUT, PATH=there)
    assert "resuming after epoch" in output
    assert results(project) == expected


def test_a_result_computed_elsewhere_is_pulled_and_not_trained_again(
    project: Path, tmp_path: Path, run: Run, environment: dict[str, str]
) -> None:
    run(project, "dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    commit(project, run)
    run(tmp_path, "git", "clone", "--quiet", str(project), "colleague")
    colleague = tmp_path / "colleague"
    for folder in (project, colleague):
        edit(folder / "params.yaml", "lr: 0.1\n", "lr: 0.2\n")
    run(project, "dvc", "repro")
    run(project, "cp", "-r", ".dvc/cache/.", str(tmp_path / "storage"))

    run(colleague, "dvc", "pull", "--run-cache")
    there = path_of(colleague, "Haswell", environment)
    output = run(colleague, "dvc", "repro", "--pull", timeout=TIMEOUT, PATH=there)
    assert "Stage 'train' is cached - skipping run" in output
    assert stages_run(output) == ["evaluate"]
    assert results(colleague) == results(project)
