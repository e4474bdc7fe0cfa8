"""What machines have to agree on before they share a study."""

import hashlib
import platform
import re
from collections.abc import Collection, Mapping
from importlib.metadata import Distribution, version
from typing import Any

from foundation.command import ROOT
from foundation.repository import flat_params, flattened, git

CODE = "stages", "dvc.yaml"


def agreement(free: Collection[str], pictures: Mapping[str, str]) -> dict[str, Any]:
    """All that a trial's result depends on here, except the parameters `free`, each with a name for people.

    Data other than the user's pictures follow from the parameters: archives are checked against published hashes.

    Args:
        pictures: MD5 of the folders of the user's own pictures, by path.
    """
    changes = git("diff", "HEAD", "--", *CODE) or ""
    params = {f"parameter {name}": value for name, value in flat_params().items() if name not in free}
    return {
        "commit": git("rev-parse", "HEAD"),
        f"uncommitted changes of {' and '.join(CODE)}": hashlib.sha256(changes.encode()).hexdigest()[:12]
        if changes
        else "none",
        **params,
        **pictures,
        "Python": platform.python_version(),
        **libraries(),
    }


def libraries() -> dict[str, str]:
    """The installed versions of the packages in requirements.txt, some of which only certain pictures need."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    names = re.findall(r"^([\w.-]+)==", text, re.MULTILINE)
    return {name: version(name) if any(Distribution.discover(name=name)) else "none" for name in names}


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """A line for each entry in which two agreements differ."""
    there, here = (dict(flattened(values)) for values in (there, here))
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    return [f"{name}: {there.get(name, 'none')} there, {here.get(name, 'none')} here" for name in names]
