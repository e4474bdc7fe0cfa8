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
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from threading import Event

from experiments.launch.experiment import DIVERGED, run_experiment, warm_start
from experiments.origin import Origin, origin
from experiments.pictures import md5_of_pictures, used_pictures
from experiments.revisions import experiments
from experiments.runs import SEED, gather
from experiments.search.space import is_number
from experiments.study.remote import check_remotes, pull
from experiments.study.study import TrialError, add_options
from experiments.sweep.figure import draw
from experiments.sweep.members import Member, finished, members, varied
from experiments.sweep.shared import shared_work
from foundation.command import INTERRUPTED, Parser, png_file, positive, run_command


def main() -> None:
    arguments = parse_arguments()
    sweep = members(arguments.settings, arguments.name) if arguments.settings else []
    runs = gather(run_all(sweep, arguments) if sweep else arguments.revisions)
    names = [name for name in varied(sweep) if name != SEED]
    numbers = [name for name in names if is_number(runs[0].params.get(name))]
    if sweep and not numbers and not arguments.x:
        print("no picture: its x axis needs a number that varies, other than the seed")
        return
    x = arguments.x or next(iter(numbers), "train.lr")
    by = arguments.by or next((name for name in names if name != x), "train.optimizer")
    problem = draw(runs, x, by, arguments.picture)
    if problem and sweep:
        print(f"no picture: {problem.partition(';')[0]}")  # the advice is for those who have run none
    elif problem:
        sys.exit(f"error: {problem}")


def parse_arguments() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument(
        "revisions",
        nargs="*",
        metavar="REVISION",
        help="draw these commits or experiments (default: HEAD and all experiments)",
    )
    parser.add_argument(
        "-S",
        action="append",
        default=[],
        dest="settings",
        metavar="NAME=VALUES",
        help="run experiments with these values, written as for `dvc exp run --queue`",
    )
    parser.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="run this many at a time (default: %(default)s)"
    )
    parser.add_argument("--name", default="", metavar="PREFIX", help="begin the names of the experiments with this")
    parser.add_argument(
        "--x", metavar="PARAMETER", help="put this number on the x axis (default: the first that varies, or train.lr)"
    )
    parser.add_argument(
        "--by",
        metavar="PARAMETER",
        help="draw a curve for each value of this one (default: the next that varies, or train.optimizer)",
    )
    parser.add_argument(
        "--picture",
        type=png_file,
        default=Path("sweep.png"),
        metavar="FILE",
        help="draw to this PNG file (default: %(default)s)",
    )
    add_options(parser, None)
    arguments = parser.parse_args()
    if arguments.settings and arguments.revisions:
        parser.error("REVISION: has to be left out with -S")
    if arguments.push and not arguments.storage:
        parser.error("--push: needs --storage, by which the machines know of each other")
    return arguments


def run_all(sweep: Sequence[Member], arguments: argparse.Namespace) -> list[str]:
    """Run the members that have not finished, some at a time; return the commits of those that have by then."""
    start = origin(md5_of_pictures(set().union(*(used_pictures(member.params) for member in sweep))))
    done = finished(sweep, start)
    print(f"{len(done)} of {len(sweep)} experiments are finished", flush=True)
    left = [member for member in sweep if member.name not in done]
    try:
        if arguments.storage:
            run_shared(sweep, start, arguments)
        elif left:
            run_at_once(arguments.jobs, [partial(run_member, start, member) for member in left], Event())
    except KeyboardInterrupt:
        print("error: sweep: interrupted; the same command continues it", file=sys.stderr)
        sys.exit(INTERRUPTED)
    commits = experiments(start.commit)
    found = [commits[member.name] for member in sweep if member.name in commits]
    if not found and arguments.storage:
        sys.exit(
            "error: sweep: other machines have run it, and none of its experiments is here; use --push on all of them"
        )
    if not found:
        sys.exit("error: -S: has to have values with which the loss stays finite, got none; lower train.lr")
    if arguments.storage and len(found) < len(sweep):
        missing = f"{len(sweep) - len(found)} of {len(sweep)} experiments are not here"
        print(f"{missing}: their loss diverged, or other machines have them and did not --push")
    return found


def run_at_once(jobs: int, tasks: Sequence[Callable[[], object]], stop: Event) -> None:
    """Run tasks, `jobs` at a time; exits with an error once one fails, after setting `stop` for the others."""

    def run(task: Callable[[], object]) -> None:
        if stop.is_set():
            return
        try:
            task()
        except BaseException:
            stop.set()  # here, since this thread would begin the next task before another one could stop it
            raise

    with warm_start(), ThreadPoolExecutor(jobs) as executor:
        running = [executor.submit(run, task) for task in tasks]
        try:
            for future in as_completed(running):
                future.result()
        except BaseException as error:
            stop.set()
            executor.shutdown(cancel_futures=True)  # and wait for those that run; they get Ctrl-C, too
            if isinstance(error, TrialError):
                sys.exit(str(error))
            raise


def run_member(origin: Origin, member: Member) -> float | None:
    """Run a member and print a line about it; return its validation accuracy, or None if it diverged or has none.

    Raises:
        TrialError: it failed without diverging, or was made from something else than `origin`.
    """
    begin = time.perf_counter()
    failure = run_experiment(member.name, member.settings)
    if failure and DIVERGED not in failure:
        raise TrialError(
            f"{failure}\nerror: {member.name}: the experiment failed, got the output above; without the cause, the "
            "same command continues"
        )
    metrics = {} if failure else origin.read(member.name, member.params).metrics
    val_accuracy = metrics.get("val_accuracy")
    result = "loss diverged" if failure else "finished" if val_accuracy is None else f"val acc {val_accuracy:.4f}"
    print(f"{member.name:30}  {result:14}  {time.perf_counter() - begin:.1f} s", flush=True)
    return val_accuracy


def run_shared(sweep: Sequence[Member], origin: Origin, arguments: argparse.Namespace) -> None:
    """Run the members that no other machine runs, `jobs` at a time, and wait until all are finished."""
    if arguments.push:
        check_remotes(arguments.push)
    stop = Event()
    run = partial(run_member, origin)
    work = shared_work(arguments.storage, sweep, origin, run, arguments.push, stop)
    run_at_once(arguments.jobs, [work] * arguments.jobs, stop)
    if arguments.push:
        pull([member.name for member in sweep], arguments.push, "--no-cache")


if __name__ == "__main__":
    run_command(main)
