"""Search for good parameters: Optuna proposes them, validation images judge.

Example: python tools/search.py --trials 20
         python tools/search.py --trials 40 --jobs 2 --picture search.png

Each trial is a DVC experiment (NAME-0, NAME-1, ...) that runs the stages up to
`train`, so test images choose nothing. A database keeps all trials: the same
command continues after an interruption, and several commands at the same time
share one search.
"""

import argparse
import math
import multiprocessing
import shlex
import sys
import time
from pathlib import Path

from experiments.launch.experiment import set_options, warm_start
from experiments.revisions import experiments
from experiments.search.space import Space, flat_params, read_space
from experiments.search.study import finished_trials, open_study
from experiments.search.trial import TrialError, objective, settings
from experiments.statistics import wilson_interval
from foundation.command import INTERRUPTED, ROOT, Parser, positive, run_command

import optuna
from optuna.trial import FrozenTrial, TrialState


def main() -> None:
    arguments = parse_arguments()
    space = read_space(arguments.space)
    study = open_study(arguments.storage, arguments.name, space)
    print(f"{arguments.name}: {len(finished_trials(study))} of {arguments.trials} trials done", flush=True)
    # Processes, since Ctrl-C ends them, while threads would live on.
    new_process = multiprocessing.get_context("spawn").Process
    others = [new_process(target=work, args=(arguments, space), daemon=True) for _ in range(arguments.jobs - 1)]
    try:
        with warm_start():
            for process in others:
                process.start()
            work(arguments, space)
            for process in others:
                process.join()
    except KeyboardInterrupt:
        print("error: search: interrupted; the same command continues it", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if arguments.picture and finished_trials(study):
        from experiments.search.figure import draw  # here, since Matplotlib loads slowly

        draw(finished_trials(study), space, arguments.name, arguments.picture)
    report_best(study, space)


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
    parser.add_argument(
        "--storage",
        default=f"sqlite:///{ROOT / 'search.db'}",
        metavar="URL",
        help="keep the trials in this database (default: the file search.db)",
    )
    parser.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="run this many trials at a time (default: %(default)s)"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the trials to this PNG file at the end")
    return parser.parse_args()


def work(arguments: argparse.Namespace, space: Space) -> None:
    """Run trials until the search has enough, together with the other processes that work on it."""
    try:
        study = open_study(arguments.storage, arguments.name, space)
        while (done := len(finished_trials(study))) < arguments.trials:
            running = study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
            if done + len(running) < arguments.trials:
                study.optimize(lambda trial: objective(trial, space), n_trials=1, callbacks=[report])
            else:  # wait for the others, and repeat the trial of one that dies
                time.sleep(1)
                optuna.storages.fail_stale_trials(study)
    except TrialError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        if multiprocessing.parent_process():
            sys.exit(INTERRUPTED)  # without a traceback; the main process says what to do
        raise


def report(study: optuna.Study, trial: FrozenTrial) -> None:
    """Print a line about a finished trial."""
    result = "loss diverged" if trial.value is None else f"val acc {trial.value:.4f}"
    seconds = trial.duration.total_seconds() if trial.duration else math.nan
    short = {name.rpartition(".")[2]: value for name, value in trial.params.items()}
    params = " ".join(
        f"{name}={format(value, '.3g' if isinstance(value, float) else '')}" for name, value in short.items()
    )
    print(f"{study.study_name}-{trial.number:<3}  {result:<14}  {params}  {seconds:.1f} s", flush=True)


def report_best(study: optuna.Study, space: Space) -> None:
    """Print the best trial, and the command that applies it and scores it on the test images."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if not complete:
        sys.exit(
            f"error: {study.study_name}: no trial has a value, got {len(finished_trials(study))} whose loss diverged; "
            "lower train.lr and take another --name"
        )
    best, name = study.best_trial, f"{study.study_name}-{study.best_trial.number}"
    images = int(flat_params()["preprocess.val_size"])
    low, high = wilson_interval(round(study.best_value * images), images)
    print(f"\nbest of {len(complete)}: {name}, validation accuracy {best.value:.4f}, with")
    for parameter, value in best.params.items():
        print(f"  {parameter}: {value}")
    print(f"95 % interval by images: {low:.4f} to {high:.4f}; the best of several trials is probably an overestimate.")
    # Not `&&`: where the pipeline has never run, DVC complains of missing outputs, which `dvc repro` makes.
    here = f"dvc exp apply {name}; dvc repro"
    elsewhere = shlex.join(["dvc", "exp", "run", "--name", name, *set_options(settings(space | best.params))])
    print(f"To apply it and score it on the test images:\n  {here if name in experiments() else elsewhere}")


if __name__ == "__main__":
    run_command(main)
