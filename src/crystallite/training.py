"""`crystallite.train`: from a dataset to a trained model and its run folder."""

from __future__ import annotations

import hashlib
import re
import signal
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from . import distributed, run_folder
from .checkpoint import TrainedModel, load_model, read_tensors, save_model, write_tensors
from .config import GraphConfig, Task
from .dataset import Dataset
from .errors import CrystalliteError
from .evaluation import test_run
from .files import write_json
from .fine_tuning import freeze, shape_of, start_from
from .graph_store import dataset_graphs
from .graphs import PackedGraphs
from .model import CrystalNetwork
from .prediction import Predictor, load_any_model
from .recipes import configure
from .run_folder import BEST, LAST, DataConfig, RunConfig
from .splits import (
    Split,
    column_split,
    fold_split,
    material_groups,
    parse_parts,
    random_split,
    without_repeats,
)
from .targets import Targets, parse_target
from .tracking import Tracking, known_trackers, open_trackers, set_trackers
from .trainer import Trainer

SAVE_EVERY = 120.0  # seconds between saves inside an epoch


class TrainingInterruptedError(CrystalliteError):
    """Ctrl-C or SIGTERM stopped a training after its state was saved."""


class Run(Predictor):
    """A finished training: predicts like any model, and knows its folder and summary."""

    def __init__(self, model: TrainedModel, folder: Path, summary: dict[str, Any]) -> None:
        super().__init__(model)
        self.folder = folder
        self.summary = summary

    def __repr__(self) -> str:
        return f"<Run {self.folder}: predicts {', '.join(self.model.targets.names)}>"


def train(
    data: Dataset | str | Path,
    target: str | Sequence[str],
    *,
    recipe: str = "modern",
    task: Task = "regression",
    split: str = "80/10/10",
    split_column: str = "",
    weight_column: str = "",
    workers: int = 1,
    device: str = "cpu",
    out: str | Path | None = None,
    track: str | Sequence[str] = (),
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Train a network to predict `target` and return it; everything is kept in the run folder `out`.

    data: a Dataset, a built-in name, a Parquet file or a folder in the published layout. target: a property
    or several; `NAME:log10` is learned on a logarithmic scale. recipe: `modern` or `paper`; `settings`
    override its fields, those of GraphConfig, ModelConfig and TrainConfig, such as epochs=30.
    split: train/validation/test as percentages, shares or numbers of crystals, or `split_column` names a
    column that says which. Crystals of the same material never lie in two parts. weight_column: sample
    weights. workers: threads that build graphs. device: of the network, such as `cpu` or `cuda`. track: what
    to show the training in: `tensorboard`, `mlflow`, `clearml`.

    Raises CrystalliteError for a bad option, TrainingInterruptedError (after saving) on Ctrl-C or SIGTERM.
    """
    track = known_trackers(track)
    dataset = data if isinstance(data, Dataset) else Dataset.read(data)
    config = run_config(
        data, dataset, target, recipe=recipe, task=task, split=split, split_column=split_column,
        weight_column=weight_column, **settings,
    )  # fmt: skip
    with distributed.process_group(device) as device:
        if out is None and distributed.may_restart():
            raise CrystalliteError("name the run folder with --out, for a restart to find it")
        if out is not None and distributed.is_restart() and (Path(out) / run_folder.CONFIG).exists():
            return resume(out, data=dataset, workers=workers, device=device, progress=progress)
        trainer = prepare(dataset, config, workers=workers, device=device, progress=progress)
        folder = distributed.on_first(lambda: run_folder.new_folder(out, run_name(dataset, config)))
        distributed.on_first(lambda: set_trackers(folder, track))
        distributed.on_first(lambda: start_folder(folder, dataset, config, trainer.split))
        return _finish(trainer, dataset, config, folder, progress)


def resume(
    folder: str | Path,
    *,
    data: Dataset | None = None,
    workers: int = 1,
    device: str = "cpu",
    progress: bool = True,
) -> Run:
    """Go on with an interrupted training where it was saved, and return it finished.

    data: only for a run that was started from a Dataset in memory. Raises CrystalliteError when the folder
    is not a run or its data has changed.
    """
    folder = Path(folder)
    config = RunConfig.read(folder)
    dataset = run_dataset(config, folder, data)
    with distributed.process_group(device) as device:
        trainer = prepare(dataset, config, workers=workers, device=device, progress=progress)
        if (folder / LAST).exists():
            trainer.load_state(*read_tensors(folder / LAST))
        return _finish(trainer, dataset, config, folder, progress)


def run_config(
    data: Dataset | str | Path,
    dataset: Dataset,
    target: str | Sequence[str],
    *,
    recipe: str = "modern",
    task: Task = "regression",
    **settings: Any,
) -> RunConfig:
    """Return the settings of a run; `settings` are those of the recipe and fields of DataConfig."""
    declared = (target,) if isinstance(target, str) else tuple(target)
    source = "" if isinstance(data, Dataset) else run_folder.absolute_source(str(data))
    of_data = {field.name: settings.pop(field.name) for field in fields(DataConfig) if field.name in settings}
    of_data.setdefault("split_seed", settings.get("seed", 0))
    if settings.get("start_from"):
        settings = {**shape_of(load_any_model(settings["start_from"])), **settings}
        settings["start_from"] = run_folder.absolute_source(str(settings["start_from"]))
    fingerprint = data_fingerprint(dataset, declared)
    data_config = DataConfig(source, fingerprint, declared, task, **of_data)
    return RunConfig(data_config, *configure(recipe, task, len(declared), settings))


def run_dataset(config: RunConfig, folder: Path, data: Dataset | None = None) -> Dataset:
    """Return the dataset a run was started on; raises CrystalliteError if it is gone or has changed."""
    if data is None and not config.data.source:
        raise CrystalliteError(f"{folder} was trained on a dataset in memory: pass it as data=")
    dataset = data if data is not None else Dataset.read(config.data.source)
    if data_fingerprint(dataset, config.data.targets) != config.data.fingerprint:
        raise CrystalliteError(
            f"{folder}: crystals or targets of {config.data.source or 'data'} have changed since; train anew"
        )
    return dataset


def start_folder(folder: Path, dataset: Dataset, config: RunConfig, split: Split) -> None:
    """Write what a run folder holds before the first step."""
    run_folder.write_split(folder / run_folder.SPLIT, dataset.ids, split._asdict())
    config.write(folder)


def run_name(dataset: Dataset, config: RunConfig) -> str:
    """Return the stem of a run folder's default name."""
    return f"{dataset.name or 'dataset'}-{parse_target(config.data.targets[0])[0]}"


def data_fingerprint(dataset: Dataset, declared: Sequence[str]) -> str:
    """Return SHA-256 (hexadecimal) of the crystals and of the declared targets' values."""
    digest = hashlib.sha256(dataset.fingerprint.encode())
    for text in declared:
        digest.update(dataset.values(parse_target(text)[0]).tobytes())
    return digest.hexdigest()


def prepare(
    dataset: Dataset, config: RunConfig, *, workers: int = 1, device: str = "cpu", progress: bool = False
) -> Trainer:
    """Return a trainer before its first step."""
    names, transforms = zip(*map(parse_target, config.data.targets), strict=True)
    values = np.column_stack([dataset.values(name) for name in names])
    graphs = dataset_graphs(dataset, config.graph, workers=workers, progress=progress)
    # One graph setting tells materials apart, so that the split depends on the seed alone.
    same = (
        graphs if config.graph == GraphConfig() else dataset_graphs(dataset, GraphConfig(), workers=workers)
    )
    split = split_dataset(dataset, same, values, config.data)
    units = [dataset.units.get(name, "") for name in names]
    targets = Targets.fit(names, units, config.model.task, values[split.train], transforms)
    weights = dataset.values(config.data.weight_column) if config.data.weight_column else None
    if weights is not None and not (weights[split.train] >= 0).all():
        raise CrystalliteError(f"sample weights {config.data.weight_column}: missing or negative values")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        network = CrystalNetwork(config.model)
    if config.training.start_from:
        start_from(network, targets, load_any_model(config.training.start_from))
    freeze(network, config.training.frozen)
    try:
        network.to(device)
    except (RuntimeError, AssertionError) as error:
        raise CrystalliteError(f"cannot use device {device!r}: {str(error).splitlines()[0]}") from error
    return Trainer(network, graphs, values, split, targets, config.training, weights)


def split_dataset(
    dataset: Dataset, graphs: PackedGraphs, values: NDArray[np.float64], config: DataConfig
) -> Split:
    """Return the run's split of the crystals that have a value."""
    known = np.flatnonzero(np.isfinite(values).any(axis=1))
    groups = material_groups(dataset.ids, graphs)
    fold = re.fullmatch(r"fold (\d+) of (\d+)", config.split)
    if config.split_column:
        parts = column_split(dataset.labels(config.split_column))
        declared = Split(*(part[np.isin(part, known)] for part in parts))
        split = without_repeats(declared, groups)
        n_left_out = sum(map(len, declared)) - sum(map(len, split))
        if n_left_out:
            warnings.warn(
                f"{config.split_column}: {n_left_out} training or validation crystals repeat materials of "
                "a part that is held out from them and are not used",
                stacklevel=2,
            )
    else:
        groups = np.unique(groups[known], return_inverse=True)[1]
        if fold:
            parts = fold_split(groups, int(fold[1]), int(fold[2]), config.split_seed)
        else:
            parts = random_split(groups, parse_parts(config.split), config.split_seed)
        split = Split(*(known[part] for part in parts))
    if config.train_limit:
        split = split._replace(train=split.train[: config.train_limit])
    if not len(split.train):
        raise CrystalliteError(f"the split {config.split} of {len(known)} crystals leaves none for training")
    return split


def _finish(trainer: Trainer, dataset: Dataset, config: RunConfig, folder: Path, progress: bool) -> Run:
    """Train to the end, then test, summarise and draw."""
    distributed.on_first(lambda: run_folder.write_metrics(folder, trainer.history))
    with open_trackers(folder, config, trainer.history) as trackers:
        with stop_requests() as stop, torch.random.fork_rng(devices=[]):
            _train_epochs(trainer, config, folder, stop, progress, trackers)
        seconds = sum(entry["seconds"] for entry in trainer.history)
        model = load_model(folder / BEST)
        trainer.kept_network.load_state_dict(model.network.state_dict())
        predicted = trainer.predict(trainer.split.test)

        def summarize() -> dict[str, Any]:
            summary = {**test_run(trainer, dataset, folder, predicted), "training_seconds": round(seconds, 2)}
            write_json(folder / run_folder.SUMMARY, summary)
            trackers.finish(folder, summary)
            return summary

        return Run(model, folder, distributed.on_first(summarize))


def _train_epochs(
    trainer: Trainer,
    config: RunConfig,
    folder: Path,
    stop: threading.Event,
    progress: bool,
    trackers: Tracking,
) -> None:
    total = config.training.epochs * trainer.steps_per_epoch
    shy = True if distributed.rank() or not progress else None
    bar = tqdm(total=total, initial=trainer.step, unit="step", delay=2, disable=shy)
    saved = time.monotonic()
    shown: dict[str, str] = {}

    def after_step(loss: float) -> None:
        nonlocal saved
        bar.set_postfix({"loss": f"{loss:.4f}", **shown}, refresh=False)
        bar.update()
        if trainer.step % distributed.ask_every() == 0 and distributed.any_of(stop.is_set()):
            _save_state(trainer, folder)
            raise TrainingInterruptedError(
                f"stopped in epoch {trainer.epoch + 1}, nothing is lost; "
                f"go on with: crystallite train --resume {folder}"
            )
        if distributed.rank() == 0 and time.monotonic() - saved > SAVE_EVERY:
            _save_state(trainer, folder)
            saved = time.monotonic()

    with bar:
        while not trainer.finished:
            before = time.perf_counter()
            entry = trainer.run_epoch(after_step)
            entry["seconds"] = round(time.perf_counter() - before, 4)
            mae = entry.get("validation_mae", entry.get("validation_auc"))
            shown = {"validation": f"{mae:.4f}"} if isinstance(mae, float) else {}
            distributed.on_first(lambda: _save_epoch(trainer, config, folder, trackers))
            saved = time.monotonic()


def _save_epoch(trainer: Trainer, config: RunConfig, folder: Path, trackers: Tracking) -> None:
    """Keep the model if it is the best so far, the state and the epoch's line; show it in the trackers."""
    if trainer.best is trainer.history[-1]:
        save_model(folder / BEST, _as_model(trainer, config))
    _save_state(trainer, folder)
    run_folder.append_metrics(folder, trainer.history[-1])
    trackers.log(trainer.history[-1])


def _save_state(trainer: Trainer, folder: Path) -> None:
    if distributed.rank() == 0:
        write_tensors(folder / LAST, *trainer.state())


def _as_model(trainer: Trainer, config: RunConfig) -> TrainedModel:
    info = {
        "data": config.data.to_dict(),
        "training": config.training.to_dict(),
        "environment": run_folder.environment(),
        "history": trainer.history,
    }
    return TrainedModel(trainer.kept_network, config.graph, trainer.targets, info)


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Turn Ctrl-C and SIGTERM into an event while the block runs (in the main thread)."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    signals: Iterable[signal.Signals] = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
