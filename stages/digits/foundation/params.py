"""Reading a section of params.yaml and checking all of it."""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Field  # for the scripts, which import no packages

from digits.foundation.stage import UserError
from digits.foundation.yaml_text import parse_yaml

PARAMS = Path("params.yaml")
MAX_BYTES = 100_000  # of params.yaml; PyYAML takes seconds to read that many
MAX_PROBLEMS = 20  # listed in one message
# What pydantic says in other words. A key that is misspelt is both.
WORDS = {"missing": "is missing", "extra_forbidden": "is unknown"}


class Section(BaseModel):
    """A section of params.yaml or the like: exactly the declared keys, exact types, finite numbers, read-only."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # NumPy and PyTorch both accept every seed in this range
Schema = TypeVar("Schema", bound=Section)


def read_params(section: str, schema: type[Schema]) -> Schema:
    """Read `section` of params.yaml in the working directory by a `schema`.

    Raises a `UserError` as `read_values` does, or one that lists keys that are unknown, missing or have a wrong value.
    """
    values = read_values(section)
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        problems = [_describe(details, section) for details in error.errors()[:MAX_PROBLEMS]]
        raise params_error("".join(f"\n  {problem}" for problem in problems))


def read_values(section: str) -> dict[str, Any]:
    """`section` of params.yaml, unchecked; raises a `UserError` if it, or the file, is missing or not valid YAML."""
    advice = f"`git checkout HEAD {PARAMS}` restores it"
    document = read_yaml(PARAMS, advice)
    values = document.get(section) if isinstance(document, dict) else None
    if not isinstance(values, dict):
        raise UserError(f"{PARAMS}: `{section}` must be a group of parameters, got {short_repr(values)}; {advice}")
    return values


def params_error(problem: str) -> UserError:
    """The error for a wrong parameter, with the way back to earlier results."""
    way_back = "Correct it and run `dvc repro`: earlier results are restored from the cache, without training again."
    return UserError(f"{PARAMS}: {problem}\n{way_back}")


def first_problem(error: ValidationError) -> str:
    """The first problem that pydantic found, with its place and the value, as a short printable line."""
    return _describe(error.errors()[0])


def short_repr(value: Any) -> str:
    """`value` in at most 60 printable characters, at little cost even if it is huge."""
    try:
        return f"{reprlib.repr(value):.60}"
    except ValueError:  # Python refuses to print integers of more than 4,300 digits
        return "a number with thousands of digits"


def printable(text: str, longest: int | None = 300) -> str:
    """The first `longest` characters of `text`, or all, with control characters escaped."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text[:longest])


def read_yaml(path: Path, advice: str) -> Any:
    """The values in a YAML file that people may have written.

    Raises a `UserError`, which ends in `advice`, if it is missing, not valid YAML, or has more than `MAX_BYTES`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        return parse_yaml(content.decode("utf-8"))
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path}: cannot be read: {printable(str(problem))}; {advice}")


def _describe(details: Mapping[str, Any], *section: str) -> str:
    where = printable(".".join(map(str, (*section, *details["loc"]))))
    message = details["msg"].removeprefix("Input ").removeprefix("Value error, ")  # pydantic's own words
    what = WORDS.get(details["type"]) or f"{message}, got {short_repr(details['input'])}"
    return f"{where}: {what}".removeprefix(": ")
