"""A machine without space, without permission, or without memory: an error in words, and nothing lost."""

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from conftest import Run, edit
from pipeline_runs import set_params

# Mounts that only the command sees which follows them, as far as the system grants them to everybody.
NAMESPACE = "unshare", "--map-root-user", "--mount"
FULL = 'mount -t tmpfs -o size=$1 tmpfs "$2" && shift 2 && exec "$@"'
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
GOES_BACK = "git checkout HEAD . && dvc checkout --force"  # as the message advises

# A full disk and a read-only folder take a mount, which some containers refuse; elsewhere the tests run.
mounting = pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode != 0,
    reason="this system grants no mounts",
)


def files(folder: Path) -> dict[str, bytes]:
    """All that the pipeline wrote and that the cache holds."""
    names = ("data", "models", "metrics", "plots", ".dvc/cache/files")
    return {str(path): path.read_bytes() for name in names for path in (folder / name).rglob("*") if path.is_file()}


@mounting
@pytest.mark.parametrize(
    ("mount", "stage", "expected"),
    [
        pytest.param(
            [FULL, "sh", "40k", ".checkpoints"], "train", ".pt: No space left on device", marks=pytest.mark.long
        ),
        ([FULL, "sh", "12k", "plots"], "evaluate", "plots/most_wrong.png: No space left on device"),
        ([READ_ONLY, "sh", "data/tensors"], "preprocess", "data/tensors/train.safetensors: Read-only file system"),
        ([READ_ONLY, "sh", "models"], "export", "models/model.onnx: Read-only file system"),
        ([READ_ONLY, "sh", ".dvc/tmp"], "evaluate", ".dvc/tmp/stage.lock: Read-only file system"),
    ],
)
def test_a_full_disk_or_a_folder_that_nobody_may_write_to(
    project: Path, run: Run, mount: list[str], stage: str, expected: str
) -> None:
    before = files(project)
    output = run(project, *NAMESPACE, "sh", "-c", *mount, "python", f"stages/{stage}.py", status=1)
    assert f"{expected}; fix this and run the same command again; `{GOES_BACK}` restores" in output
    assert "Traceback" not in output
    assert files(project) == before
    assert not list(project.rglob("*.tmp"))


SMALL_DISK = f"""
set -e
mount -t tmpfs -o size=64m tmpfs disk
cp -r project/. disk
cd disk
free=$(df --output=avail . | tail -1)
head -c "$((free - 20))k" /dev/zero > filler
dvc repro && exit 99
rm filler
{GOES_BACK}
cp -r metrics plots models ../after
"""


@pytest.mark.long
@mounting
def test_the_command_that_the_message_names_brings_the_results_back(project: Path, tmp_path: Path, run: Run) -> None:
    before = {name: (project / name).read_bytes() for name in ("models/model.safetensors", "metrics/train.csv")}
    edit(project / "params.yaml", "lr: 0.1", "lr: 0.2")
    for name in ("disk", "after"):
        (tmp_path / name).mkdir()
    output = run(tmp_path, *NAMESPACE, "sh", "-c", SMALL_DISK)
    assert "ERROR: failed to reproduce 'train'" in output
    assert {name: (tmp_path / "after" / name).read_bytes() for name in before} == before


def with_memory(megabytes: int, stage: str) -> tuple[str, ...]:
    """Run a stage that may take so much memory, PyTorch itself included."""
    return "sh", "-c", f"ulimit -d {megabytes * 1024} && exec python stages/{stage}.py"


def write_blank(path: Path, count: int) -> None:
    """Write a data set of blank images, 784 MB per million, to a sparse file."""
    sizes = {"labels": ("I64", [count], 8 * count), "images": ("U8", [count, 28, 28], 784 * count)}
    header, end = {}, 0
    for name, (dtype, shape, size) in sizes.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


@pytest.mark.long
def test_training_images_need_not_fit_into_memory_but_a_batch_and_the_raw_data_must(project: Path, run: Run) -> None:
    set_params(project, {"model": "cnn", "cnn": {"width": 256, "depth": 1, "dropout": 0.0}, "batch_size": 1300})
    before = files(project)
    output = run(project, *with_memory(900, "train"), status=1)
    assert "error: memory: not enough for this stage; " in output
    assert "lower batch_size" in output
    assert "Traceback" not in output
    assert files(project) == before

    write_blank(project / "data/raw/train.safetensors", 400_000)
    output = run(project, *with_memory(350, "preprocess"), status=1)
    assert output.startswith("error: memory: not enough for this stage; ")
    assert output.count("\n") == 1

    write_blank(project / "data/tensors/train.safetensors", 600_000)
    set_params(project, {"model": "logistic", "epochs": 1})
    output = run(project, *with_memory(800, "train"))
    assert "600,000 training" in output
    assert "epoch 1/1" in output
