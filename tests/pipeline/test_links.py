"""Where outputs are links into DVC's cache, nothing that the pipeline does writes through them."""

import hashlib
import re
from pathlib import Path

from conftest import Run, commit, edit
from pipeline_runs import STAGES

import pytest

# A line that says how many names the training images have.
SHOW_LINKS = 'print(TRAIN.stat().st_nlink, "links")'


def cached(project: Path) -> dict[str, str]:
    """MD5 of every object of the cache, by the MD5 that is its name."""
    return {
        path.parent.name + path.stem: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path in (project / ".dvc/cache/files/md5").glob("*/*")
    }


def linked(project: Path) -> dict[str, bool]:
    """Whether each output is a link into the cache: of the same inode as an object there."""
    inodes = {path.stat().st_ino for path in (project / ".dvc/cache/files/md5").glob("*/*")}
    outputs = [
        path
        for name in ("data/raw", "data/tensors", "models")
        for path in (project / name).rglob("*")
        if not path.is_dir()
    ]
    return {str(path.relative_to(project)): path.stat().st_ino in inodes for path in outputs}


@pytest.mark.long
def test_tensors_and_models_take_their_space_once(project: Path, run: Run) -> None:
    run(project, "dvc", "checkout", "--relink")  # the project is a copy, whose links were lost
    links = linked(project)
    assert len([path for path in links if path.startswith(("data/tensors/", "models/"))]) == 8
    assert all(links.values())

    # And in the copies that DVC makes for experiments.
    edit(project / "params.yaml", "lr: 0.1", "lr: 0.2")
    edit(project / "stages/train.py", "def main() -> None:\n", f"def main() -> None:\n    {SHOW_LINKS}\n")
    output = run(project, "dvc", "exp", "run", "--temp", "train")
    assert re.findall(r"(\d+) links", output)[0] != "1"


@pytest.mark.long
@pytest.mark.parametrize("link", ["hardlink", "symlink"])
def test_nothing_writes_through_a_link(project: Path, run: Run, link: str) -> None:
    run(project, "dvc", "config", "cache.type", link)
    run(project, "dvc", "checkout", "--relink")
    commit(project, run)
    first = cached(project)
    assert len(linked(project)) >= 10
    assert all(linked(project).values())
    assert (project / "models/model.safetensors").is_symlink() == (link == "symlink")

    edit(project / "params.yaml", "val_size: 137", "val_size: 136")
    run(project, "dvc", "repro", "preprocess")
    run(project, "dvc", "exp", "run", "train", "-S", "train.lr=0.05")
    assert all(linked(project).values())
    run(project, "sh", "-c", "git checkout --quiet HEAD . && dvc checkout")
    assert all(linked(project).values())
    assert run(project, "python", "tools/verify.py").startswith("all right")

    # By hand, where DVC does not delete the outputs first; other test images change all of them but a name and the
    # drawings, of which there are none.
    edit(project / "params.yaml", "size: 360", "size: 361")
    for stage in STAGES:
        run(project, "python", f"stages/{stage}.py")
    assert not any(linked(project).values())
    output = run(project, "python", "tools/verify.py", status=1)
    differing = set(re.findall(r"error: (.*): differs from dvc.lock", output))
    assert set(linked(project)) - differing == {"data/raw/dataset.json", "data/tensors/drawings.safetensors"}
    assert "damaged" not in output
    now = cached(project)
    assert all(name == md5 for name, md5 in now.items())
    assert first.items() < now.items()
