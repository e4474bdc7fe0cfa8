"""The entries of DVC's run cache."""

from pathlib import Path

from dvc.exceptions import DvcException
from dvc.utils import dict_sha256
from dvc.utils.serialize import load_yaml


def sha256_of_entry(path: Path) -> str:
    """The hash by which DVC names an entry of the run cache: of its parsed content, without sizes."""
    try:
        return str(dict_sha256(load_yaml(path), exclude=["size", "nfiles"]))
    except (DvcException, TypeError, ValueError):
        return "text that DVC did not write"
