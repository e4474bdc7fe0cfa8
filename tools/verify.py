"""Check that no file in DVC's cache or among the pipeline's outputs is damaged.

Example: python tools/verify.py

DVC considers a file unchanged as long as its time, size and inode are those it
remembers, so it misses what a failing disk does, or a program that writes
through a link into the cache. This command reads every file, changes nothing,
and explains how to restore what is damaged. The exit status is 1 if a file is.
"""

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from command import ROOT, Parser, run_command
from digits.foundation.params import printable
from digits.foundation.yaml_text import parse_lock
from experiments.revisions import LOCK, WORKSPACE
from experiments.run_cache import sha256_of_entry
from repository import cache_folder, md5_of_file


class File(NamedTuple):
    """A file, the digest that its content should have, what it is or how it is wrong, and how to compute the digest."""

    path: Path
    expected: str
    problem: str
    digest: Callable[[Path], str] = md5_of_file


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON: files, bytes, missing and damaged paths")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    cache = cache_folder()
    cache = cache.relative_to(ROOT) if cache.is_relative_to(ROOT) else cache
    outputs = [File(path, md5, "differs from dvc.lock") for path, md5 in locked_outputs().items()]
    written = [file for output in outputs for file in files_of(output, cache)]
    files = [*cached_files(cache, {file.expected: file.path for file in [*written, *outputs]}), *written]
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
        sys.exit(ADVICE.format(root=ROOT, paths=shlex.join(map(str, damaged))))
    print(f"all right: {len(present)} files in DVC's cache and among the outputs, {size / 1e6:.1f} MB")


def locked_outputs() -> dict[Path, str]:
    """The files and directories that dvc.lock lists as outputs, each with its MD5; a `UserError` if it is damaged."""
    lock = Path(LOCK)
    if not lock.exists():
        return {}
    text = lock.read_text(encoding="utf-8", errors="replace")
    return {Path(path): md5 for stage in parse_lock(text, WORKSPACE).values() for path, md5 in stage.outs.items()}


def files_of(output: File, cache: Path) -> Iterator[File]:
    """The output itself, or the files of a directory, as its object in the cache lists them."""
    if not output.expected.endswith(".dir"):
        yield output
        return
    listing = cache / "files/md5" / output.expected[:2] / output.expected[2:]
    if listing.is_file() and md5_of_file(listing) == output.expected.removesuffix(".dir"):
        for file in json.loads(listing.read_bytes()):
            yield output._replace(path=output.path / file["relpath"], expected=file["md5"])
    else:
        yield output._replace(
            problem="cannot be compared with dvc.lock, since the cache has lost the list of its files"
        )


def cached_files(cache: Path, names: dict[str, Path]) -> Iterator[File]:
    """The files of the cache that are named for their content; unfinished ones are not.

    They are the objects, and the entries of the run cache: which outputs a stage had with which inputs.
    """
    for path in sorted((cache / "files/md5").glob("[0-9a-f][0-9a-f]/*")):
        name = path.parent.name + path.name
        if len(md5 := name.removesuffix(".dir")) == 32:
            yield File(path, md5, f"damaged, an object of {names.get(name, 'an earlier run')}")
    for path in sorted((cache / "runs").glob("[0-9a-f][0-9a-f]/*/*")):
        if len(path.name) == 64:
            yield File(path, path.name, "damaged, an entry of the run cache", sha256_of_entry)


def is_intact(file: File) -> bool:
    """Whether a file has the expected content; prints an error if not."""
    try:
        digest = file.digest(file.path)
    except PermissionError:
        raise  # which says nothing about the content
    except OSError as error:
        digest = error.strerror or str(error)
    if digest != file.expected:
        print(f"error: {printable(str(file.path))}: {file.problem}, got {digest}", file=sys.stderr)
    return digest == file.expected


ADVICE = """
To restore them, delete them and let DVC make them again; first keep a copy of
what you changed on purpose, or of what an interrupted run left. In {root}:
  rm -rf {paths}
  dvc repro
With a remote, `dvc repro --pull` fetches what is stored there. An object of an
earlier run, or of another project, comes back when that runs again."""


if __name__ == "__main__":
    run_command(main)
