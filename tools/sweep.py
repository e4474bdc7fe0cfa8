"""Run an experiment for every combination of values, and draw their errors.

Example: python tools/sweep.py -S train.lr=0.001,0.01,0.1 --jobs 2
         python tools/sweep.py -S 'train.seed=range(0,5)' -S train.lr=0.01,0.02
         python tools/sweep.py --x train.epochs --by train.model

Each combination becomes a DVC experiment, named after its values, such as
lr=0.01, with the results of `dvc exp run -S train.lr=0.01`; the workspace stays
as it is. The same command continues after an interruption; with --storage,
several machines share it. The picture shows the validation images alone.

Without -S, draws the last commit and those experiments (all, or those named)
that differ from it in nothing but --x, --by and train.seed.
"""

import argparse
import hashlib
from collections.abc import Mapping

from command import Parser, png_file, run_command
from digits.foundation.stage import UserError
from experiments.figures import draw_runs, is_number
from experiments.proposals import members, varied
from experiments.remote import check_remotes, pull
from experiments.revisions import experiments
from experiments.runs import SEED, gather
from experiments.snapshot import Snapshot, take_snapshot, used_pictures
from experiments.study import open_study
from experiments.task import Proposal, Task
from experiments.workers import Workers, add_options


def main() -> None:
    arguments = parse_arguments()
    sweep = members(arguments.settings, arguments.name) if arguments.settings else {}
    runs = gather(run_all(sweep, arguments) if sweep else arguments.revisions)
    names = [name for name in varied(sweep) if name != SEED]
    x = arguments.x or next((name for name in names if is_number(runs[0].params.get(name))), "train.lr")
    by = arguments.by or next((name for name in names if name != x), "train.optimizer")
    try:
        draw_runs(runs, x, by, arguments.picture)
    except UserError as problem:
        if not sweep:
            raise
        print(f"no picture: {str(problem).partition(';')[0]}")  # the advice is for those who have run none


def parse_arguments() -> argparse.Namespace:
    parser = Parser(__doc__)
    which = "draw these commits or experiments (default: HEAD and all)"
    parser.add_argument("revisions", nargs="*", metavar="REVISION", help=which)
    values = "run experiments with these values, written as for `dvc exp run --queue`"
    parser.add_argument("-S", action="append", default=[], dest="settings", metavar="NAME=VALUES", help=values)
    parser.add_argument("--name", default="", metavar="PREFIX", help="begin the names of the experiments with this")
    parser.add_argument("--x", metavar="PARAMETER", help="on the x axis (default: the first that varies, or train.lr)")
    curves = "draw a curve for each of its values (default: the next that varies, or train.optimizer)"
    parser.add_argument("--by", metavar="PARAMETER", help=curves)
    parser.add_argument(
        "--picture", type=png_file, default="sweep.png", metavar="FILE", help="draw here (default: %(default)s)"
    )
    add_options(parser, None)
    arguments = parser.parse_args()
    if arguments.settings and arguments.revisions:
        parser.error("REVISION: must be left out with -S")
    if arguments.push and not arguments.storage:
        parser.error("--push: needs --storage, by which the machines know of each other")
    return arguments


def run_all(sweep: Mapping[str, Proposal], arguments: argparse.Namespace) -> list[str]:
    """Run the members that have not finished; return the commits of those that have by then."""
    if arguments.push:
        check_remotes(arguments.push)
    start = take_snapshot(set().union(*(used_pictures(member.params) for member in sweep.values())))
    done = [name for name in sweep if name in experiments(start.commit)]
    print(f"{len(done)} of {len(sweep)} experiments are finished", flush=True)
    # Those first, which soon says if one is not of this sweep.
    run_members({name: sweep[name] for name in [*done, *sweep]}, start, arguments)
    if arguments.push:
        pull(list(sweep), arguments.push, "--no-cache")
    commits = experiments(start.commit)
    found = [commits[name] for name in sweep if name in commits]
    elsewhere = ", or other machines have them and did not --push" if arguments.storage else ""
    if len(found) < len(sweep):
        print(f"{len(sweep) - len(found)} of {len(sweep)} experiments are not here: their loss diverged{elsewhere}")
    if not found:
        raise UserError("-S: must have values with which the loss stays finite, got none here; lower train.lr")
    return found


def run_members(sweep: Mapping[str, Proposal], start: Snapshot, arguments: argparse.Namespace) -> None:
    """Run the members in this order, shared by a database if there is one."""
    settings = {name: " ".join(member.settings) for name, member in sweep.items()}
    wanted = start.agreement(varied(sweep)) | {"settings": settings}
    study_name = f"sweep-{hashlib.sha256(' '.join(sorted(sweep)).encode()).hexdigest()[:12]}"
    study, storage = open_study(arguments.storage, study_name, wanted)
    task = Task(start, lambda _, name: sweep[name], remote=arguments.push)
    Workers(study, storage, list(sweep), wanted, task, window=len(sweep)).run(arguments.jobs)


if __name__ == "__main__":
    run_command(main)
