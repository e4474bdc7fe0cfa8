"""Read all of DVC's cache and all outputs of the pipeline again, and name every file whose content is not as it was.

DVC takes a file with the time, size and inode that it remembers as unchanged, so it doesn't notice what a failing disk
does, or a program that writes through a link into the cache. This changes nothing; it ends with status 1 if a file is
damaged, and says how to get it back.
Command: python tools/verify.py
"""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from foundation.command import ROOT, Parser, run_command
from foundation.repository import use_own_environment

# What DVC itself reads and writes with; to PyYAML, 1e-05 is a text.
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


class File(NamedTuple):
    """A file, the digest that its content should have, and what it is if it has another."""

    path: Path
    expected: str
    otherwise: str
    digest: Callable[[Path], str]


def main() -> None:
    Parser(__doc__).parse_args()
    os.chdir(ROOT)
    cache = cache_folder()
    outputs = locked_outputs()
    written = [file for output in outputs for file in files_of(output, cache)]
    names = {file.expected: file.path for file in [*written, *outputs]}
    files = [*cache_objects(cache, names), *run_entries(cache), *written]
    here = [file for file in files if os.path.lexists(file.path)]
    damaged = [file.path for file in here if not is_right(file)]
    if missing := len(files) - len(here):
        print(f"missing, not damaged: {missing} outputs of dvc.lock; `dvc repro` brings them back", flush=True)
    if damaged:
        sys.exit(advice(damaged))
    size = sum(file.path.stat().st_size for file in here)
    print(f"all right: {len(here)} files in DVC's cache and among the outputs, {size / 1e6:.1f} MB")


def cache_folder() -> Path:
    """DVC's cache, relative to the root of the repository if it is in there."""
    use_own_environment()
    asked = subprocess.run(["dvc", "cache", "dir"], stdout=subprocess.PIPE, text=True)
    if asked.returncode != 0:
        sys.exit(f"error: dvc: `dvc cache dir` failed, got status {asked.returncode}; see what it says above")
    path = Path(asked.stdout.removesuffix("\n"))
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def locked_outputs() -> list[File]:
    """The files and directories that, by dvc.lock, the pipeline wrote."""
    lock = Path("dvc.lock")
    try:
        stages = YAML(typ="safe").load(lock)["stages"].values() if lock.exists() else []
        outputs = [(Path(output["path"]), str(output["md5"])) for stage in stages for output in stage.get("outs", [])]
    except (YAMLError, AttributeError, KeyError, TypeError, ValueError):
        sys.exit("error: dvc.lock: is damaged, got text that DVC did not write; `git checkout HEAD dvc.lock`")
    return [File(path, md5, "differs from dvc.lock", md5_of_file) for path, md5 in outputs]


def files_of(output: File, cache: Path) -> Iterator[File]:
    """The output itself, or, for a directory, the files that its object in the cache lists."""
    if not output.expected.endswith(".dir"):
        yield output
        return
    listing = cache / "files" / "md5" / output.expected[:2] / output.expected[2:]
    if listing.is_file() and md5_of_file(listing) == output.expected.removesuffix(".dir"):
        for file in json.loads(listing.read_bytes()):
            yield output._replace(path=output.path / file["relpath"], expected=file["md5"])
    else:
        otherwise = "cannot be compared with dvc.lock"
        yield output._replace(
            otherwise=otherwise, digest=lambda _: "a directory whose list of files the cache has lost"
        )


def cache_objects(cache: Path, names: Mapping[str, Path]) -> Iterator[File]:
    """The objects of the cache, each under the MD5 of its content; with what DVC had no time to finish left out."""
    for path in sorted((cache / "files" / "md5").glob("[0-9a-f][0-9a-f]/*")):
        name = path.parent.name + path.name
        md5 = name.removesuffix(".dir")
        if len(md5) == 32:
            yield File(path, md5, f"damaged, an object of {names.get(name, 'an earlier run')}", md5_of_file)


def run_entries(cache: Path) -> Iterator[File]:
    """What the run cache knows: by a stage's inputs, which outputs it had."""
    for path in sorted((cache / "runs").glob("[0-9a-f][0-9a-f]/*/*")):
        if len(path.name) == 64:
            yield File(path, path.name, "damaged, an entry of the run cache", sha256_of_entry)


def md5_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def sha256_of_entry(path: Path) -> str:
    """DVC's hash of a run: of its meaning rather than of its text, and without sizes."""
    try:
        entry = json.dumps(YAML(typ="safe").load(path))
    except (YAMLError, TypeError, ValueError):
        return "text that DVC did not write"
    entry = json.loads(
        entry, object_hook=lambda values: {key: values[key] for key in values.keys() - {"size", "nfiles"}}
    )
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


def is_right(file: File) -> bool:
    """Whether the content of a file is what it should be; says so if not."""
    try:
        digest = file.digest(file.path)
    except PermissionError as error:
        sys.exit(f"error: {file.path}: cannot be read, got {error.strerror}; see to that and verify again")
    except OSError as error:
        digest = error.strerror or str(error)
    if digest != file.expected:
        print(f"error: {file.path}: {file.otherwise}, got {digest}", file=sys.stderr)
    return digest == file.expected


def advice(damaged: list[Path]) -> str:
    return f"""
To get them back, delete them and let DVC make them again, but keep a copy of
what you have changed on purpose, or an interrupted run; in {ROOT}:
  rm -rf {shlex.join(map(str, damaged))}
  dvc repro
With a remote, `dvc repro --pull` takes from there what it has. An object of an
earlier run, or of another project, comes back when that runs again."""


if __name__ == "__main__":
    run_command(main)
