"""Run a recipe, a named set of parameters, as an experiment of the same name.

Command: python tools/recipe.py NAME [arguments for `dvc exp run`]
"""

import shlex
import subprocess
import sys

from foundation.command import ROOT, Parser, run_command
from foundation.repository import flattened, use_own_environment

import yaml

RECIPES = {path.stem: path for path in sorted((ROOT / "recipes").glob("*.yaml"))}


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("recipe", choices=RECIPES, metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("-n", "--name", help="of the experiment, if not the recipe's")
    arguments, more = parser.parse_known_args()
    name = arguments.name or arguments.recipe
    use_own_environment()
    listed = subprocess.run(["dvc", "exp", "list", "--name-only"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    if name in listed.split():
        sys.exit(
            f"error: experiment: there is one already, got {name}; `dvc exp apply {name}` brings its results back, "
            f"`dvc exp remove {name}` makes room, `-n` gives another name"
        )
    recipe = yaml.safe_load(RECIPES[arguments.recipe].read_text(encoding="utf-8"))
    changes = [
        part for name, value in flattened(recipe) for part in ("-S", f"{name}={yaml.safe_dump(value).splitlines()[0]}")
    ]
    command = ["dvc", "exp", "run", "--name", name, *changes, *more]
    print(shlex.join(command), flush=True)
    sys.exit(subprocess.run(command, cwd=ROOT).returncode)


if __name__ == "__main__":
    run_command(main)
