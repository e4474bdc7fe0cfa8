"""Search for good parameters: Optuna proposes them, validation images judge.

Example: python tools/search.py --trials 20
         python tools/search.py --trials 40 --jobs 2 --picture search.png

Each trial is a DVC experiment (NAME-0, NAME-1, ...) that runs the stages up to
`train`, so test images choose nothing. A database keeps all trials: the same
command continues after an interruption, and several commands at the same time,
on one machine or many, share one search.
"""

import argparse
import math
import multiprocessing
import re
import shlex
import sys
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from experiments.launch.experiment import set_options, warm_start
from experiments.origin import Origin, origin
from experiments.pictures import md5_of_pictures, used_pictures
from experiments.revisions import experiments
from experiments.search.space import Space, read_space
from experiments.search.trial import objective, settings
from experiments.statistics import wilson_interval
from experiments.study.agreement import agreement
from experiments.study.remote import check_remotes, pull
from experiments.study.study import TrialError, add_options, finished_trials, open_study, work
from foundation.command import INTERRUPTED, ROOT, Parser, png_file, positive, run_command
from foundation.repository import flat_params

import optuna
from optuna.pruners import MedianPruner
from optuna.trial import FrozenTrial, TrialState

UNPRUNED = 5  # trials that are finished before any is pruned


def main() -> None:
    arguments = parse_arguments()
    space = read_space(arguments.space)
    if arguments.push:
        check_remotes(arguments.push)
    params = flat_params()
    pictures = md5_of_pictures(used_pictures(params))
    wanted = agreement(space, pictures) | {"space": space}
    study = open_study(arguments.storage, arguments.name, wanted)
    refuse_taken_names(study)
    start = origin(pictures)
    print(f"{arguments.name}: {len(finished_trials(study))} of {arguments.trials} trials done", flush=True)
    # Processes, since Ctrl-C ends them, while threads would live on.
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    work_here = partial(run_trials, arguments, space, wanted, start, params, stop)
    others = [spawn.Process(target=work_here, daemon=True) for _ in range(arguments.jobs - 1)]
    try:
        with warm_start():
            for process in others:
                process.start()
            try:
                work_here()
            except BaseException:
                stop.set()
                raise
            finally:  # also after an error, or what they run would be killed
                for process in others:
                    process.join()
    except KeyboardInterrupt:
        print("error: search: interrupted; the same command continues it", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if any(process.exitcode == 1 for process in others):
        sys.exit(1)  # it has said why
    report_best(study, space, params, arguments.push)
    if arguments.picture:
        from experiments.search.figure import draw  # here, since Matplotlib loads slowly

        draw(finished_trials(study), space, arguments.name, arguments.picture)


def parse_arguments() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument(
        "--trials",
        type=positive,
        required=True,
        metavar="N",
        help="stop once the search has this many trials, earlier ones included",
    )
    parser.add_argument("--name", default="search", help="name the search (default: %(default)s)")
    parser.add_argument(
        "--space",
        type=Path,
        default=ROOT / "search.yaml",
        metavar="FILE",
        help="try the parameters of this file (default: search.yaml)",
    )
    add_options(parser, f"sqlite:///{ROOT / 'search.db'}")
    parser.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="run this many trials at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--prune",
        type=positive,
        metavar="EPOCHS",
        help="end a training that, from this epoch on, is worse than the median of the earlier ones was",
    )
    parser.add_argument("--picture", type=png_file, metavar="FILE", help="draw the trials to this PNG file at the end")
    return parser.parse_args()


def refuse_taken_names(study: optuna.Study) -> None:
    """Exit if there are experiments that have the names of trials that are still to come."""
    pattern, begun = rf"{re.escape(study.study_name)}-(\d+)", len(study.get_trials(deepcopy=False))
    matches = (re.fullmatch(pattern, name) for name in experiments())
    taken = [match[0] for match in matches if match and int(match[1]) >= begun]
    if taken:
        sys.exit(
            f"error: {study.study_name}: is not in this database, got experiments of that name; take another --name, "
            f"or `dvc exp remove {' '.join(taken)}`"
        )


def run_trials(
    arguments: argparse.Namespace,
    space: Space,
    wanted: dict[str, Any],
    origin: Origin,
    params: dict[str, Any],
    stop: Event,
) -> None:
    """Run trials until the search has enough, together with the other processes that work on it.

    Args:
        wanted: what `open_study` asks for.
        origin: what the experiments are made from.
        params: all parameters, by dotted name, as they are without the search.
        stop: set if this process fails; once it is set, no further trial is begun.
    """
    try:
        study = open_study(arguments.storage, arguments.name, wanted)
        if arguments.prune:
            study.pruner = MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=arguments.prune)
        prune = arguments.prune is not None
        run = partial(objective, space=space, prune=prune, remote=arguments.push, origin=origin, params=params)
        work(study, arguments.trials, run, report, wanted, stop.is_set)
    except TrialError as error:
        stop.set()
        sys.exit(str(error))
    except KeyboardInterrupt:
        if multiprocessing.parent_process():
            sys.exit(INTERRUPTED)  # without a traceback; the main process says what to do
        raise


def report(study: optuna.Study, trial: FrozenTrial) -> None:
    """Print a line about a finished trial."""
    if trial.state == TrialState.FAIL:
        return
    result = "loss diverged" if trial.value is None else f"val acc {trial.value:.4f}"
    if trial.state == TrialState.PRUNED and trial.value is not None:
        result += f" in epoch {trial.last_step}, pruned"
    seconds = trial.duration.total_seconds() if trial.duration else math.nan
    short = {name.rpartition(".")[2]: value for name, value in trial.params.items()}
    params = " ".join(
        f"{name}={format(value, '.3g' if isinstance(value, float) else '')}" for name, value in short.items()
    )
    print(f"{study.study_name}-{trial.number:<3}  {result:<14}  {params}  {seconds:.1f} s", flush=True)


def report_best(study: optuna.Study, space: Space, params: dict[str, Any], remote: str | None) -> None:
    """Print the best trial, and the command that applies it and scores it on the test images."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if not complete:
        sys.exit(
            f"error: {study.study_name}: no trial has a value, got {len(finished_trials(study))} whose loss diverged; "
            "lower train.lr and take another --name"
        )
    best, name = study.best_trial, f"{study.study_name}-{study.best_trial.number}"
    if remote:
        pull([name], remote)
    images = int(params["preprocess.val_size"])
    low, high = wilson_interval(round(study.best_value * images), images)
    print(f"\nbest of {len(complete)}: {name}, validation accuracy {best.value:.4f}, with")
    for parameter, value in best.params.items():
        print(f"  {parameter}: {value}")
    print(f"95 % interval by images: {low:.4f} to {high:.4f}")
    print("The accuracy of the best of several trials is probably an overestimate.")
    # Not `&&`: where the pipeline has never run, DVC complains of missing outputs, which `dvc repro` makes.
    here = f"dvc exp apply {name}; dvc repro"
    elsewhere = shlex.join(["dvc", "exp", "run", "--name", name, *set_options(settings(space | best.params))])
    print(f"To apply it and score it on the test images:\n  {here if name in experiments() else elsewhere}")


if __name__ == "__main__":
    run_command(main)
