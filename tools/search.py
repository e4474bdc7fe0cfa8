"""Search for parameters: Optuna proposes them, a DVC experiment trains with each, the validation images judge.

The test images choose nothing: only the stages up to `train` run. All that is known lies in a database, so the same
command goes on after an interruption, and several at the same time work at the same search.
Command: python tools/search.py --trials 20 [--name NAME] [--space FILE] [--storage URL] [--jobs N] [--picture FILE]
"""

import argparse
import math
import multiprocessing
import shlex
import sys
import time
from pathlib import Path

from experiments.revisions import experiments
from experiments.search.space import Space, flat_params, read_space
from experiments.search.study import judged, open_study
from experiments.search.trial import TrialError, changes, objective
from experiments.statistics import wilson_interval
from foundation.command import ROOT, Parser, run_command
from foundation.repository import use_own_environment

import optuna
from optuna.trial import FrozenTrial, TrialState


def main() -> None:
    arguments = parse_arguments()
    use_own_environment()
    space = read_space(arguments.space)
    study = open_study(arguments.storage, arguments.name, space)
    print(f"{arguments.name}: {len(judged(study))} of {arguments.trials} trials are there", flush=True)
    # Processes, since Ctrl-C ends them where threads would live on.
    new = multiprocessing.get_context("spawn").Process
    others = [new(target=work, args=(arguments, space), daemon=True) for _ in range(arguments.jobs - 1)]
    for process in others:
        process.start()
    work(arguments, space)
    for process in others:
        process.join()
    if arguments.picture and judged(study):
        from experiments.search.figure import draw  # Matplotlib takes its time

        draw(judged(study), space, arguments.name, arguments.picture)
    report_best(study, space)


def parse_arguments() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument(
        "--trials",
        type=positive,
        required=True,
        help="that the search has at the end, in all, or a few more where several commands run",
    )
    parser.add_argument("--name", default="search", help="of the search; its experiments are NAME-0, NAME-1, ...")
    parser.add_argument("--space", type=Path, default=ROOT / "search.yaml", help="what to try, if not search.yaml")
    parser.add_argument("--storage", default=f"sqlite:///{ROOT / 'search.db'}", help="database, if not search.db")
    parser.add_argument("--jobs", type=positive, default=1, help="trials at the same time")
    parser.add_argument("--picture", type=Path, help="PNG that is drawn at the end")
    return parser.parse_args()


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"has to be a whole number above 0, got {text}")
    return int(text)


def work(arguments: argparse.Namespace, space: Space) -> None:
    """Run trials until the search has enough, together with all others that are at it."""
    try:
        study = open_study(arguments.storage, arguments.name, space)
        while (done := len(judged(study))) < arguments.trials:
            running = study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
            if done + len(running) < arguments.trials:
                study.optimize(lambda trial: objective(trial, space), n_trials=1, callbacks=[report])
            else:  # wait for the others, and repeat the trial of one who dies
                time.sleep(1)
                optuna.storages.fail_stale_trials(study)
    except TrialError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; the same command goes on")


def report(study: optuna.Study, trial: FrozenTrial) -> None:
    """One line about a trial."""
    result = "loss diverged" if trial.value is None else f"val acc {trial.value:.4f}"
    seconds = trial.duration.total_seconds() if trial.duration else math.nan
    short = {name.rpartition(".")[2]: value for name, value in trial.params.items()}
    params = " ".join(
        f"{name}={format(value, '.3g' if isinstance(value, float) else '')}" for name, value in short.items()
    )
    print(f"{study.study_name}-{trial.number:<3}  {result:<14}  {params}  {seconds:.1f} s", flush=True)


def report_best(study: optuna.Study, space: Space) -> None:
    """The best trial, and the command that brings it into the workspace and scores the test images."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if not complete:
        sys.exit(
            f"error: {study.study_name}: no trial has a value, got {len(judged(study))} whose loss diverged; "
            "lower train.lr, with another --name"
        )
    best, name = study.best_trial, f"{study.study_name}-{study.best_trial.number}"
    images = int(flat_params()["preprocess.val_size"])
    low, high = wilson_interval(round(study.best_value * images), images)
    print(f"\nbest of {len(complete)}: {name}, validation accuracy {best.value:.4f}, with")
    for parameter, value in best.params.items():
        print(f"  {parameter}: {value}")
    print(f"The 95 % interval by images is {low:.4f} to {high:.4f}; the highest of several is likely too high.")
    # Not `&&`: where the pipeline has never run, DVC misses the other stages' outputs, and `dvc repro` makes them.
    here = f"dvc exp apply {name}; dvc repro"
    elsewhere = shlex.join(["dvc", "exp", "run", "--name", name, *changes(space | best.params)])
    print(f"To have it in the workspace, scored on the test images:\n  {here if name in experiments() else elsewhere}")


if __name__ == "__main__":
    run_command(main)
