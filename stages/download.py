"""Fetch the MNIST archives, or write the digits that scikit-learn carries in the same format.

Reads the mirrors named in MNIST_MIRROR and params.yaml; writes data/raw.
Command: python stages/download.py, or, to ask whether the data can be had, python stages/download.py --check
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from digits.foundation.files import replacing
from digits.foundation.params import Section, Seed, read_params
from digits.foundation.stage import UserError, run

from pydantic import Field

RAW = Path("data/raw")

NOT_TO_BE_HAD = 3  # exit status of --check; a wrong parameter has 1
WAYS_ON = """
Name a mirror, a URL or a folder that holds the four archives:
  MNIST_MIRROR=/path/to/mnist dvc repro
or take the 1,797 digits that scikit-learn carries:
  dvc exp run -S download.dataset=optdigits -S preprocess.val_size=137 \\
    -S train.lr=0.1 -S train.batch_size=100"""


class OptdigitsParams(Section):
    """How the bundled digits are split into training and test images."""

    test_size: Annotated[int, Field(ge=10, le=1787)]  # an image per digit on each side
    seed: Seed


class DownloadParams(Section):
    """Section `download` of params.yaml."""

    dataset: Literal["mnist", "optdigits"]
    mirrors: list[str]
    optdigits: OptdigitsParams


def main() -> None:
    params = read_params("download", DownloadParams)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 3 if no mirror gives the data")
    only_check = parser.parse_args().check
    if params.dataset == "optdigits":
        print("optdigits: the 1,797 digits that scikit-learn carries, not MNIST (params.yaml: download.dataset)")
        if not only_check:
            write_optdigits(params.optdigits)
    elif only_check:
        check_mnist(params.mirrors)
    else:
        fetch_mnist(params.mirrors)


def fetch_mnist(mirrors: list[str]) -> None:
    """Copy the archives from the user's cache to data/raw, and those that it lacks from the mirrors to the cache."""
    from digits.data.mirrors import ARCHIVES, CACHE, fetch, missing_archives

    try:
        fetch(missing_archives(CACHE), [*own_mirror(), *mirrors], CACHE)
    except UserError as error:
        raise UserError(f"{error}{WAYS_ON}")
    for name in ARCHIVES:
        content = (CACHE / name).read_bytes()
        with replacing(RAW / name) as temporary:
            temporary.write_bytes(content)
    write_name("mnist")
    print(f"mnist: four archives in {RAW}")


def check_mnist(mirrors: list[str]) -> None:
    """Exit with `NOT_TO_BE_HAD` unless the archives are here, or a mirror gives the smallest one that is not."""
    from digits.data.mirrors import CACHE, fetch, missing_archives

    try:
        fetch(missing_archives(RAW) and missing_archives(CACHE)[:1], [*own_mirror(), *mirrors], CACHE)
    except UserError as error:
        print(f"{error}{WAYS_ON}", file=sys.stderr)
        sys.exit(NOT_TO_BE_HAD)


def own_mirror() -> list[str]:
    """The mirror that the user's environment names, if any."""
    return [mirror for mirror in [os.environ.get("MNIST_MIRROR")] if mirror]


def write_optdigits(params: OptdigitsParams) -> None:
    """Write the bundled digits to data/raw under the names of the MNIST archives."""
    from digits.data.idx import write_idx
    from digits.data.optdigits import load_optdigits
    from digits.data.split import stratified_split

    images, labels = load_optdigits()
    train, test = stratified_split(labels, params.test_size, params.seed)
    for prefix, chosen in (("train", train), ("t10k", test)):
        write_idx(RAW / f"{prefix}-images-idx3-ubyte.gz", images[chosen])
        write_idx(RAW / f"{prefix}-labels-idx1-ubyte.gz", labels[chosen])
    write_name("optdigits")
    print(f"optdigits: {len(train):,} training and {len(test):,} test images in {RAW}")


def write_name(name: str) -> None:
    """Note which data set data/raw holds, for every later stage to say."""
    with replacing(RAW / "dataset.txt") as temporary:
        temporary.write_text(f"{name}\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run(main)
