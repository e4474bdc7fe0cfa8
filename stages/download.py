"""Bring a data set to four archives of MNIST's names and format: download them, or make them from pictures.

Reads the mirrors named in params.yaml and in variables such as MNIST_MIRROR, or the pictures in a folder; writes
data/raw.
Command: python stages/download.py, or, to check whether the data is available, python stages/download.py --check
"""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from digits.foundation.arithmetic import use_portable_arithmetic
from digits.foundation.files import replacing
from digits.foundation.params import Section, Seed, Share, params_error, printable, read_params
from digits.foundation.stage import UserError, run

from pydantic import Field

RAW = Path("data/raw")

DATA_UNAVAILABLE = 3  # exit status of --check; errors exit with 1
ALTERNATIVES = """
Name a mirror, a URL or a folder that holds the four archives:
  {variable}=/path/to/{dataset} dvc repro
or use the 1,797 digits bundled with scikit-learn:
  dvc exp run -S download.dataset=optdigits -S preprocess.val_size=137 \\
    -S train.lr=0.1 -S train.batch_size=100"""


class MirrorsParams(Section):
    """Where the archives of each published data set are."""

    mnist: list[str]
    fashion_mnist: Annotated[list[str], Field(alias="fashion-mnist")]
    kmnist: list[str]


class OptdigitsParams(Section):
    """How the bundled digits are split into training and test images."""

    test_size: Annotated[int, Field(ge=11, le=1786)]  # with fewer on one side, it would lack a digit
    seed: Seed


class FolderParams(Section):
    """The user's own data set."""

    path: Annotated[str, Field(min_length=1)]
    pictures: Literal["strokes", "whole"]
    test_share: Annotated[Share, Field(gt=0)]
    seed: Seed


class DownloadParams(Section):
    """Section `download` of params.yaml."""

    dataset: Literal["mnist", "fashion-mnist", "kmnist", "optdigits", "folder"]
    mirrors: MirrorsParams
    optdigits: OptdigitsParams
    folder: FolderParams


def main() -> None:
    params = read_params("download", DownloadParams)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="leave data/raw alone; exit with 3 if no mirror has the data"
    )
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
    """Download the archives that the user's cache lacks, then copy all of them from there to data/raw."""
    from digits.data.mirrors import cache_of
    from digits.data.published import PUBLISHED
    from digits.data.raw import write_description

    about, hashes = PUBLISHED[params.dataset]
    fetch_or_advise(params, hashes)
    for name in hashes:
        content = (cache_of(params.dataset) / name).read_bytes()
        with replacing(RAW / name) as temporary:
            temporary.write_bytes(content)
    write_description(RAW, about)
    print(f"{params.dataset}: four archives in {RAW}")


def check_archives(params: DownloadParams) -> None:
    """Exit with `DATA_UNAVAILABLE` if archives are missing and no mirror delivers the smallest of them."""
    from digits.data.mirrors import cache_of, missing_archives
    from digits.data.published import PUBLISHED

    hashes = PUBLISHED[params.dataset].hashes
    missing = missing_archives(cache_of(params.dataset), hashes) if missing_archives(RAW, hashes) else {}
    try:
        fetch_or_advise(params, dict(list(missing.items())[:1]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(DATA_UNAVAILABLE)


def fetch_or_advise(params: DownloadParams, hashes: Mapping[str, str]) -> None:
    """Bring archives to the user's cache; the mirror in the variable named after the data set comes first.

    Raises:
        UserError: no mirror delivers one; the message names the alternatives.
    """
    from digits.data.mirrors import cache_of, fetch

    variable = f"{params.dataset.upper().replace('-', '_')}_MIRROR"
    users = os.environ.get(variable)
    mirrors = params.mirrors.model_dump(by_alias=True)[params.dataset]
    try:
        fetch(hashes, [users, *mirrors] if users else mirrors, cache_of(params.dataset))
    except UserError as error:
        raise UserError(f"{error}{ALTERNATIVES.format(variable=variable, dataset=params.dataset)}")


def write_optdigits(params: OptdigitsParams) -> None:
    """Write the bundled digits to data/raw under the names of the MNIST archives."""
    from digits.data.optdigits import ABOUT, load_optdigits
    from digits.data.raw import write_raw
    from digits.data.split import stratified_split

    digits = load_optdigits()
    train, test = stratified_split(digits.labels, params.test_size, params.seed)
    write_raw(RAW, ABOUT, digits.take(train), digits.take(test))
    print(f"optdigits: {len(train):,} training and {len(test):,} test images in {RAW}")


def write_folder(params: FolderParams) -> None:
    """Write the pictures of the user's folder to data/raw under the names of the MNIST archives.

    Raises:
        UserError: it has too few classes, or too few pictures of one, or has changed meanwhile.
    """
    use_portable_arithmetic()
    from digits.data.picture_folder import check_unchanged, describe_folder, list_files, read_pictures
    from digits.data.raw import write_raw
    from digits.data.split import split_every_class

    folder = Path(params.path)
    files = list_files(folder)
    about = describe_folder(folder, files, params.pictures)
    pictures = read_pictures(folder, files, about.classes, about.pictures)
    for problem in pictures.problems:
        print(f"note: {printable(problem)}")
    if few := [name for label, name in enumerate(about.classes) if pictures.labels.count(label) < 2]:
        raise params_error(
            f"download.folder: each class needs 2 pictures or more, one to train on and one to test, got fewer of "
            f"{', '.join(map(repr, few))} in {folder}; add some"
        )
    dataset, converted = pictures.dataset(), sum(pictures.converted)
    print(f"folder: {len(dataset):,} pictures of {len(about.classes)} classes; {converted:,} converted to 28 x 28 gray")
    train, test = split_every_class(dataset.labels, params.test_share, params.seed)
    write_raw(RAW, about, dataset.take(train), dataset.take(test))
    print(f"folder: {len(train):,} training and {len(test):,} test images in {RAW}")
    check_unchanged(folder, files)


if __name__ == "__main__":
    run(main)
