"""Where outputs are hard links into DVC's cache, nothing that the pipeline does writes through them."""

import hashlib
import re
from pathlib import Path

import pytest

from conftest import Run, commit, edit
from pipeline_runs import STAGES


def cached(project: Path) -> dict[str, str]:
    """MD5 of every object of the cache, by the MD5 that is its name."""
    return {
        path.parent.name + path.stem: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path in (project / ".dvc/cache/files/md5").glob("*/*")
    }


def linked(project: Path) -> dict[str, bool]:
    """Whether each output is a link into the cache: of the same inode as an object there."""
    inodes = {path.stat().st_ino for path in (project / ".dvc/cache/files/md5").glob("*/*")}
    folders = ("data/raw", "data/tensors", "models")
    outputs = [path for name in folders for path in (project / name).rglob("*") if not path.is_dir()]
    assert len(outputs) >= 10
    return {str(path.relative_to(project)): path.stat().st_ino in inodes for path in outputs}


@pytest.mark.long
def test_nothing_writes_through_a_link(project: Path, run: Run) -> None:
    run(project, "dvc", "config", "cache.type", "hardlink")
    run(project, "dvc", "checkout", "--relink")  # the project is a copy, whose links were lost
    commit(project, run)
    first = cached(project)
    assert all(linked(project).values())

    # In the copies that DVC makes for experiments, too, the data takes its space once.
    edit(project / "params.yaml", "val_size: 137", "val_size: 136")
    main = "def main() -> None:\n"
    edit(project / "stages/train.py", main, main + '    print(TRAIN.stat().st_nlink, "links")\n')
    output = run(project, "dvc", "exp", "run", "--temp", "train", "-S", "train.lr=0.05")
    assert int(re.findall(r"(\d+) links", output)[0]) > 1
    run(project, "dvc", "repro", "preprocess")
    assert all(linked(project).values())
    run(project, "sh", "-c", "git checkout --quiet HEAD . && dvc checkout")
    assert all(linked(project).values())

    # By hand, where DVC does not delete the outputs first; other test images change all of them but a name, the letters
    # and the drawings, of which there are none.
    edit(project / "params.yaml", "size: 360", "size: 361")
    for stage in STAGES:
        run(project, "python", f"stages/{stage}.py")
    assert not any(linked(project).values())
    output = run(project, "python", "tools/verify.py", status=1)
    differing = set(re.findall(r"error: (.*): differs from dvc.lock", output))
    same = {"data/raw/dataset.json", "data/tensors/drawings.safetensors", "data/tensors/others.safetensors"}
    assert set(linked(project)) - differing == same
    assert "damaged" not in output
    now = cached(project)
    assert all(name == md5 for name, md5 in now.items())
    assert first.items() < now.items()
