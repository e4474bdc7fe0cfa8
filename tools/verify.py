"""Check that no file in DVC's cache or among the pipeline's outputs is damaged.

Example: python tools/verify.py

DVC considers a file unchanged as long as its time, size and inode are those it
remembers, so it misses what a failing disk does, or a program that writes
through a link into the cache. This command reads every file, changes nothing,
and tells how to restore what is damaged. The exit status is 1 if a file is.
"""

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from foundation.command import ROOT, Parser, run_command
from foundation.repository import cache_folder, md5_of_file

# The parser of DVC itself; PyYAML takes 1e-05 for text.
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


class File(NamedTuple):
    """A file, the digest that its content should have, how to compute it, and the problem if it differs."""

    path: Path
    expected: str
    problem: str
    digest: Callable[[Path], str]


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON: files, bytes, missing and damaged paths")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    cache = cache_folder()
    cache = cache.relative_to(ROOT) if cache.is_relative_to(ROOT) else cache
    outputs = locked_outputs()
    written = [file for output in outputs for file in files_of(output, cache)]
    names = {file.expected: file.path for file in [*written, *outputs]}
    files = [*cache_objects(cache, names), *run_entries(cache), *written]
    missing = [file.path for file in files if not os.path.lexists(file.path)]
    present = [file for file in files if os.path.lexists(file.path)]
    damaged = [file.path for file in present if not is_intact(file)]
    size = sum(file.path.stat().st_size for file in present if file.path not in damaged)
    if arguments.json:
        paths = {"missing": list(map(str, missing)), "damaged": list(map(str, damaged))}
        print(json.dumps({"files": len(present), "bytes": size, **paths}, indent=2))
        sys.exit(bool(damaged))
    if missing:
        print(f"missing, not damaged: {len(missing)} outputs of dvc.lock; `dvc repro` brings them back", flush=True)
    if damaged:
        sys.exit(advice(damaged))
    print(f"all right: {len(present)} files in DVC's cache and among the outputs, {size / 1e6:.1f} MB")


def locked_outputs() -> list[File]:
    """The files and directories that dvc.lock lists as outputs."""
    lock = Path("dvc.lock")
    try:
        stages = YAML(typ="safe").load(lock)["stages"].values() if lock.exists() else []
        outputs = [(Path(output["path"]), str(output["md5"])) for stage in stages for output in stage.get("outs", [])]
    except (YAMLError, AttributeError, KeyError, TypeError, ValueError):
        sys.exit("error: dvc.lock: is damaged, got text that DVC did not write; `git checkout HEAD dvc.lock`")
    return [File(path, md5, "differs from dvc.lock", md5_of_file) for path, md5 in outputs]


def files_of(output: File, cache: Path) -> Iterator[File]:
    """The output itself, or the files of a directory, as its object in the cache lists them."""
    if not output.expected.endswith(".dir"):
        yield output
        return
    listing = cache / "files" / "md5" / output.expected[:2] / output.expected[2:]
    if listing.is_file() and md5_of_file(listing) == output.expected.removesuffix(".dir"):
        for file in json.loads(listing.read_bytes()):
            yield output._replace(path=output.path / file["relpath"], expected=file["md5"])
    else:
        problem = "cannot be compared with dvc.lock"
        yield output._replace(problem=problem, digest=lambda _: "a directory whose list of files the cache has lost")


def cache_objects(cache: Path, names: Mapping[str, Path]) -> Iterator[File]:
    """The objects of the cache, each named by the MD5 of its content; unfinished ones are left out."""
    for path in sorted((cache / "files" / "md5").glob("[0-9a-f][0-9a-f]/*")):
        name = path.parent.name + path.name
        md5 = name.removesuffix(".dir")
        if len(md5) == 32:
            yield File(path, md5, f"damaged, an object of {names.get(name, 'an earlier run')}", md5_of_file)


def run_entries(cache: Path) -> Iterator[File]:
    """The entries of the run cache: which outputs a stage had with which inputs."""
    for path in sorted((cache / "runs").glob("[0-9a-f][0-9a-f]/*/*")):
        if len(path.name) == 64:
            yield File(path, path.name, "damaged, an entry of the run cache", sha256_of_entry)


def sha256_of_entry(path: Path) -> str:
    """The hash by which DVC names an entry of the run cache: of its parsed content, without sizes."""
    try:
        entry = json.dumps(YAML(typ="safe").load(path))
    except (YAMLError, TypeError, ValueError):
        return "text that DVC did not write"
    entry = json.loads(
        entry, object_hook=lambda values: {key: values[key] for key in values.keys() - {"size", "nfiles"}}
    )
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


def is_intact(file: File) -> bool:
    """Whether a file has the expected content; prints an error if not."""
    try:
        digest = file.digest(file.path)
    except PermissionError as error:
        sys.exit(f"error: {file.path}: cannot be read, got {error.strerror}; make it readable and verify again")
    except OSError as error:
        digest = error.strerror or str(error)
    if digest != file.expected:
        print(f"error: {file.path}: {file.problem}, got {digest}", file=sys.stderr)
    return digest == file.expected


def advice(damaged: list[Path]) -> str:
    return f"""
To restore them, delete them and let DVC make them again; first keep a copy of
what you changed on purpose, or of what an interrupted run left. In {ROOT}:
  rm -rf {shlex.join(map(str, damaged))}
  dvc repro
With a remote, `dvc repro --pull` fetches what is stored there. An object of an
earlier run, or of another project, comes back when that runs again."""


if __name__ == "__main__":
    run_command(main)
