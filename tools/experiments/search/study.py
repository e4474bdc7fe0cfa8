"""The database of a search, which outlives its processes and is shared by them."""

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

HEARTBEAT = 5  # seconds; after four missed ones a trial counts as dead, and another process repeats it
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # heartbeats are


def open_study(url: str, name: str, space: Space) -> optuna.Study:
    """Open the search `name` in a database, or begin it there.

    Exits with an error if the database cannot be used, or if the search was begun with other settings.
    """
    patience = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    lock = ROOT / ".dvc/tmp/search.lock"
    lock.parent.mkdir(exist_ok=True)
    try:
        with FileLock(lock):  # or two processes would both create the tables
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
    """Exit unless its trials differ in searched parameters alone, and a new search finds its experiment names free."""
    others = {name: value for name, value in flat_params().items() if name not in space}
    settings = json.loads(json.dumps({"space": space, "others": others, "code": git("rev-parse", "HEAD:stages")}))
    before = study.user_attrs.get("settings")
    if before not in (None, settings):
        sys.exit(
            f"error: {study.study_name}: the search space, params.yaml or stages/ changed since its first trial; "
            "restore them to continue, or begin a search with another --name"
        )
    pattern = rf"{re.escape(study.study_name)}-\d+"
    if before is None and (taken := [name for name in experiments() if re.fullmatch(pattern, name)]):
        sys.exit(
            f"error: {study.study_name}: is not in this database, got experiments of that name; take another --name, "
            f"or `dvc exp remove {' '.join(taken)}`"
        )
    study.set_user_attr("settings", settings)


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have a value, or none because the loss diverged."""
    return study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED])
