"""Small groups of training runs (folds, members, sizes) for the tests that need them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from training_runs import same_weights, summary, table

from crystallite.cli import main
from crystallite.datasets.dataset import Dataset
from crystallite.experiments import experiment as experiments

MODULUS = "log10_bulk_modulus"
TINY: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 32,
    "atom_width": 8,
    "hidden_width": 8,
    "n_convolutions": 1,
}
TINY_PER_ATOM = {
    name: value for name, value in TINY.items() if name != "hidden_width"
}  # has no hidden layers
TINY_OPTIONS = [f"--set={name}={value}" for name, value in TINY.items()]


def moduli(n_crystals: int = 60) -> Dataset:
    """The first crystals of the built-in elastic set."""
    return Dataset.read("elastic").select(range(n_crystals))


def start(data: Any, group: dict[str, Any], out: Path, target: Any = MODULUS, **settings: Any) -> Path:
    tiny = TINY_PER_ATOM if settings.get("readout") == "per-atom" else TINY
    return experiments.start_group(data, target, group, out=out, **{**tiny, **settings})


def train_group(
    data: Any, group: dict[str, Any], out: Path, target: Any = MODULUS, **settings: Any
) -> dict[str, Any]:
    """Train a group to its end and return its summary."""
    start(data, group, out, target, **settings)
    dataset = data if isinstance(data, Dataset) else None
    return experiments.resume_group(out, data=dataset, progress=False)


def runs_of(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/config.toml"))


def part_of_rows(run: Path) -> NDArray[np.str_]:
    """The set that each row of the dataset is in."""
    return np.array([part for _, part in table(run / "split.csv")[1]])


def assert_same_group(folder: Path, reference: Path) -> None:
    """The same bits in every run, the same tables and summary."""
    assert [run.name for run in runs_of(folder)] == [run.name for run in runs_of(reference)]
    for ours, theirs in zip(runs_of(folder), runs_of(reference), strict=True):
        assert same_weights(ours, theirs)
        assert (ours / "split.csv").read_bytes() == (theirs / "split.csv").read_bytes()
    assert summary(folder) == summary(reference)
    for path in reference.glob("*.csv"):
        assert (folder / path.name).read_bytes() == path.read_bytes()


class Said:
    """What a command printed in this process, and its exit status."""

    def __init__(self, capsys: Any, *words: Any) -> None:
        capsys.readouterr()
        try:
            main([str(word) for word in words])
            self.status: Any = 0
        except SystemExit as stop:
            self.status = stop.code or 0
        self.out, said = capsys.readouterr()
        compiling = "compiling for this CPU"  # whichever test comes first meets this line
        self.err = "".join(line for line in said.splitlines(True) if not line.startswith(compiling))
