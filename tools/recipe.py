"""Run a recipe, a named set of parameters, as an experiment of the same name.

Example: python tools/recipe.py cnn
         python tools/recipe.py cnn --name cnn-1 -S train.seed=1

All other arguments go to `dvc exp run`. The results are left in the workspace.
"""

import json
import shlex
import subprocess
import sys

from command import ROOT, Parser, run_command
from digits.foundation.yaml_text import flattened
from repository import WRONG_USAGE, read_mapping, use_own_environment

RECIPES = {path.stem: path for path in sorted((ROOT / "recipes").glob("*.yaml"))}


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("recipe", choices=RECIPES, metavar="RECIPE", help=", ".join(RECIPES))
    parser.add_argument("-n", "--name", help="name the experiment (default: the recipe's name)")
    parser.usage = "%(prog)s [-h] [-n NAME] RECIPE [ARGUMENT ...]"
    arguments, passed_on = parser.parse_known_args()
    name = arguments.name or arguments.recipe
    recipe = read_mapping(RECIPES[arguments.recipe], "`git checkout HEAD recipes` restores it")
    settings = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in flattened(recipe)]
    command = ["dvc", "exp", "run", "--name", name, *(part for each in settings for part in ("-S", each)), *passed_on]
    print(shlex.join(command), flush=True)
    use_own_environment()
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.wait()  # DVC gets Ctrl-C, too, and tidies up
            raise
    sys.exit(2 if status == WRONG_USAGE else int(status != 0))


if __name__ == "__main__":
    run_command(main)
