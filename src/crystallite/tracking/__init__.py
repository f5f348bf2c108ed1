"""Experiment trackers: what a training run shows in TensorBoard, MLflow or ClearML beside its run folder.

A tracker is opened with every epoch that the run already has and makes up what it lacks, so that an
interrupted and resumed run shows each epoch once. Nothing that happens in a tracker reaches the training run:
one that fails, or does not answer, is reported once and dropped.
"""

from __future__ import annotations

import importlib
import json
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..computing import distributed
from ..errors import CrystalliteError
from ..evaluation.results import Result
from ..files.writing import read_json, write_json
from ..runs import folder as run_folder
from ..runs.folder import RunConfig

TRACKERS = ("tensorboard", "mlflow", "clearml")  # each is a module of this package and an extra
TRACKING = "tracking.json"  # in a run folder: {TRACKER: what the tracker calls the run, as a dictionary}
FILES = (
    run_folder.BEST,
    run_folder.CONFIG,
    run_folder.SUMMARY,
    run_folder.PREDICTIONS,
    run_folder.SPLIT,
)
PATIENCE = 60.0  # seconds, the time limit of each call to a tracker

Numbers = dict[str, float]


class Tracker(Protocol):
    """One run in one tracker. Every method may raise; the tracker is then dropped.

    identity: what finds the run again, as JSON; given to the constructor when the run is resumed.
    """

    identity: dict[str, str]

    def __init__(self, folder: Path, name: str, identity: dict[str, str]) -> None:
        """Open the run that `identity` says, or a new one if it is empty. folder: the run folder."""

    def start(self, settings: dict[str, str | float], epochs: Sequence[Numbers]) -> None:
        """Take the configuration and all epochs so far; those that are known already are not shown twice."""

    def log(self, epoch: int, numbers: Numbers) -> None:
        """Take an epoch's numbers; epochs count from 1."""

    def finish(self, epoch: int, summary: Numbers, figures: Sequence[Path], files: Sequence[Path]) -> None:
        """Take the results of the training run after its last epoch. figures: PNG files."""

    def close(self, finished: bool) -> None:
        """Close the run. finished: whether the training run reached its end."""


def known_trackers(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the trackers named, each once.

    Raises CrystalliteError for an unknown one, or one whose package is not installed.
    """
    names = (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
    for name in names:
        if name not in TRACKERS:
            raise CrystalliteError(f"unknown tracker {name!r}; there are: {', '.join(TRACKERS)}")
        _backend(name)
    return names


def set_trackers(folder: Path, names: Sequence[str]) -> None:
    """Write which trackers a new folder's run, or its runs, are shown in."""
    if names:
        write_json(folder / TRACKING, {name: {} for name in names})


def hand_trackers_on(group: Path, folder: Path) -> None:
    """Give the run in `folder` the trackers of its group."""
    if (group / TRACKING).exists():
        set_trackers(folder, list(read_json(group / TRACKING)))


class Tracking:
    """The trackers of a run, none at first. No method raises."""

    def __init__(self) -> None:
        self._trackers: dict[str, Tracker] = {}

    def open(self, folder: Path, config: RunConfig, history: Sequence[Result]) -> None:
        """Open the trackers that the folder names and bring them to the epochs of `history`."""
        identities = read_json(folder / TRACKING)
        opened: dict[str, Tracker] = {}

        def open_one(name: str) -> None:
            opened[name] = _backend(name).Tracker(folder, run_title(folder), identities[name])
            identities[name] = opened[name].identity
            write_json(folder / TRACKING, identities)

        for name in list(identities):
            if failure := _failure(partial(open_one, name)):
                _report(name, failure)
            else:
                self._trackers[name] = opened[name]
        settings, epochs = flat_settings(config), [numbers_in(entry) for entry in history]
        self._each(lambda tracker: tracker.start(settings, epochs))

    def log(self, entry: Result) -> None:
        """Show an epoch: an entry of the trainer's history."""
        self._each(lambda tracker: tracker.log(entry["epoch"], numbers_in(entry)))

    def finish(self, folder: Path, summary: Result) -> None:
        """Show the summary, the figures and the files of a finished run."""
        figures, files = sorted(folder.glob("*.png")), [folder / name for name in FILES]
        numbers = {
            f"best_{name}" if name.startswith("validation_") else name: value
            for name, value in numbers_in(summary).items()
        }
        self._each(lambda tracker: tracker.finish(summary["epochs"], numbers, figures, files))

    def close(self, finished: bool) -> None:
        """Close all. finished: whether the training run reached its end."""
        self._each(lambda tracker: tracker.close(finished))

    def _each(self, action: Callable[[Tracker], None]) -> None:
        """Run `action` on every tracker; one that fails is reported, dropped and, if it can be, closed."""
        for name, tracker in list(self._trackers.items()):
            if failure := _failure(partial(action, tracker)):
                _report(name, failure)
                del self._trackers[name]
                _failure(partial(tracker.close, False), seconds=1)


def _failure(action: Callable[[], None], seconds: float | None = None) -> str:
    """Run `action` in a thread, since a server that is gone may keep it for hours; return what went wrong."""
    seconds = PATIENCE if seconds is None else seconds
    failures: list[str] = []

    def run() -> None:
        try:
            action()
        except Exception as error:
            failures.append(str(error) or type(error).__name__)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return f"no answer for {seconds:g} s"
    return "".join(failures)


def _report(name: str, failure: str) -> None:
    warnings.warn(f"tracking with {name} stopped, the training run continues: {failure}", stacklevel=2)


@contextmanager
def open_trackers(folder: Path, config: RunConfig, history: Sequence[Result]) -> Iterator[Tracking]:
    """Yield the trackers of a run, closed when the block ends; of several processes only the first tracks."""
    tracking = Tracking()
    if distributed.rank() == 0 and (folder / TRACKING).exists():
        tracking.open(folder, config, history)
    finished = False
    try:
        yield tracking
        finished = True
    finally:
        tracking.close(finished)


def numbers_in(result: Result) -> Numbers:
    """Return the numbers of an epoch or a summary; FIGURE of a target is named FIGURE/TARGET."""
    values = dict(result)
    for target, figures in values.pop("targets").items():
        values |= {f"{figure}/{target}": value for figure, value in figures.items()}
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and name != "epoch"
    }


def flat_settings(config: RunConfig) -> dict[str, str | float]:
    """Return the tables of config.toml as one, keys TABLE.NAME; what is neither text nor number as JSON."""
    return {
        f"{table}.{name}": value if isinstance(value, str | int | float) else json.dumps(value)
        for table in ("data", "graph", "model", "training")
        for name, value in getattr(config, table).to_dict().items()
    }


def run_title(folder: Path) -> str:
    """Return what a run is called: its folder's name, after that of its group."""
    folder = folder.resolve()
    in_group = (folder.parent / run_folder.GROUP).exists()
    return f"{folder.parent.name}/{folder.name}" if in_group else folder.name


def _backend(name: str) -> Any:
    """Return a tracker's module; raises CrystalliteError if the package it needs is not installed."""
    module = importlib.import_module(f".{name}", __name__)
    module.load()
    return module
