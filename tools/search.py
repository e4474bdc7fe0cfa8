"""Search for good parameters: Optuna proposes them, validation images judge.

Example: python tools/search.py --trials 20
         python tools/search.py --trials 40 --jobs 2 --picture search.png

Each trial is a DVC experiment (NAME-0, NAME-1, ...) that runs the stages up to
`train`, so test images choose nothing. A database keeps all trials: the same
command continues after an interruption, and several commands at the same time,
on one machine or many, share one search. None of that changes what it finds.
"""

import argparse
import shlex
from operator import attrgetter
from pathlib import Path
from typing import Any

from command import ROOT, Parser, png_file, positive, run_command
from digits.foundation.stage import UserError
from digits.scoring import wilson_interval
from experiments.processes import set_options
from experiments.proposals import Sampler, Space, as_settings, read_space
from experiments.remote import check_remotes, pull
from experiments.revisions import experiments
from experiments.snapshot import take_snapshot, used_pictures
from experiments.study import MEMBER, finished_trials, open_study
from experiments.task import Task
from experiments.workers import Workers, add_options
from repository import flat_params

SPACE = ROOT / "search.yaml"
STAGES = "download", "preprocess", "train"  # those of a trial


def main() -> None:
    arguments = parse_arguments()
    space, params = read_space(arguments.space), flat_params()
    if arguments.push:
        check_remotes(arguments.push)
    start = take_snapshot(used_pictures(params))
    choices = {name: vars(arguments)[name] for name in ("seed", "window", "prune")}
    wanted = start.agreement(space) | {"space": space} | choices
    study, storage = open_study(arguments.storage, arguments.name, wanted)
    names = [f"{arguments.name}-{number}" for number in range(arguments.trials)]
    print(f"{arguments.name}: {len(finished_trials(study, names))} of {arguments.trials} trials done", flush=True)
    task = Task(start, Sampler(space, params, **choices).propose, STAGES, arguments.push)
    workers = Workers(study, storage, names, wanted, task, arguments.window)
    workers.run(arguments.jobs)
    report_best(workers, space, params)
    if arguments.picture:
        from experiments.figures import draw_trials  # here, since it loads slowly, and most searches do without

        draw_trials(study, arguments.picture)


def parse_arguments() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument(
        "--trials", type=positive, required=True, metavar="N", help="stop at N trials, earlier ones included"
    )
    parser.add_argument("--name", default="search", help="name the search (default: %(default)s)")
    parser.add_argument("--space", type=Path, default=SPACE, metavar="FILE", help="what to try (default: search.yaml)")
    add_options(parser, f"sqlite:///{ROOT / 'search.db'}")
    worse = "end a training that, from this epoch on, is worse than the median of the earlier ones was"
    parser.add_argument("--prune", type=positive, metavar="EPOCHS", help=worse)
    figures = "at the end, draw the trials by parameter to this file, NAME.png, and all together to NAME-parallel.png"
    parser.add_argument("--picture", type=png_file, metavar="FILE", help=figures)
    seed = "seed of the proposals; another one gives other trials (default: %(default)s)"
    parser.add_argument("--seed", type=positive, default=1, metavar="N", help=seed)
    known = "propose a trial from those N or more before it, so that N can run at a time (default: %(default)s)"
    parser.add_argument("--window", type=positive, default=4, metavar="N", help=known)
    arguments = parser.parse_args()
    if arguments.jobs > arguments.window:
        parser.error(f"--window: must be at least --jobs, got {arguments.window} with {arguments.jobs} jobs")
    return arguments


def report_best(workers: Workers, space: Space, params: dict[str, Any]) -> None:
    """Print the best trial, and the command that applies it and scores it on the test images."""
    finished = finished_trials(workers.study, workers.names)
    complete = [trial for trial in finished if trial.state.name == "COMPLETE"]
    if not complete:
        name = workers.study.study_name
        raise UserError(f"{name}: no trial has a value, since all diverged; lower train.lr and take another --name")
    best = max(complete, key=attrgetter("value"))  # the first of several; a database might take any
    name, accuracy = best.user_attrs[MEMBER], best.values[0]
    if workers.task.remote:
        pull([name], workers.task.remote)
    images = int(params["preprocess.val_size"])
    low, high = wilson_interval(round(accuracy * images), images)
    print(f"\nbest of {len(complete)}: {name}, validation accuracy {accuracy:.4f}, with")
    for parameter, value in best.params.items():
        print(f"  {parameter}: {value}")
    print(f"95 % interval by images: {low:.4f} to {high:.4f}")
    print("The accuracy of the best of several trials is probably an overestimate.")
    # Not `&&`: where the pipeline has never run, DVC complains of missing outputs, which `dvc repro` makes.
    here = f"dvc exp apply {name}; dvc repro"
    elsewhere = shlex.join(["dvc", "exp", "run", "--name", name, *set_options(as_settings(space | best.params))])
    print(f"To apply it and score it on the test images:\n  {here if name in experiments() else elsewhere}")


if __name__ == "__main__":
    run_command(main)
