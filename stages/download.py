"""Download the MNIST archives, or write the digits bundled with scikit-learn in the same format.

Reads the mirrors named in MNIST_MIRROR and params.yaml; writes data/raw.
Command: python stages/download.py, or, to check whether the data is available, python stages/download.py --check
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

DATA_UNAVAILABLE = 3  # exit status of --check; errors exit with 1
ALTERNATIVES = """
Name a mirror, a URL or a folder that holds the four archives:
  MNIST_MIRROR=/path/to/mnist dvc repro
or use the 1,797 digits bundled with scikit-learn:
  dvc exp run -S download.dataset=optdigits -S preprocess.val_size=137 \\
    -S train.lr=0.1 -S train.batch_size=100"""


class OptdigitsParams(Section):
    """How the bundled digits are split into training and test images."""

    test_size: Annotated[int, Field(ge=10, le=1787)]  # at least an image per digit on either side
    seed: Seed


class DownloadParams(Section):
    """Section `download` of params.yaml."""

    dataset: Literal["mnist", "optdigits"]
    mirrors: list[str]
    optdigits: OptdigitsParams


def main() -> None:
    params = read_params("download", DownloadParams)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 3 if no mirror has the data")
    only_check = parser.parse_args().check
    user_mirror = os.environ.get("MNIST_MIRROR")
    mirrors = [user_mirror, *params.mirrors] if user_mirror else params.mirrors
    if params.dataset == "optdigits":
        print("optdigits: the 1,797 digits bundled with scikit-learn, not MNIST (params.yaml: download.dataset)")
        if not only_check:
            write_optdigits(params.optdigits)
    elif only_check:
        check_mnist(mirrors)
    else:
        fetch_mnist(mirrors)


def fetch_mnist(mirrors: list[str]) -> None:
    """Download the archives that the user's cache lacks, then copy all of them from there to data/raw."""
    from digits.data.mirrors import ARCHIVES, CACHE, fetch, missing_archives

    try:
        fetch(missing_archives(CACHE), mirrors, CACHE)
    except UserError as error:
        raise UserError(f"{error}{ALTERNATIVES}")
    for name in ARCHIVES:
        content = (CACHE / name).read_bytes()
        with replacing(RAW / name) as temporary:
            temporary.write_bytes(content)
    write_dataset_name("mnist")
    print(f"mnist: four archives in {RAW}")


def check_mnist(mirrors: list[str]) -> None:
    """Exit with `DATA_UNAVAILABLE` if archives are missing and no mirror delivers the smallest of them."""
    from digits.data.mirrors import CACHE, fetch, missing_archives

    try:
        fetch(missing_archives(RAW) and missing_archives(CACHE)[:1], mirrors, CACHE)
    except UserError as error:
        print(f"{error}{ALTERNATIVES}", file=sys.stderr)
        sys.exit(DATA_UNAVAILABLE)


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
    write_dataset_name("optdigits")
    print(f"optdigits: {len(train):,} training and {len(test):,} test images in {RAW}")


def write_dataset_name(name: str) -> None:
    """Record which data set data/raw holds, for later stages to report."""
    with replacing(RAW / "dataset.txt") as temporary:
        temporary.write_text(f"{name}\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run(main)
