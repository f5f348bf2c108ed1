"""`crystallite.train`: from a dataset to a trained model and its run folder."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..computing import distributed
from ..computing.devices import device_name
from ..computing.progress import progress_bar
from ..datasets.dataset import Dataset
from ..errors import CrystalliteError, DivergedError, WriteError, one_line
from ..evaluation.display import summary_html
from ..evaluation.results import Result, in_digits, shown_error
from ..files.writing import write_json
from ..materials.splits import Split, given_split
from ..models.checkpoint import TrainedModel, read_arrays, read_model, save_model, write_arrays
from ..models.held_out import measured_reliability
from ..models.predictor import Predictor
from ..runs import folder as run_folder
from ..runs.folder import BEST, GIVEN, LAST, RunConfig
from ..settings.config import Task
from ..sources.resolver import read_dataset
from ..tracking import Tracking, known_trackers, open_trackers, set_trackers
from .learner import Learner
from .preparation import prepare, start_folder
from .run_data import run_dataset
from .run_settings import run_config, run_name
from .run_split import read_split
from .test_results import draw_figures, write_test_results

SAVE_EVERY = 120.0  # seconds between saves inside an epoch


class TrainingInterruptedError(CrystalliteError):
    """Ctrl-C or SIGTERM stopped a training run after its state was saved."""


class Run(Predictor):
    """A finished training run: predicts like any model, and knows its folder and summary.

    Attributes:
        model: the trained network with its graph settings and targets.
        folder: the run folder.
        summary: what summary.json holds, see docs/training.md.
    """

    def __init__(self, model: TrainedModel, folder: Path, summary: Result) -> None:
        super().__init__(model)
        self.folder = folder
        self.summary = summary

    def _repr_html_(self) -> str:
        return summary_html(self.folder, self.summary)

    def __repr__(self) -> str:
        return f"<Run {self.folder}: predicts {', '.join(self.model.targets.names)}>"


def train(
    data: Dataset | str | Path,
    target: str | Sequence[str],
    *,
    recipe: str = "modern",
    task: Task = "regression",
    split: str | Mapping[str, Any] = "80/10/10",
    split_column: str = "",
    weight_column: str = "",
    workers: int = 1,
    device: str = "cpu",
    out: str | Path | None = None,
    track: str | Sequence[str] = (),
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Train a network to predict `target`; everything is kept in the run folder `out`.

    Args:
        data: a Dataset, a built-in name, a Parquet file or a folder in the published layout.
        target: a property or several; `NAME:log10` is learned on a logarithmic scale.
        recipe: `modern`, `paper` or `small`; `settings` override it.
        task: `regression`, or `classification` of the values 0 and 1.
        split: training, validation and test set as percentages, fractions or numbers of crystals, or
            {"train": ..., "validation": ..., "test": ...} with ids or row numbers. Crystals of the same
            material never lie in two of them: where a given split says so, they are left out, with a warning.
        split_column: a column that says train, validation or test, instead of `split`.
        weight_column: sample weights; a crystal of weight 0 is left out.
        workers: number of threads that build graphs.
        device: of the network, such as `cpu` or `cuda`.
        out: the run folder; by default a new one in runs/.
        track: what to show the run in: `tensorboard`, `mlflow`, `clearml`.
        progress: whether a bar is shown.
        settings: fields of GraphConfig, ModelConfig and TrainConfig, such as epochs=30.

    Returns:
        The finished run, which predicts like any model. `summary["targets"][NAME]["test_mae"]` is the error
        of the test set in the property's unit; docs/training.md lists the other figures.

    Raises:
        CrystalliteError: if an option is invalid, or the data cannot be used.
        TrainingInterruptedError: on Ctrl-C or SIGTERM, after saving; `resume` takes the folder.
    """
    track = known_trackers(track)
    dataset = data if isinstance(data, Dataset) else read_dataset(data)
    given = None if isinstance(split, str) else given_split(split, dataset.ids)
    config = run_config(
        data, dataset, target, recipe=recipe, task=task, split=GIVEN if given else split,
        split_column=split_column, weight_column=weight_column, **settings,
    )  # fmt: skip
    return train_as(
        dataset, config, given=given, workers=workers, device=device, out=out, track=track, progress=progress
    )


def train_as(
    dataset: Dataset,
    config: RunConfig,
    *,
    given: Split | None = None,
    workers: int = 1,
    device: str = "cpu",
    out: str | Path | None = None,
    track: Sequence[str] = (),
    progress: bool = True,
    figures: bool = True,
) -> Run:
    """Train as the settings of a run say.

    Args:
        dataset: what the settings were made for.
        config: of `run_config`.
        given: the parts of the split, if they are given.
        workers, device, out, track, progress: as for `train`.
        figures: whether they are drawn, which takes longer than to train a small network.

    Returns:
        The finished run.

    Raises:
        CrystalliteError: if the settings do not fit the data, or the run folder cannot be made.
        TrainingInterruptedError: on Ctrl-C or SIGTERM, after saving.
    """
    with distributed.process_group(device) as device:
        if out is None and distributed.may_restart():
            raise CrystalliteError("name the run folder with --out, so that a restart finds it")
        if out is not None and distributed.is_restart() and (Path(out) / run_folder.CONFIG).exists():
            return resume(out, data=dataset, workers=workers, device=device, progress=progress)
        trainer = prepare(dataset, config, given=given, workers=workers, device=device, progress=progress)

        def begin() -> Path:
            folder = run_folder.new_folder(out, run_name(dataset, config))
            set_trackers(folder, track)
            start_folder(folder, dataset, config, trainer.split, device)
            return folder

        folder = distributed.on_first(begin)
        with run_folder.locked(folder):
            return _finish(trainer, dataset, RunConfig.read(folder), folder, progress, figures)


def resume(
    folder: str | Path,
    *,
    data: Dataset | None = None,
    workers: int = 1,
    device: str = "cpu",
    progress: bool = True,
) -> Run:
    """Resume an interrupted training run from its last saved state, and return it finished.

    Args:
        folder: the run folder.
        data: only for a run that was started from a Dataset in memory.
        workers: number of threads that build graphs.
        device: of the network; warns if it differs from the one before, as results may differ in rounding.
        progress: whether a bar is shown.

    Returns:
        The finished run; on the same device and software with the same bits as one never interrupted.

    Raises:
        CrystalliteError: if the folder is not that of a run, or its data has changed.
        TrainingInterruptedError: on Ctrl-C or SIGTERM, after saving.
    """
    folder = Path(folder)
    config = RunConfig.read(folder)
    dataset = run_dataset(config, folder, data)
    split = read_split(folder, dataset.ids, config.data)
    with distributed.process_group(device) as device, run_folder.locked(folder):
        trainer = prepare(dataset, config, split=split, workers=workers, device=device, progress=progress)
        _say_other_device(folder, device)
        if (folder / LAST).exists():
            arrays, counters = read_arrays(folder / LAST)
            try:
                trainer.load_state(arrays, counters)
            except (KeyError, ValueError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
                raise CrystalliteError(
                    f"{folder / LAST} is damaged or of another training run: {one_line(error)}"
                ) from error
        return _finish(trainer, dataset, config, folder, progress)


def _say_other_device(folder: Path, device: str) -> None:
    now = device_name(device)
    before = run_folder.read_environment(folder).get("device", now)
    if before != now and distributed.rank() == 0:
        warnings.warn(
            f"{folder} was trained on {before} and is resumed on {now}: "
            "results may differ in rounding (--device)",
            stacklevel=3,
        )


def _finish(
    trainer: Learner,
    dataset: Dataset,
    config: RunConfig,
    folder: Path,
    progress: bool,
    figures: bool = True,
) -> Run:
    """Train to the end, then test, summarise and draw."""
    with _saying_how_to_resume(folder), open_trackers(folder, config, trainer.history) as trackers:
        distributed.on_first(lambda: run_folder.write_metrics(folder, trainer.history))
        with stop_requests() as stop, torch.random.fork_rng(devices=[]):
            _train_epochs(trainer, config, folder, stop, progress, trackers)
        seconds = sum(entry["seconds"] for entry in trainer.history)
        model = read_model(folder / BEST)
        trainer.take_back(model)
        predicted = trainer.predict(trainer.split.test)
        if not np.isfinite(predicted).all():
            raise DivergedError("training diverged: the predictions for the test set are not finite")

        def summarize() -> Result:
            _add_reliability(model, trainer, dataset, folder)
            tested = predicted
            if model.reliability is not None:
                tested = model.reliability.mean(model.targets, predicted[None])
            summary = {
                **write_test_results(trainer, dataset, folder, tested),
                "training_seconds": round(seconds, 2),
            }
            if figures:
                draw_figures(trainer, folder, tested)
            write_json(folder / run_folder.SUMMARY, summary)
            trackers.finish(folder, summary)
            return summary

        summary = distributed.on_first(summarize)
        return Run(read_model(folder / BEST), folder, summary)


def _add_reliability(model: TrainedModel, trainer: Learner, dataset: Dataset, folder: Path) -> None:
    """Measure the model on the validation set and keep what it gets wrong with it, unless that is there."""
    if model.reliability is not None:
        return
    split = trainer.split
    model.reliability = measured_reliability(
        [model], trainer.graphs, trainer.values, dataset.ids, split.train, split.validation
    )
    if model.reliability is not None:
        save_model(folder / BEST, model)


@contextmanager
def _saying_how_to_resume(folder: Path) -> Iterator[None]:
    """Add the command that resumes the run to errors that leave its checkpoint intact."""
    how = f"resume with: crystallite train --resume {folder}"
    try:
        yield
    except WriteError as error:
        raise WriteError(f"{error}; fix that, then {how}") from error
    except RuntimeError as error:
        if not distributed.is_loss(error):
            raise
        raise CrystalliteError(f"another process was lost: {str(error).splitlines()[0]}; {how}") from error


def _train_epochs(
    trainer: Learner,
    config: RunConfig,
    folder: Path,
    stop: threading.Event,
    progress: bool,
    trackers: Tracking,
) -> None:
    total = config.training.epochs * trainer.steps_per_epoch
    shown = progress and not distributed.rank()
    bar = progress_bar(doing="training", unit="steps", total=total, done=trainer.step, shown=shown)
    saved = time.monotonic()
    errors: dict[str, str] = {}

    def after_step(loss: float) -> None:
        nonlocal saved
        bar.set_postfix({"loss": in_digits(loss), **errors}, refresh=False)
        bar.update()
        if trainer.step % distributed.ask_every() == 0 and distributed.any_of(stop.is_set()):
            _save_state(trainer, folder)
            raise TrainingInterruptedError(
                f"stopped in epoch {trainer.epoch + 1}, the state is saved; "
                f"resume with: crystallite train --resume {folder}"
            )
        if distributed.rank() == 0 and time.monotonic() - saved > SAVE_EVERY:
            _save_state(trainer, folder)
            saved = time.monotonic()

    with bar:
        while not trainer.finished:
            before = time.perf_counter()
            entry = trainer.run_epoch(after_step)
            entry["seconds"] = round(time.perf_counter() - before, 4)
            error = shown_error(entry)
            errors = {} if error is None else {"validation": in_digits(error)}
            distributed.on_first(lambda: _save_epoch(trainer, config, folder, trackers))
            saved = time.monotonic()


def _save_epoch(trainer: Learner, config: RunConfig, folder: Path, trackers: Tracking) -> None:
    """Keep the model if it is the best so far, the state and the epoch's line; show it in the trackers."""
    if trainer.best is trainer.history[-1]:
        save_model(folder / BEST, _as_model(trainer, config))
    _save_state(trainer, folder)
    run_folder.append_metrics(folder, trainer.history[-1])
    trackers.log(trainer.history[-1])


def _save_state(trainer: Learner, folder: Path) -> None:
    if distributed.rank() == 0:
        write_arrays(folder / LAST, *trainer.state())


def _as_model(trainer: Learner, config: RunConfig) -> TrainedModel:
    info = {
        "data": config.data.to_dict(),
        "training": config.training.to_dict(),
        "environment": run_folder.environment(trainer.device),
        "history": trainer.history,
    }
    return trainer.trained_model(config.graph, info)


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Turn Ctrl-C and SIGTERM into an event while the block runs (in the main thread)."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    signals: Iterable[signal.Signals] = (signal.SIGINT, signal.SIGTERM)
    previous: dict[signal.Signals, Any] = {
        number: signal.signal(number, lambda *_: stop.set()) for number in signals
    }
    try:
        yield stop
    except RuntimeError as error:
        if distributed.is_loss(error):  # torchrun stops those that are left: this one says first why it ends
            previous[signal.SIGTERM] = signal.SIG_IGN
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
