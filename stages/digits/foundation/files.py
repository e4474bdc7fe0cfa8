"""Writing files so that a reader sees the old one or the new one, never half of one."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from digits.foundation.stage import UserError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which takes the name `path` when the block ends without an error.

    The old file is unlinked rather than written to, so one that is hard-linked into DVC's cache keeps its content. The
    temporary name is always the same: what a killed process left is overwritten by the next one.

    Raises:
        OSError: the file cannot be written; its `filename` is `path`, also where the system does not say which.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # it has the other name already, or the system lets nobody write here
            temporary.unlink()


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` as indented JSON, floats rounded to 6 digits."""
    rounded = {key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(rounded, indent=2, allow_nan=False) + "\n", encoding="utf-8", newline="\n")


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read the rows of a file that `write_csv` wrote, as text.

    Raises:
        UserError: it is missing.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; `dvc repro` makes it")


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `rows`, which share their keys, as CSV with a header, floats rounded to 6 digits and None as nothing."""
    rows = list(rows)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()})
