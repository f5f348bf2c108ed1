"""`crystallite.tune`: search for the settings with the smallest validation error.

Every trial trains on the same split, chosen by the seed; what the test set holds is blanked before the first
step. Graphs are built once for each graph setting and memory-mapped by all trials.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..datasets.dataset import Dataset
from ..errors import CrystalliteError, DivergedError
from ..materials.splits import Split
from ..network.targets import parse_target
from ..runs.folder import RunConfig
from ..settings.config import Task
from ..sources.resolver import read_dataset
from ..training.learner import Learner
from ..training.preparation import prepare
from ..training.run_settings import complete_settings, run_config, run_name
from ..training.train import stop_requests
from . import results as tuning_results
from .results import TuneResult
from .space import SearchSpace, recipe_values
from .study import (
    Workplace,
    import_optuna,
    is_default,
    mark_diverged,
    open_study,
    recipe_of,
    restore_start,
    storing,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

_NO_VALIDATION = "the validation set is too small to compare networks: choose another --split"
POLL = 1.0  # seconds between looks at the trials of other processes


class SearchInterruptedError(CrystalliteError):
    """Ctrl-C or SIGTERM stopped a search; its finished trials are kept."""


def tune(
    data: Dataset | str | Path,
    target: str | Sequence[str],
    *,
    trials: int = 50,
    epochs: int | None = None,
    space: SearchSpace | str | Path | None = None,
    storage: str = "",
    study: str = "",
    out: str | Path | None = None,
    seed: int = 0,
    task: Task = "regression",
    split: str = "80/10/10",
    split_column: str = "",
    workers: int = 1,
    device: str = "cpu",
    say: Callable[[str], None] = lambda text: None,
) -> TuneResult:
    """Search for the settings with the smallest validation error; the test set is never seen.

    Args:
        data: as for `crystallite.train`.
        target: a property or several, as for `crystallite.train`.
        trials: how many finish in total, in this process and others with the same storage.
        epochs: number of epochs of each trial; by default the recipe's.
        space: a SearchSpace, or a TOML file of one; by default that of `crystallite tune --print-space`.
        storage: a journal file (by default study.journal in the folder) or a database's URL such as
            postgresql://USER@HOST/NAME.
        study: its name in the storage.
        out: the folder of the results; by default one in runs/, named after data and target.
        seed: of split, training runs and search.
        task: `regression` or `classification`.
        split: training, validation and test set as percentages, fractions or numbers of crystals.
        split_column: a column that says train, validation or test, instead of `split`.
        workers: number of threads that build graphs.
        device: of the networks, such as `cpu` or `cuda`.
        say: called with each line of progress.

    Returns:
        The best trial: its settings and its validation error beside that of the default settings. The folder
        holds best.toml, trials.csv, history.png and importance.png.

    Raises:
        CrystalliteError: if an option is invalid, or no trial was completed.
        SearchInterruptedError: on Ctrl-C or SIGTERM, after writing the results so far.
    """
    import_optuna()
    dataset = data if isinstance(data, Dataset) else read_dataset(data)
    chosen = _space(space, task)
    chosen.check(task)
    settings: dict[str, Any] = {"seed": seed, "split": split, "split_column": split_column}
    recipe = recipe_values(task)
    settings |= chosen.settings({}, recipe)
    if epochs is not None:
        settings["epochs"] = epochs
    base = run_config(data, dataset, target, task=task, **settings)
    name = run_name(dataset, base)
    folder = Path(out) if out else Path("runs") / f"tune-{name}"
    search = Search(dataset, base, chosen, recipe, {"workers": workers, "device": device}, say)
    search.check()
    with _quiet_optuna():
        where = storage or str(folder / "study.journal")
        opened = open_study(study or name, where, search.identity(), chosen.start(recipe), seed)
        search.recipe = recipe_of(opened)
        return search.run(opened, Workplace(opened, where, folder), trials, folder)


class Search:
    """What is searched on which data; `run` adds trials to a study.

    recipe: values of all settings, for those that the space does not vary. Those of the study count: a later
    release may have another recipe.
    """

    def __init__(
        self,
        dataset: Dataset,
        base: RunConfig,
        space: SearchSpace,
        recipe: dict[str, Any],
        options: dict[str, Any],
        say: Callable[[str], None],
    ) -> None:
        self.dataset, self.base, self.space, self.recipe = dataset, base, space, recipe
        self.options, self.say = options, say
        self.split: Split | None = None  # of all trials, once it is drawn
        unit = dataset.units.get(parse_target(base.data.targets[0])[0], "")
        self.measure = tuning_results.measure_of(base, unit)

    def check(self) -> None:
        """Raise CrystalliteError for what no trial could be trained with, before there is a study."""
        self.split = prepare(self.dataset, self.base, **self.options).split
        if not len(self.split.validation):
            raise CrystalliteError(_NO_VALIDATION)

    def identity(self) -> dict[str, Any]:
        """Return what is searched; all but the recipe must be equal in all processes and after a restart."""
        data = self.base.data.to_dict()
        data["targets"] = list(data["targets"])
        kept = {name: data[name] for name in ("fingerprint", "targets", "task", "split", "split_column")}
        training = {"epochs": self.base.training.epochs, "seed": self.base.training.seed}
        return {**kept, **training, "space": self.space.to_dict(), "recipe": self.recipe}

    def run(self, study: Study, place: Workplace, trials: int, folder: Path) -> TuneResult:
        """Add trials until `trials` have finished; write the results, also when stopped early."""
        outside = self.space.outside(self.recipe)
        if outside:
            listed = ", ".join(f"{name} = {value}" for name, value in outside.items())
            self.say(f"no trial takes the default settings: {listed} lies outside the space")
        with stop_requests() as stop:
            with storing(), suppress(SearchInterruptedError):
                self._search(study, place, trials, stop)
            place.fail_lost()
            n_finished = len(tuning_results.finished(study))
            result = tuning_results.write(study, self.config, self.measure, self.space.fixed, folder)
            if result is None and not stop.is_set():
                raise CrystalliteError(
                    f"none of {n_finished} trials was completed: lower the learning rates in --space"
                )
            if result is None or stop.is_set():
                raise SearchInterruptedError(
                    f"stopped with {n_finished} of {trials} trials finished, which are kept"
                    f"{f' (results in {folder})' if result else ''}; run the same command again to resume"
                )
        return result

    def config(self, trial: Trial | FrozenTrial) -> RunConfig:
        """Return a trial's complete settings: its own and the fixed ones, else those of the recipe."""
        data, training, task = self.base.data, self.base.training, self.base.model.task
        settings = self.space.settings(trial.params, self.recipe)
        settings |= {"epochs": training.epochs, "seed": training.seed}
        return RunConfig(data, *complete_settings("modern", task, len(data.targets), settings, self.recipe))

    def _search(self, study: Study, place: Workplace, trials: int, stop: threading.Event) -> None:
        optuna = import_optuna()
        waits = False
        while not stop.is_set():
            with place.one_trial():
                place.fail_lost()
                restore_start(study, self.space.start(self.recipe))
                if len(tuning_results.finished(study)) >= trials:
                    return
                if len(tuning_results.finished(study)) + len(tuning_results.running(study)) < trials:
                    # A trial that others took for lost, as after a sleeping laptop, is theirs to fail.
                    with suppress(optuna.exceptions.UpdateFinishedTrialError):
                        study.optimize(
                            lambda trial: self._objective(trial, place, stop),
                            n_trials=1,
                            callbacks=[self._tell],
                        )
                    waits = False
                    continue
            if not waits:
                self.say("waiting for the last trials of other processes")
            waits = True
            stop.wait(POLL)

    def _tell(self, study: Study, trial: FrozenTrial) -> None:
        self.say(tuning_results.line(study, trial))

    def _objective(self, trial: Trial, place: Workplace, stop: threading.Event) -> float:
        """Train one network; the validation error of the one that is kept."""
        place.started(trial.number)
        self.space.sample(trial, self.recipe)
        config = self.config(trial)
        started = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            trainer = prepare(self.dataset, config, split=self.split, **self.options)
            blank_test(trainer)
            try:
                with _noted(trial, trainer, started):
                    return self._train(trial, trainer, stop)
            except DivergedError as diverged:
                return mark_diverged(trial, str(diverged))

    def _train(self, trial: Trial, trainer: Learner, stop: threading.Event) -> float:
        optuna = import_optuna()

        def after_step(loss: float) -> None:
            if stop.is_set():
                raise SearchInterruptedError("stopped")

        while not trainer.finished:
            error = trainer.run_epoch(after_step)["validation_error"]
            if error is None:
                raise CrystalliteError(_NO_VALIDATION)
            trial.report(error, trainer.epoch)
            if trial.should_prune() and not is_default(trial):
                raise optuna.TrialPruned
        assert trainer.best is not None
        return float(trainer.best["validation_error"])


@contextmanager
def _noted(trial: Trial, trainer: Learner, started: float) -> Iterator[None]:
    """Store a trial's time, epochs and best epoch with it, however its training run ends."""
    try:
        yield
    finally:
        trial.set_user_attr("seconds", round(time.perf_counter() - started, 2))
        trial.set_user_attr("epochs", trainer.epoch)
        trial.set_user_attr("best", trainer.best or {})


def _space(space: SearchSpace | str | Path | None, task: Task) -> SearchSpace:
    if isinstance(space, SearchSpace):
        return space
    return SearchSpace.read(space) if space else SearchSpace.default(task)


def blank_test(trainer: Learner) -> None:
    """Make the test values unknown to a trainer: nothing can be chosen by them."""
    rows = trainer.split.test
    trainer.values[rows] = np.nan
    trainer.normalized[torch.from_numpy(rows)] = torch.nan


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Leave the progress to `say`."""
    optuna = import_optuna()
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            yield
    finally:
        optuna.logging.set_verbosity(before)
