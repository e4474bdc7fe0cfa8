"""The same bytes on other processors, emulated: Intel of 2011, without AVX2, and of 2013."""

import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from conftest import MakeProject, Run, commit, edit
from pipeline_runs import KILLED_AT_SECOND_CHECKPOINT, results, set_params
from reproduce import EMULATOR, folder_of_python
from samples import draw, some_digits

# pip cannot install the emulator; without it, the other tests still run. CI installs it.
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which(EMULATOR) is None, reason=f"{EMULATOR} is not installed (Debian: qemu-user)"),
]
TIMEOUT = 1500  # seconds; emulation takes a hundred times as long


@pytest.fixture(scope="module")
def small(copy_finished: MakeProject, run: Run) -> Path:
    """A project with 30 pictures of digits as its data set; what is emulated must be short."""
    folder = copy_finished()
    draw(folder / "data/pictures", some_digits(0, 30))
    edit(folder / "params.yaml", "  dataset: optdigits\n", "  dataset: folder\n")
    edit(folder / "params.yaml", "    pictures: whole\n", "    pictures: strokes\n")
    edit(folder / "params.yaml", "  val_size: 137\n", "  val_size: 5\n")
    run(folder, "dvc", "repro")
    commit(folder, run)
    return folder


def test_all_stages(small: Path, run: Run) -> None:
    """From pictures to the model card, OpenCV's share included, without AVX2; .ci/run tries arm64."""
    output = run(small, "python", "tools/reproduce.py", "--cpu", "SandyBridge", timeout=TIMEOUT)
    assert re.search(r"^emulated SandyBridge \.\.\. \d+ s\nthe same bytes in \d+ outputs of 5 stages$", output, re.M)
    assert output.endswith("this machine gives the committed bytes, those of dvc.lock\n")


@pytest.mark.parametrize("model", ["mlp", "lenet5"])
def test_a_training_goes_on_where_another_processor_left_it(
    small: Path, tmp_path: Path, run: Run, environment: dict[str, str], model: str
) -> None:
    """That of a network, but not cnn, in which QEMU 7.2 crashes, and without augmentation, which it computes wrongly.

    QEMU 10 does both right; Debian 12 has 7.2.
    """
    project = Path(shutil.copytree(small, tmp_path / "project"))
    changes = {"lr": 0.01, "weight_decay": 0.01, "label_smoothing": 0.1, "sgd": {"momentum": 0.9, "nesterov": False}}
    set_params(project, {"model": model, "batch_size": 5} | changes)
    run(project, "dvc", "repro", "train")
    expected = results(project)
    shutil.rmtree(project / ".checkpoints")
    run(project, "python", "-c", KILLED_AT_SECOND_CHECKPOINT, status=-signal.SIGKILL)
    there = folder_of_python(project, [EMULATOR, "-cpu", "Haswell", sys.executable])
    path = f"{there}{os.pathsep}{environment['PATH']}"
    output = run(project, "python", "stages/train.py", timeout=TIMEOUT, PATH=path)
    assert "resuming after epoch 1 of 3" in output
    assert results(project) == expected
