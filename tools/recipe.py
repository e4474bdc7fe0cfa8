"""Run a recipe, a named set of parameters, as an experiment of the same name.

Example: python tools/recipe.py cnn
         python tools/recipe.py cnn --name cnn-1 -S train.seed=1

All other arguments go to `dvc exp run`. The results are left in the workspace.
At the end it says whether the model is, byte for byte, one of those that
recipes/results.csv was measured with.
"""

import csv
import hashlib
import json
import shlex
import subprocess
import sys
from typing import Any

from command import ROOT, Parser, run_command
from digits.foundation.yaml_text import flattened
from digits.models.portable_arithmetic import unsuitable_machine
from experiments.revisions import LOCK, WORKSPACE, read_files
from repository import WRONG_USAGE, read_mapping

RESULTS = ROOT / "recipes/results.csv"
MODEL = ROOT / "models/model.safetensors"
ELSEWHERE = {"--queue", "--temp"}  # options that leave the workspace as it is
RECIPES = {path.stem: path for path in sorted((ROOT / "recipes").glob("*.yaml"))}


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("recipe", choices=RECIPES, metavar="RECIPE", help=", ".join(RECIPES))
    parser.add_argument("-n", "--name", help="name the experiment (default: the recipe's name)")
    parser.usage = "%(prog)s [-h] [-n NAME] RECIPE [ARGUMENT ...]"
    arguments, passed_on = parser.parse_known_args()
    name = arguments.name or arguments.recipe
    recipe = dict(flattened(read_mapping(RECIPES[arguments.recipe], "`git checkout HEAD recipes` restores it")))
    if recipe.get("train.model", "logistic") != "logistic" and (machine := unsuitable_machine()):
        recipe["train.arithmetic"] = "native"  # the only one that is possible here
        print(f"note: the model will not be the published one, for which this machine is unsuitable: {machine}")
    settings = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in recipe.items()]
    command = ["dvc", "exp", "run", "--name", name, *(part for each in settings for part in ("-S", each)), *passed_on]
    print(shlex.join(command), flush=True)
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.wait()  # DVC gets Ctrl-C, too, and tidies up
            raise
    if status == 0 and not ELSEWHERE & set(passed_on):
        print(verdict(arguments.recipe, recipe), end="")
    sys.exit(2 if status == WRONG_USAGE else int(status != 0))


def verdict(name: str, recipe: dict[str, Any]) -> str:
    """Whether the model in the workspace is the one that the recipe was measured with; empty if that does not apply."""
    train = read_files([WORKSPACE], [LOCK])[WORKSPACE].stages.get("train")
    if not train or any(train.params.get(key) != value for key, value in recipe.items() if key.startswith("train.")):
        return ""  # its parameters are other ones, as the user chose
    rows = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    published = {row["seed"]: row["model_sha256"] for row in csv.DictReader(rows) if row["recipe"] == name}
    seed = str(train.params["train.seed"])
    if not any(published.values()) or not MODEL.exists():
        return ""
    if seed not in published:
        return f"No published model of {name} has seed {seed} (they have {', '.join(published)}).\n"
    if hashlib.sha256(MODEL.read_bytes()).hexdigest() == published[seed]:
        return f"The model is, byte for byte, the published one of {name} with seed {seed}.\n"
    reasons = "because its\ndata, code, libraries or arithmetic differ; see docs/what-is-reproducible.md."
    return f"The model is not the published one of {name} with seed {seed}, {reasons}\n"


if __name__ == "__main__":
    run_command(main)
