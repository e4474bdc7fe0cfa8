"""A sweep of which several machines run the members."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from threading import Event

from experiments.origin import Origin
from experiments.revisions import experiments
from experiments.runs import read_run
from experiments.study.agreement import agreement
from experiments.study.remote import push
from experiments.study.study import MEMBER, SurplusError, key, living_trials, open_study, work
from experiments.sweep.members import Member, varied

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import Trial, TrialState


def shared_work(
    url: str,
    sweep: Sequence[Member],
    origin: Origin,
    run: Callable[[Member], float | None],
    remote: str | None,
    stop: Event,
) -> Callable[[], None]:
    """A function that runs members until all are finished here or elsewhere; several threads may call it.

    Args:
        url: of the database.
        sweep: all members.
        origin: what they are made from.
        run: runs a member and returns its validation accuracy, or None if it has none.
        remote: the Git remote to push experiments to, if any.
        stop: once it is set, no further member is begun.
    """
    by_name = {member.name: member for member in sweep}
    wanted = agreement(varied(sweep), origin.pictures) | {
        "settings": {member.name: " ".join(member.settings) for member in sweep}
    }
    name = f"sweep-{hashlib.sha256(' '.join(by_name).encode()).hexdigest()[:12]}"

    def objective(trial: Trial) -> float:
        if MEMBER not in trial.user_attrs:  # another process was faster to take the last one
            raise SurplusError
        member = by_name[trial.user_attrs[MEMBER]]
        # Also one that this process has run, if nothing was heard of it for too long.
        commit = experiments(origin.commit).get(member.name)
        value = read_run(commit).metrics.get("val_accuracy") if commit else run(member)
        if remote and member.name in experiments(origin.commit):  # one that diverged is no experiment
            push(member.name, remote)
        if value is None:
            raise optuna.TrialPruned
        return value

    def join() -> None:
        study = open_study(url, name, wanted)
        study.sampler = RandomSampler()
        work(study, len(sweep), objective, lambda study, _: enqueue_missing(study, by_name), wanted, stop.is_set)

    enqueue_missing(open_study(url, name, wanted), by_name)
    return join


def enqueue_missing(study: optuna.Study, names: Collection[str]) -> None:
    """Have the members run that are neither finished nor running nor waiting."""
    waiting = study.get_trials(deepcopy=False, states=[TrialState.WAITING])
    there = {key(trial) for trial in [*waiting, *living_trials(study)]}
    for name in names:
        if name not in there:
            study.enqueue_trial({}, user_attrs={MEMBER: name})
