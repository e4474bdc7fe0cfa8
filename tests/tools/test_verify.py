"""tools/verify.py names all damage, whether DVC notices it or not, and what it advises repairs it."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import pytest

import verify
from conftest import Call, Run, commit

RAW = "data/raw/train.safetensors"  # that of the test images is the same as in data/tensors
MODEL = "models/model.safetensors"


def damage(path: Path) -> None:
    """Change a byte, but nothing that DVC looks at: not the time, the size, the mode or the inode."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def object_of(path: Path, cache: Path) -> Path:
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return cache / "files/md5" / md5[:2] / md5[2:]


def named(output: str) -> list[str]:
    """The files that the output says are not as they were."""
    return sorted(re.findall(r"(?m)^error: (.*): (?:damaged|differs|cannot)", output))


def repair(project: Path, run: Run, call: Call, output: str) -> list[str]:
    """Do what the output advises, and check that all is right then; return the stages that had to run."""
    delete, advised = re.findall(r"(?m)^  (.*)$", output)
    assert advised == "dvc repro"
    run(project, "sh", "-c", delete)
    printed = run(project, "dvc", "repro")
    assert call(verify, project)[0].startswith("all right")
    assert run(project, "git", "status", "--porcelain") == ""
    assert "up to date" in run(project, "dvc", "status")
    return re.findall(r"Running stage '(\w+)'", printed)


@pytest.mark.long
def test_all_damage_is_named_and_repaired(project: Path, run: Run, call: Call) -> None:
    """Of objects of the cache, the list of a directory's files, an entry of the run cache, and outputs."""
    cache = project / ".dvc/cache"
    # A number that DVC and PyYAML read differently, in the run cache.
    run(project, "dvc", "exp", "run", "train", "--name", "slow", "-S", "train.lr=0.00001")
    objects = [object_of(project / MODEL, cache)]
    run(project, "sh", "-c", "git checkout --quiet HEAD . && dvc checkout")
    assert call(verify, project)[0].startswith("all right")
    run(project, "dvc", "status")  # so that DVC knows all files
    objects += [object_of(project / path, cache) for path in (RAW, MODEL)]
    # `dvc checkout` has made the model a link to its object.
    for path in [*objects, project / "metrics/train.csv", project / "plots/confusion.csv"]:
        damage(path)
    assert "up to date" in run(project, "dvc", "status")
    output = call(verify, project, status=1)[1]
    names = [str(path.relative_to(project)) for path in objects]
    assert named(output) == sorted([*names, MODEL, "metrics/train.csv", "plots/confusion.csv"])
    assert f"{objects[0].relative_to(project)}: damaged, an object of an earlier run, got " in output
    assert f"damaged, an object of {RAW}, got " in output
    assert repair(project, run, call, output) == ["download", "train", "evaluate"]

    listing = next((cache / "files").rglob("*.dir"))
    entry = next(path for path in (cache / "runs").rglob("*") if path.is_file())
    damage(listing)
    entry.chmod(0o644)
    entry.write_bytes(entry.read_bytes().replace(b"stages/digits/", b"stages/didgits/"))
    output = call(verify, project, status=1)[1]
    assert {str(path.relative_to(project)) for path in (listing, entry)} < {*named(output)}
    assert "an object of data/raw, got " in output
    assert "an entry of the run cache, got " in output
    repair(project, run, call, output)

    (project / MODEL).unlink()
    (project / MODEL).symlink_to("nowhere")
    (project / "metrics/train.json").unlink()
    (project / "metrics/train.json").mkdir()
    output = call(verify, project, status=1)[1]
    assert named(output) == ["metrics/train.json", MODEL]
    assert "got Is a directory" in output
    assert repair(project, run, call, output) == []


def test_what_is_missing_or_differs_alone_is_named(project: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)  # `dvc` is found beside Python
    whole = json.loads(call(verify, project, "--json")[0])
    folders = (".dvc/cache", "data/raw", "data/tensors", "models", "metrics", "plots")
    files = [path for name in folders for path in (project / name).rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    assert whole == {"files": len(files), "bytes": size, "missing": [], "damaged": []}
    damage(project / MODEL)
    (project / "metrics/train.csv").unlink()
    printed, problems = call(verify, project, "--json", status=1)
    found = json.loads(printed)
    assert (found["missing"], found["damaged"]) == (["metrics/train.csv"], [MODEL])
    assert found["files"] == whole["files"] - 1
    assert 0 < found["bytes"] < whole["bytes"]
    assert named(problems) == [MODEL]
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(project / "data")
    (project / MODEL).unlink()
    message = r"missing, not damaged: \d+ outputs of dvc.lock; `dvc repro` brings them back\nall right: \d+ files"
    assert re.match(message, call(verify, project)[0])
    (project / "dvc.lock").write_text("<<<<<<< HEAD\n=======\n>>>>>>> other\n")
    assert call(verify, project, status=1)[1].startswith("error: workspace: dvc.lock is damaged")
    (project / "dvc.lock").unlink()
    assert call(verify, project)[0] == "all right: 0 files in DVC's cache and among the outputs, 0.0 MB\n"


@pytest.mark.long
def test_a_cache_elsewhere_to_which_outputs_link(project: Path, tmp_path: Path, run: Run, call: Call) -> None:
    cache = tmp_path / "a cache"
    (project / ".dvc/cache").rename(cache)
    run(project, "dvc", "cache", "dir", str(cache))
    run(project, "dvc", "config", "cache.type", "symlink")
    run(project, "dvc", "checkout", "--relink")
    commit(project, run)
    assert call(verify, project)[0].startswith("all right")
    cached = object_of(project / MODEL, cache)
    assert cached.samefile(project / MODEL)
    damage(project / MODEL)
    output = call(verify, project, status=1)[1]
    assert named(output) == sorted([str(cached), MODEL])
    assert repair(project, run, call, output) == ["train"]
    assert cached.samefile(project / MODEL)
