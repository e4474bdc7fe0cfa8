"""Run a recipe, a named set of parameters, as an experiment of the same name.

Example: python tools/recipe.py cnn
         python tools/recipe.py cnn --name cnn-1 -S train.seed=1

All other arguments go to `dvc exp run`. The results are left in the workspace.
"""

import shlex
import subprocess
import sys

from foundation.command import ROOT, Parser, run_command
from foundation.repository import flattened, run_dvc, use_own_environment

import yaml

RECIPES = {path.stem: path for path in sorted((ROOT / "recipes").glob("*.yaml"))}


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("recipe", choices=RECIPES, metavar="RECIPE", help=", ".join(RECIPES))
    parser.add_argument("-n", "--name", help="name the experiment (default: the recipe's name)")
    parser.usage = "%(prog)s [-h] [-n NAME] RECIPE [ARGUMENT ...]"
    arguments, passed_on = parser.parse_known_args()
    name = arguments.name or arguments.recipe
    use_own_environment()
    listed = subprocess.run(["dvc", "exp", "list", "--name-only"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    if name in listed.split():
        sys.exit(
            f"error: --name: has to be new, got the existing experiment {name}; `dvc exp apply {name}` brings back its "
            f"results, `dvc exp remove {name}` deletes it, `--name` takes another name"
        )
    recipe = yaml.safe_load(RECIPES[arguments.recipe].read_text(encoding="utf-8"))
    changes = [
        part for key, value in flattened(recipe) for part in ("-S", f"{key}={yaml.safe_dump(value).splitlines()[0]}")
    ]
    command = ["dvc", "exp", "run", "--name", name, *changes, *passed_on]
    print(shlex.join(command), flush=True)
    sys.exit(run_dvc(command))


if __name__ == "__main__":
    run_command(main)
