"""Reading one section of params.yaml, completely checked."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from digits.stage import UserError

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

PARAMS = Path("params.yaml")


class Section(BaseModel):
    """A section of params.yaml: exactly the declared keys, exact types, finite numbers, read-only."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


def _number(value: Any) -> Any:
    """Text in scientific notation as a float: YAML 1.1 reads `1e-05` (no dot) as text."""
    is_number = isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", value)
    return float(value) if is_number else value


Number = Annotated[float, BeforeValidator(_number)]
# NumPy and PyTorch both accept every seed of this range.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Model = TypeVar("Model", bound=Section)


def read_params(section: str, model: type[Model]) -> Model:
    """Read `section` of params.yaml in the working directory as a `model`.

    Raises:
        UserError: the file or the section is missing or is no YAML, or keys are unknown, missing, of the wrong type
            or out of range. One message names every problem of the section.
    """
    try:
        document = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{PARAMS}: cannot be read: {error}; `git restore {PARAMS}` brings the committed one back")
    values = document.get(section) if isinstance(document, dict) else None
    if not isinstance(values, dict):
        raise UserError(f"{PARAMS}: section `{section}` has to be a mapping, got {values!r}; add it")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "\n  ".join(_problem(section, dict(details), model) for details in error.errors())
        raise params_error(f"\n  {problems}")


def params_error(problem: str) -> UserError:
    """A wrong parameter, said together with the way back to the results of the last good one."""
    return UserError(
        f"{PARAMS}: {problem}\nCorrect it and run `dvc repro`: what was computed before comes back from the cache, "
        "without training again."
    )


def _problem(section: str, details: dict[str, Any], model: type[Section]) -> str:
    where = ".".join(map(str, (section, *details["loc"])))
    if details["type"] == "missing":
        return f"{where}: is missing; add it"
    if details["type"] == "extra_forbidden":
        *groups, name = details["loc"]
        for group in groups:
            model = cast(type[Section], model.model_fields[str(group)].annotation)
        similar = get_close_matches(str(name), model.model_fields, n=1)
        advice = f"did you mean `{similar[0]}`?" if similar else "remove it"
        return f"{where}: is not a parameter; {advice}"
    return f"{where}: {details['msg'].removeprefix('Input ')}, got {details['input']!r:.60}"
