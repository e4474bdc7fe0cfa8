"""A machine without space, without permission, or without memory: an error in words, and nothing lost."""

import gzip
import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from conftest import MakeProject, Run, edit

# Mounts that only the command sees which follows them, as far as the system grants them to everybody.
NAMESPACE = "unshare", "--map-root-user", "--mount"
FULL = 'mount -t tmpfs -o size=$1 tmpfs "$2" && shift 2 && exec "$@"'
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
GOES_BACK = "git checkout HEAD . && dvc checkout --force"

# A full disk and a read-only folder take a mount, which some containers refuse; elsewhere the tests run.
mounting = pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode != 0,
    reason="this system grants no mounts",
)


@pytest.fixture(scope="module")
def machine(copy_finished: MakeProject) -> Path:
    """A project that failures must leave as it is."""
    return copy_finished()


def files(folder: Path) -> dict[str, bytes]:
    """All that the pipeline wrote and that the cache holds."""
    names = ("data", "models", "metrics", "plots", ".dvc/cache/files")
    return {str(path): path.read_bytes() for name in names for path in (folder / name).rglob("*") if path.is_file()}


def fail(project: Path, run: Run, stage: str, *mounted: str) -> str:
    """Run a stage with a mount that lets it fail, and return its message."""
    before = files(project)
    output = run(project, *NAMESPACE, "sh", "-c", *mounted, "python", f"stages/{stage}.py", status=1)
    assert "Traceback" not in output
    assert files(project) == before
    assert not list(project.rglob("*.tmp"))
    return output


@mounting
@pytest.mark.parametrize(
    ("stage", "folder", "size", "named"),
    [
        pytest.param("download", "data/raw", "40k", "data/raw/train.safetensors", marks=pytest.mark.long),
        pytest.param("train", ".checkpoints", "40k", ".pt", marks=pytest.mark.long),
        ("evaluate", "plots", "12k", "plots/most_wrong.png"),
    ],
)
def test_a_full_disk(machine: Path, run: Run, stage: str, folder: str, size: str, named: str) -> None:
    output = fail(machine, run, stage, FULL, "sh", size, folder)
    assert f"{named}: No space left on device; fix this and run" in output
    assert GOES_BACK in output


@mounting
@pytest.mark.parametrize(
    ("stage", "folder", "named"),
    [
        pytest.param("preprocess", "data/tensors", "data/tensors/train.safetensors", marks=pytest.mark.long),
        pytest.param("train", ".checkpoints", ".lock", marks=pytest.mark.long),
        ("export", "models", "models/model.onnx"),
        ("evaluate", ".dvc/tmp", ".dvc/tmp/stage.lock"),
    ],
)
def test_a_folder_that_nobody_may_write_to(machine: Path, run: Run, stage: str, folder: str, named: str) -> None:
    assert f"{named}: Read-only file system; fix this" in fail(machine, run, stage, READ_ONLY, "sh", folder)


SMALL_DISK = """
set -e
mount -t tmpfs -o size=64m tmpfs disk
cp -r project/. disk
cd disk
free=$(df --output=avail . | tail -1)
head -c "$((free - 20))k" /dev/zero > filler
dvc repro && exit 99
rm filler
{goes_back}
cp -r metrics plots models ../after
"""


@pytest.mark.long
@mounting
def test_the_command_that_the_message_names_brings_the_results_back(project: Path, tmp_path: Path, run: Run) -> None:
    before = {name: (project / name).read_bytes() for name in ("models/model.safetensors", "metrics/train.csv")}
    edit(project / "params.yaml", "lr: 0.1", "lr: 0.2")
    for name in ("disk", "after"):
        (tmp_path / name).mkdir()
    output = run(tmp_path, *NAMESPACE, "sh", "-c", SMALL_DISK.format(goes_back=GOES_BACK))
    assert "ERROR: failed to reproduce 'train'" in output
    assert {name: (tmp_path / "after" / name).read_bytes() for name in before} == before


def with_memory(megabytes: int, stage: str) -> tuple[str, ...]:
    """Run a stage that may take so much memory, PyTorch itself included."""
    return "sh", "-c", f"ulimit -d {megabytes * 1024} && exec python stages/{stage}.py"


@pytest.mark.long
def test_training_images_need_not_fit_into_memory(project: Path, run: Run) -> None:
    count = 1_200_000  # 950 MB of blank images in a sparse file
    sizes = {"labels": ("I64", [count], 8 * count), "images": ("U8", [count, 28, 28], 784 * count)}
    header, end = {}, 0
    for name, (dtype, shape, size) in sizes.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with (project / "data/tensors/train.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    edit(project / "params.yaml", "batch_size: 100\n", "batch_size: 1000\n")
    edit(project / "params.yaml", "  epochs: 3", "  epochs: 1")
    output = run(project, *with_memory(800, "train"))
    assert "1,200,000 training" in output
    assert "epoch 1/1" in output


@pytest.mark.long
def test_too_little_memory(project: Path, run: Run) -> None:
    """For a batch, and for the data."""
    edit(project / "params.yaml", "model: logistic", "model: cnn")
    edit(project / "params.yaml", "    width: 16", "    width: 256")
    edit(project / "params.yaml", "  batch_size: 100\n", "  batch_size: 1300\n")
    before = files(project)
    output = run(project, *with_memory(900, "train"), status=1)
    assert "error: memory: not enough for this stage; " in output
    assert "lower batch_size" in output
    assert "Traceback" not in output
    assert files(project) == before

    count = 400_000
    for split in ("train", "test"):
        (project / f"data/raw/{split}.safetensors").unlink()
    archives = [project / f"data/raw/{prefix}-images-idx3-ubyte.gz" for prefix in ("train", "t10k")]
    with gzip.open(archives[0], "wb", compresslevel=1) as file:
        file.write(struct.pack(">HBB3I", 0, 8, 3, count, 28, 28))
        file.write(bytes(count * 28 * 28))
    shutil.copyfile(*archives)
    output = run(project, *with_memory(350, "preprocess"), status=1)
    assert output.startswith("error: memory: not enough for this stage; ")
    assert output.count("\n") == 1
