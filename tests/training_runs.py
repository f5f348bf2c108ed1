"""Small training runs, and commands run as a user runs them, for the tests that need either."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Idle threads sleep instead of spinning: on a busy machine small steps are then ten times faster. Read when
# torch loads its OpenMP, so it comes before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

import crystallite
from crystallite.datasets.dataset import Dataset
from crystallite.models.checkpoint import read_arrays, same_arrays
from crystallite.training.train import Run
from crystallite.training.trainer import Trainer

ENERGY = "formation_energy_per_atom"
SMALL: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 32,
    "atom_width": 16,
    "hidden_width": 16,
    "n_convolutions": 2,
    "progress": False,
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Train on one thread, here and in `command`: on a busy machine two only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def energies(n_crystals: int = 300) -> Dataset:
    """The first crystals of the built-in formation energies."""
    return Dataset.read("formation").select(range(n_crystals))


def with_gaps(dataset: Dataset, names: list[str]) -> tuple[Dataset, np.ndarray]:
    """The dataset with 30 % of the values of each property missing, and (crystals, names) which."""
    missing = np.random.default_rng(0).random((len(dataset), len(names))) < 0.3
    for name, hidden in zip(names, missing.T, strict=True):
        values = np.where(hidden, np.nan, dataset.values(name))
        dataset = dataset.with_property(name, values, dataset.units[name])
    return dataset, missing


def train(data: Any, out: Path, target: Any = ENERGY, **settings: Any) -> Run:
    return crystallite.train(data, target, out=out, **{**SMALL, **settings})


def small_options(**settings: Any) -> list[str]:
    """The settings of `train` above as options of `crystallite train`."""
    chosen = {name: value for name, value in {**SMALL, **settings}.items() if name != "progress"}
    return [f"--set={name}={value}" for name, value in chosen.items()]


def start(*words: Any, **options: Any) -> subprocess.Popen[str]:
    """Start `crystallite` in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    return subprocess.Popen(
        [sys.executable, "-m", "crystallite", *map(str, words)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


class Finished:
    """A process that has ended: exit status and what it printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.out, self.err = process.communicate(timeout=120)
        self.status = process.returncode


def command(*words: Any, **options: Any) -> Finished:
    """Run `crystallite` in a process of its own to its end."""
    return Finished(start(*words, **options))


def wait_for_epoch(folder: Path, epoch: int, process: subprocess.Popen[str]) -> None:
    """Wait until a training run has completed an epoch (or has ended)."""
    path = folder / "metrics.jsonl"
    while process.poll() is None and not (path.exists() and path.read_text().count("\n") >= epoch):
        time.sleep(0.003)


def children(pid: int) -> list[int]:
    """Process ids of the children of a running process (Linux)."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def same_weights(a: Path, b: Path, names: tuple[str, ...] = ("best", "last")) -> bool:
    """Whether two run folders hold the same weights, bit for bit."""
    pairs = [[read_arrays(folder / f"{name}.safetensors")[0] for folder in (a, b)] for name in names]
    return all(same_arrays(*pair) for pair in pairs)


def strict_json(text: str) -> Any:
    """Parse JSON as the standard has it: NaN and Infinity are errors."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The epochs of a run."""
    return [strict_json(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def summary(folder: Path) -> dict[str, Any]:
    return strict_json((folder / "summary.json").read_text())


def of_target(result: dict[str, Any]) -> dict[str, Any]:
    """What a result (summary, or line of metrics.jsonl) says of its only target."""
    (found,) = result["targets"].values()
    return found


def table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV file."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def parts_of(folder: Path) -> dict[str, list[str]]:
    """The ids of each part of a run, in the order of the dataset."""
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": [], "": []}
    for material_id, part in table(folder / "split.csv")[1]:
        parts[part].append(material_id)
    return parts


def assert_same_run(folder, reference):
    """The same weights, the same epochs once each in order, the same test errors."""
    assert same_weights(folder, reference)
    found, expected = ([{**epoch, "seconds": 0} for epoch in metrics(f)] for f in (folder, reference))
    assert found == expected
    ignored = {"training_seconds": 0}
    assert {**summary(folder), **ignored} == {**summary(reference), **ignored}
    for name in ("split.csv", "test_predictions.csv"):
        assert (folder / name).read_bytes() == (reference / name).read_bytes()


def after_step(monkeypatch, step, action):
    """Do something right after a training step, counted over the whole training run."""
    original = Trainer.train_step

    def train_step(self, rows):
        loss = original(self, rows)
        if self.step == step:
            action()
        return loss

    monkeypatch.setattr(Trainer, "train_step", train_step)
