"""Where the trials of a search are kept, and how processes that share them agree who does what.

A journal file needs nothing but a folder that all processes see: kernel locks beside it, which vanish with
their process, tell running trials from lost ones. A database (any URL that SQLAlchemy takes) tells them by
heartbeats.
"""

from __future__ import annotations

import glob
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from ..errors import CrystalliteError, first_line
from ..extras import needed
from ..files.writing import output_path
from ..settings.config import GraphConfig, ModelConfig, TrainConfig
from ..settings.recipes import setting_values

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

HEARTBEAT, GRACE = 30, 120  # seconds between signs of life in a database, and after which a trial is lost
_SEARCH = "search"  # what a study searches: other searches may not add to it
_RECIPE = "recipe"  # the part of it that a study keeps, whatever the recipe is now


def open_study(name: str, storage: str, search: dict[str, Any], start: dict[str, Any], seed: int) -> Study:
    """Open the study `name`, or begin it with one trial of the default settings.

    storage: a journal file, or a database's URL. search: plain values that say what is searched. start: the
    default settings, if they lie inside the space. Raises CrystalliteError when the storage cannot be opened
    or the study searches something else.
    """
    import_optuna()
    where = _database(storage) if "://" in storage else _journal(Path(storage))
    options = {"storage": where, "sampler": _sampler(seed), "pruner": _pruner(search["epochs"])}
    with storing():
        return _begun(name, search, start, options)


def _begun(name: str, search: dict[str, Any], start: dict[str, Any], options: dict[str, Any]) -> Study:
    optuna = import_optuna()
    try:
        study: Study = optuna.create_study(study_name=name, **options)
        study.set_user_attr(_SEARCH, search)
        _enqueue(study, start)
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(study_name=name, **options)
        _check_same(study, search)
    return study


def recipe_of(study: Study) -> dict[str, Any]:
    """Return the recipe's values that the study began with; what was no setting then has its default."""
    before = setting_values((GraphConfig(), ModelConfig(), TrainConfig()))
    return {**before, **study.user_attrs[_SEARCH][_RECIPE]}


def import_optuna() -> Any:
    """Return the module; raises CrystalliteError that says how to install it."""
    return needed("optuna", "searching", "crystallite[tune]")


class Workplace:
    """The locks of one process: whose turn it is to start a trial, and which trial it is running.

    Kernel locks vanish with their process. Processes on machines that share only a database, not a folder,
    do not see each other's locks: they start trials without taking turns, and heartbeats tell lost trials.
    """

    def __init__(self, study: Study, storage: str, folder: Path) -> None:
        self.study, self.is_database = study, "://" in storage
        name = re.sub(r"\W", "_", study.study_name)
        self.stem = f"{folder / 'study' if self.is_database else Path(storage).resolve()}.{name}"
        self.turn = FileLock(f"{self.stem}.turn")
        self.alive: FileLock | None = None

    @contextmanager
    def one_trial(self) -> Iterator[None]:
        """Wait for the turn; hold it until `started`, and the trial's lock until the end of the block."""
        self.turn.acquire()
        try:
            yield
        finally:
            self.turn.release()
            if self.alive is not None:
                _remove(self.alive)
                self.alive = None

    def started(self, number: int) -> None:
        """Say that this process runs trial `number`; the next process may start one."""
        self.alive = self._lock(number)
        self.alive.acquire()
        self.turn.release()

    def fail_lost(self) -> None:
        """Mark as failed the trials whose process is gone, and remove the locks it left behind."""
        optuna = import_optuna()
        running = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        self._remove_old_locks({trial.number for trial in running})
        for trial in running:
            lock = self._lock(trial.number)
            if self.is_database and not Path(lock.lock_file).exists():
                continue
            with suppress(Timeout):
                lock.acquire(timeout=0)
                self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)
                _remove(lock)
        if self.is_database:
            optuna.storages.fail_stale_trials(self.study)

    def _remove_old_locks(self, running: set[int]) -> None:
        stem = Path(self.stem)
        for path in stem.parent.glob(f"{glob.escape(stem.name)}.trial-*"):
            if int(path.name.rpartition("-")[2]) not in running:
                with suppress(Timeout):
                    lock = FileLock(path)
                    lock.acquire(timeout=0)
                    _remove(lock)

    def _lock(self, number: int) -> FileLock:
        return FileLock(f"{self.stem}.trial-{number}")


def _remove(lock: FileLock) -> None:
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)


def restore_start(study: Study, start: dict[str, Any]) -> None:
    """Queue the trial of the default settings again if it was lost."""
    optuna = import_optuna()
    trials = study.get_trials(deepcopy=False)
    lost = [is_default(trial) and trial.state == optuna.trial.TrialState.FAIL for trial in trials]
    if any(lost) and sum(map(is_default, trials)) == sum(lost):
        _enqueue(study, start)


def is_default(trial: FrozenTrial | Trial) -> bool:
    """Whether a trial takes the default settings."""
    return bool(trial.user_attrs.get("default"))


def _enqueue(study: Study, start: dict[str, Any]) -> None:
    if start:
        study.enqueue_trial(start, user_attrs={"default": True})


def mark_diverged(trial: Trial, reason: str) -> float:
    """Say that a trial diverged, and return the error it counts with: the worst.

    So do the errors it had before, which the pruner would otherwise hold against other trials.
    """
    trial.set_user_attr("diverged", reason)
    trial.set_user_attr("best", {})
    storage, number = trial.study._storage, trial._trial_id
    for name in storage.get_trial_system_attrs(number):
        if name.startswith("completed_rung_"):  # Hyperband's notes
            storage.set_trial_system_attr(number, name, math.inf)
    return math.inf


def has_diverged(trial: FrozenTrial) -> bool:
    """Whether a finished trial diverged."""
    return "diverged" in trial.user_attrs


def _check_same(study: Study, search: dict[str, Any]) -> None:
    """Raise CrystalliteError if the study searches something else."""
    earlier = study.user_attrs.get(_SEARCH)
    if earlier is None:  # its first process is between two steps, or was stopped there
        time.sleep(1)
        earlier = study.user_attrs.get(_SEARCH)
    if earlier is None:
        study.set_user_attr(_SEARCH, search)
        return
    if _RECIPE not in earlier:
        raise CrystalliteError(
            f"study {study.study_name} was started by an earlier version, which did not note its default "
            "settings; start another with --study or --out"
        )
    different = sorted(name for name in search if name != _RECIPE and search[name] != earlier.get(name))
    if different:
        raise CrystalliteError(
            f"study {study.study_name} was started with other {', '.join(different)}; "
            "repeat its options, or start another with --study or --out"
        )


def _sampler(seed: int) -> BaseSampler:
    """Return the sampler chosen in docs/tuning.md; it draws by seed and number of the trial.

    So a resumed search does not repeat what it drew before, nor do two processes draw the same. Settings are
    sampled in groups, as a trial has only those that have an effect beside its others.
    """
    from optuna.samplers import TPESampler

    class Sampler(TPESampler):
        def before_trial(self, study: Study, trial: FrozenTrial) -> None:
            mixed = np.random.SeedSequence([seed, trial.number]).generate_state(1)
            TPESampler.__init__(self, seed=int(mixed[0]), multivariate=True, group=True)
            super().before_trial(study, trial)

    return Sampler()


def _pruner(epochs: int) -> BasePruner:
    """Return the pruner chosen in docs/tuning.md."""
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(min_resource=max(1, epochs // 4), max_resource=epochs)


@contextmanager
def storing() -> Iterator[None]:
    """Turn what a storage raises that is full, gone or out of reach into a CrystalliteError."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OSError, StorageInternalError, SQLAlchemyError) as error:
        reason = first_line(error)
        raise CrystalliteError(
            f"cannot store the trials: {reason}; when that is fixed, run the same command again"
        ) from error


def _journal(path: Path) -> BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    file = str(output_path(path).resolve())
    lock = JournalFileOpenLock(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(path, lock)
        return JournalStorage(JournalFileBackend(file, lock_obj=lock))
    except OSError as error:
        raise CrystalliteError(
            f"cannot use {path} for the trials: {error.strerror or error}; choose another --storage"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CrystalliteError(
            f"{path} is not a journal of trials, or damaged: {error}; choose another --storage"
        ) from error


def _cut_torn_line(path: Path, lock: Any) -> None:
    """Remove half a line that a full disk left at the end: nothing could be added after it."""
    if not path.exists():
        return
    lock.acquire()
    try:
        with path.open("rb+") as file:
            content = file.read()
            if content and not content.endswith(b"\n"):
                file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()


def _database(url: str) -> BaseStorage:
    from optuna.exceptions import StorageInternalError
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    scheme, _, address = url.partition("://")
    if scheme in ("postgres", "postgresql"):
        scheme = "postgresql+psycopg"
    shown = f"{scheme}://{address.rpartition('@')[2]}"  # without the password
    for patience in (1, 2, 0):
        try:
            return RDBStorage(f"{scheme}://{address}", heartbeat_interval=HEARTBEAT, grace_period=GRACE)
        except ImportError as error:
            raise CrystalliteError(
                f"no driver for {shown}: {error}; for PostgreSQL: pip install 'crystallite[tune]'"
            ) from error
        except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
            if not patience:  # processes that start together disturb each other while the tables are made
                reason = str(error).splitlines()[0]
                raise CrystalliteError(f"cannot open {shown}: {reason}") from error
            time.sleep(patience)
    raise AssertionError("unreachable")
