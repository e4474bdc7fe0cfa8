"""Bring a data set to data/raw: from archives that it downloads, bundled digits, or the pictures in a folder.

Reads mirrors, named in params.yaml and variables such as MNIST_MIRROR, or the pictures in a folder; writes data/raw.
Command: python stages/download.py, or, to check whether the data is available, python stages/download.py --check
"""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from digits.data.picture_folder import check_unchanged, describe_folder, list_files, read_pictures
from digits.data.raw import read_raw, write_raw
from digits.data.split import split_every_class, stratified_split
from digits.dataset import Pictures
from digits.foundation.params import Field, Section, Seed, Share, params_error, read_params
from digits.foundation.stage import UserError, run
from digits.known_datasets import PUBLISHED
from digits.sources.archives import ARCHIVE_NAMES, read_archives
from digits.sources.mirrors import MirrorsParams, cache_of, fetch
from digits.sources.optdigits import load_optdigits

RAW = Path("data/raw")

DATA_UNAVAILABLE = 3  # exit status of --check; errors exit with 1
ALTERNATIVES = """
Name a mirror, a URL or a folder that holds the four archives:
  {variable}=/path/to/{dataset} dvc repro
or use the 1,797 digits bundled with scikit-learn:
  python tools/recipe.py offline"""


class OptdigitsParams(Section):
    """How the bundled digits are split into training and test images."""

    test_size: Annotated[int, Field(ge=11, le=1786)]  # with fewer on one side, it would lack a digit
    seed: Seed


class FolderParams(Section):
    """The user's own data set."""

    path: Annotated[str, Field(min_length=1)]
    pictures: Pictures
    test_share: Annotated[Share, Field(gt=0)]
    seed: Seed


class DownloadParams(Section):
    """Section `download` of params.yaml."""

    dataset: Literal[(*PUBLISHED, "folder")]  # type: ignore[valid-type]  # like the mirrors, made from the data sets
    mirrors: MirrorsParams  # type: ignore[valid-type]
    optdigits: OptdigitsParams
    folder: FolderParams


def main() -> None:
    params = read_params("download", DownloadParams)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 3 if no mirror has the data")
    only_check = parser.parse_args().check
    if params.dataset == "optdigits":
        print("optdigits: the 1,797 digits bundled with scikit-learn, not MNIST (params.yaml: download.dataset)")
    if only_check:
        if params.dataset not in ("optdigits", "folder"):
            check_archives(params)
    elif params.dataset == "optdigits":
        write_optdigits(params.optdigits)
    elif params.dataset == "folder":
        write_folder(params.folder)
    else:
        write_archives(params)


def write_archives(params: DownloadParams) -> None:
    """Download the archives that the user's cache lacks, and write what all of them hold to data/raw."""
    archives = fetch_or_advise(params)
    train, test = (read_archives(archives, split) for split in ("train", "test"))
    write_raw(RAW, PUBLISHED[params.dataset].about, train, test)
    print(f"{params.dataset}: {len(train):,} training and {len(test):,} test images in {RAW}")


def check_archives(params: DownloadParams) -> None:
    """Exit with `DATA_UNAVAILABLE` if neither data/raw nor the user's cache nor a mirror has the data set."""
    with suppress(UserError):  # it is missing, damaged, or of an earlier version
        if read_raw(RAW)[0].name == params.dataset:
            return
    try:
        fetch_or_advise(params)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(DATA_UNAVAILABLE)


def fetch_or_advise(params: DownloadParams) -> dict[str, bytes]:
    """The archives, by name; the mirror in the variable named after the data set comes first.

    Raises a `UserError` if no mirror delivers one; the message names the alternatives.
    """
    hashes = dict(zip(ARCHIVE_NAMES, PUBLISHED[params.dataset].hashes, strict=True))
    variable = f"{params.dataset.upper().replace('-', '_')}_MIRROR"
    mirrors = [os.environ.get(variable), *getattr(params.mirrors, params.dataset)]
    try:
        return fetch(hashes, list(filter(None, mirrors)), cache_of(params.dataset))
    except UserError as error:
        raise UserError(f"{error}{ALTERNATIVES.format(variable=variable, dataset=params.dataset)}")


def write_optdigits(params: OptdigitsParams) -> None:
    """Write the bundled digits to data/raw."""
    digits = load_optdigits()
    train, test = stratified_split(digits.labels, params.test_size, params.seed)
    write_raw(RAW, PUBLISHED["optdigits"].about, digits.take(train), digits.take(test))
    print(f"optdigits: {len(train):,} training and {len(test):,} test images in {RAW}")


def write_folder(params: FolderParams) -> None:
    """Write the user's pictures to data/raw; raises a `UserError` if they or their classes are too few, or change."""
    folder = Path(params.path)
    files = list_files(folder)
    about = describe_folder(name_of(folder), folder, files, params.pictures)
    dataset, _ = read_pictures(folder, files, about)
    if few := [name for label, name in enumerate(about.classes) if (dataset.labels == label).sum() < 2]:
        raise params_error(
            f"download.folder: each class needs 2 pictures or more, to train on and to test, got fewer of "
            f"{', '.join(map(repr, few))} in {folder}; add some"
        )
    print(f"{about.name}: {len(dataset):,} pictures of {len(about.classes)} classes, brought to 28 x 28 gray pixels")
    train, test = split_every_class(dataset.labels, params.test_share, params.seed)
    write_raw(RAW, about, dataset.take(train), dataset.take(test))
    print(f"{about.name}: {len(train):,} training and {len(test):,} test images in {RAW}")
    check_unchanged(folder, files)


def name_of(folder: Path) -> str:
    """The folder's own name, as far as it is short and printable, but never that of a published data set."""
    name = "".join(filter(str.isprintable, folder.name)).strip(". ")[:40]
    return f"folder {name}".strip() if name in ("", *PUBLISHED) else name


if __name__ == "__main__":
    run(main)
