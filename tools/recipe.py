"""Run a recipe, a named set of parameters, as an experiment of the same name.

Command: python tools/recipe.py NAME [arguments for `dvc exp run`]
"""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import yaml
except ImportError:
    sys.exit("error: python: PyYAML is not installed; `source .venv/bin/activate` first, or `make NAME`")

ROOT = Path(__file__).resolve().parents[1]
RECIPES = {path.stem: path for path in sorted((ROOT / "recipes").glob("*.yaml"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=RECIPES, metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("-n", "--name", help="of the experiment, if not the recipe's")
    arguments, more = parser.parse_known_args()
    name = arguments.name or arguments.recipe
    # DVC runs the stages with the Python that it finds first: this one.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    listed = subprocess.run(["dvc", "exp", "list", "--name-only"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    if name in listed.split():
        sys.exit(
            f"error: experiment: there is one already, got {name}; `dvc exp apply {name}` brings its results back, "
            f"`dvc exp remove {name}` makes room, `-n` gives another name"
        )
    recipe = yaml.safe_load(RECIPES[arguments.recipe].read_text(encoding="utf-8"))
    changes = [part for change in settings(recipe) for part in ("-S", change)]
    command = ["dvc", "exp", "run", "--name", name, *changes, *more]
    print(shlex.join(command), flush=True)
    sys.exit(subprocess.run(command, cwd=ROOT).returncode)


def settings(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """What `-S` takes: a setting with a dotted name for every value of nested mappings."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={yaml.safe_dump(value).splitlines()[0]}"


if __name__ == "__main__":
    main()
