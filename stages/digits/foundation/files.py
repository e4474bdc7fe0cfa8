"""Reading and writing files; a reader sees the old file or the new one, never half of one."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from digits.foundation.params import first_problem, printable
from digits.foundation.stage import UserError

Value = TypeVar("Value")
MAX_JSON_BYTES = 1_000_000  # of a longer file the end is cut off, which makes it invalid


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` if the block ends without an error.

    The old file is unlinked rather than overwritten, so a file that is hard-linked into DVC's cache keeps its content.
    The temporary name is always the same: the next process overwrites what a killed one left behind. Raises an
    `OSError` if the file cannot be written; its `filename` is `path` even if the system names no file.
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
        with suppress(OSError):  # already renamed, or on a read-only file system
            temporary.unlink()


def missing_file(path: Path | str) -> UserError:
    """The error for a file that an earlier stage should have written."""
    return UserError(f"{path}: is missing; `dvc repro` makes it")


def damaged_file(path: Path | str, problem: str) -> UserError:
    """The error for a file that must be written again."""
    return UserError(f"{path}: is damaged: {printable(problem)}; delete it and run `dvc repro`")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise a `UserError` if the block, which reads `path` and checks it with pydantic, finds it missing or damaged."""
    try:
        yield
    except FileNotFoundError:
        raise missing_file(path)
    except ValidationError as error:
        raise damaged_file(path, first_problem(error))
    except (UnicodeDecodeError, csv.Error) as error:
        raise damaged_file(path, str(error))


class Row(BaseModel):
    """A row of a CSV file; columns that it does not declare are left out."""


def read_json(path: Path, schema: type[Value]) -> Value:
    """Read a JSON file and check it against `schema`; raises as `reading` does."""
    with reading(path), path.open("rb") as file:
        return TypeAdapter(schema).validate_json(file.read(MAX_JSON_BYTES))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` as indented JSON, floats rounded to 6 digits."""
    content = json.dumps(_rounded(values), indent=2, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8", newline="\n")


def read_csv(path: Path, schema: type[Value]) -> Value:
    """Read a CSV file and check its rows against `schema`, a list of a kind of `Row`; raises as `reading` does."""
    with reading(path), path.open(encoding="utf-8", newline="") as file:
        return TypeAdapter(schema).validate_python(csv.DictReader(file))  # all rows at once: an error names the row


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows`, which share their keys, as CSV with a header, floats rounded to 6 digits, None as an empty cell."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(_rounded, rows))


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()}
