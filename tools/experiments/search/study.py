"""The database of a search, which outlives its processes and which several of them share."""

import json
import re
import sys
import warnings

from experiments.revisions import experiments
from experiments.search.space import Space, flat_params
from foundation.command import ROOT
from foundation.repository import git

import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

HEARTBEAT = 5  # seconds; after four without one, a trial's process is taken for dead, and another repeats the trial
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # heartbeats are


def open_study(url: str, name: str, space: Space) -> optuna.Study:
    """The search `name` in a database; it is made where there is none."""
    patience = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    lock = ROOT / ".dvc/tmp/search.lock"
    lock.parent.mkdir(exist_ok=True)
    try:
        with FileLock(lock):  # two at the same time would both make the tables
            storage = optuna.storages.RDBStorage(
                url,
                engine_kwargs=patience,
                heartbeat_interval=HEARTBEAT,
                grace_period=4 * HEARTBEAT,
                heartbeat_stale_trial_callback=lambda study, trial: study.enqueue_trial(trial.params),
            )
            study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
            check_settings(study, space)
    except (SQLAlchemyError, ImportError, optuna.exceptions.StorageInternalError) as error:
        sys.exit(f"error: --storage: has to be a database that can be used, got {str(error).splitlines()[0]}")
    return study


def check_settings(study: optuna.Study, space: Space) -> None:
    """Exit unless trials differ in nothing but what is searched, and the names of their experiments are free."""
    others = {name: value for name, value in flat_params().items() if name not in space}
    settings = json.loads(json.dumps({"space": space, "others": others, "code": git("rev-parse", "HEAD:stages")}))
    before = study.user_attrs.get("settings")
    if before not in (None, settings):
        sys.exit(
            f"error: {study.study_name}: its trials had another search space, params.yaml or stages, got changed ones; "
            "restore them to go on, or begin a search with another --name"
        )
    pattern = rf"{re.escape(study.study_name)}-\d+"
    if before is None and (taken := [name for name in experiments() if re.fullmatch(pattern, name)]):
        sys.exit(
            f"error: {study.study_name}: is new in this database, got experiments of that name; take another --name, "
            f"or `dvc exp remove {' '.join(taken)}`"
        )
    study.set_user_attr("settings", settings)


def judged(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: with a value, or with none since the loss diverged."""
    return study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED])
