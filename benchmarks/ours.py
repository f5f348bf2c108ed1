"""Our side of the measurements that run inside a worker. Each function returns the measurement."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crystallite.crystals.cif import read_cif
from crystallite.crystals.crystal import Crystal
from crystallite.datasets.builtin import builtin_path
from crystallite.datasets.dataset import Dataset
from crystallite.graphs.packed import build_graphs
from crystallite.graphs.store import dataset_graphs
from crystallite.materials.splits import Split
from crystallite.models.checkpoint import save_model
from crystallite.models.loading import read_any_model
from crystallite.network.model import CrystalNetwork
from crystallite.network.targets import Targets
from crystallite.settings.config import GraphConfig
from crystallite.settings.recipes import RECIPES
from crystallite.sources.exporters.published_layout import export_published
from crystallite.training.trainer import Trainer

Measure = Callable[[], float]


def prepare(n_crystals: int, data: str, folders: dict[str, int]) -> Callable[[], int]:
    """Write `formation`, or n_crystals of it, as Parquet and the first of them as folders of CIFs."""
    whole = Dataset.read(builtin_path("formation"))
    rows = np.unique(np.linspace(0, len(whole) - 1, n_crystals).round().astype(int))
    dataset = whole.select(rows)
    dataset.write(data)
    for folder, size in folders.items():
        spaced = np.unique(np.linspace(0, len(dataset) - 1, size).round().astype(int))
        export_published(dataset.select(spaced), folder)
    return lambda: len(dataset)


def graphs_from_cifs(folder: str) -> Measure:
    """Seconds per crystal from CIF files to reduced graphs, on one thread."""
    paths = sorted(Path(folder).glob("*.cif"))

    def measure(paths: list[Path] = paths) -> float:
        started = time.perf_counter()
        build_graphs([read_cif(path) for path in paths], GraphConfig())
        return (time.perf_counter() - started) / len(paths)

    measure(paths[:3])
    return measure


def graphs_from_dataset(data: str) -> Measure:
    """Seconds per crystal from a Parquet file to reduced graphs, on one thread."""

    def measure() -> float:
        started = time.perf_counter()
        dataset = Dataset.read(data)
        build_graphs(dataset.arrays, GraphConfig())
        return (time.perf_counter() - started) / len(dataset)

    measure()
    return measure


def open_store(data: str) -> Measure:
    """Seconds until a second training run has its crystals, values and graphs."""

    def measure() -> float:
        started = time.perf_counter()
        dataset = Dataset.read(data)
        dataset.values(dataset.properties[0])
        dataset_graphs(dataset, GraphConfig())
        return time.perf_counter() - started

    measure()
    return measure


def training_epoch(data: str, **model: Any) -> Measure:
    """Seconds of one epoch (SGD, batches of 256, mean square error), graphs ready, gathering included."""
    trainer = make_trainer(data, **model)
    trainer.run_epoch()

    def measure() -> float:
        started = time.perf_counter()
        trainer.run_epoch()
        return time.perf_counter() - started

    return measure


def make_trainer(data: str, **model: Any) -> Trainer:
    """Return our trainer on all crystals of the file, without validation; `model`: of its network."""
    dataset = Dataset.read(data)
    name = dataset.properties[0]
    values = dataset.values(name)[:, None]
    nothing = np.empty(0, np.int64)
    of_recipe, training = RECIPES["paper"]
    return Trainer(
        CrystalNetwork(replace(of_recipe, **model)),
        build_graphs(dataset.arrays, GraphConfig()),
        values,
        Split(np.arange(len(dataset)), nothing, nothing),
        Targets.fit((name,), ("",), "regression", values),
        training,
    )


def graphs_of_cells(sizes: list[int]) -> Callable[[], list[tuple[int, float, float]]]:
    """Atoms, and seconds to build the graph of such a rock salt cell: perfect, and with atoms displaced."""
    rng = np.random.default_rng(0)

    def crystal(n_atoms: int, shift: float) -> Crystal:
        side = 2 * round((n_atoms / 8) ** (1 / 3))
        sites = np.stack(np.meshgrid(*3 * [np.arange(side)], indexing="ij"), -1).reshape(-1, 3)
        numbers = np.where(sites.sum(1) % 2, 17, 11).astype(np.uint8)
        moved = sites + rng.uniform(-shift, shift, sites.shape)
        return Crystal(numbers, np.eye(3) * 2.82 * side, moved / side)

    def seconds(n_atoms: int, shift: float) -> float:
        crystals = [crystal(n_atoms, shift) for _ in range(max(1, 1024 // n_atoms))]
        started = time.perf_counter()
        build_graphs(crystals, GraphConfig())
        return (time.perf_counter() - started) / len(crystals)

    seconds(8, 0.0)
    return lambda: [(n_atoms, seconds(n_atoms, 0.0), seconds(n_atoms, 0.05)) for n_atoms in sizes]


def copy_model(source: str, target: str) -> Callable[[], float]:
    """Write a published checkpoint as .safetensors, which needs no PyTorch to be read."""

    def copy() -> float:
        save_model(target, read_any_model(source))
        return 0.0

    return copy
