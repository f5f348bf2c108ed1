"""Small searches for the tests of `crystallite tune`: from Python, and as a user starts one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training_runs import ENERGY, energies, table

from crystallite.tuning.search import TuneResult, tune
from crystallite.tuning.space import SearchSpace

optuna = pytest.importorskip("optuna")

NETWORKS = """\
learning_rate = { low = 0.001, high = 0.1, log = true }
optimizer = ["adamw", "sgd"]
n_convolutions = 1
atom_width = 8
hidden_width = 8
batch_size = 64
"""
SPACE = f"n_neighbors = {{ low = 8, high = 12, step = 4 }}\n{NETWORKS}"


def search(out: Path, data: Any = None, space: str = SPACE, **options: Any) -> TuneResult:
    """A search over tiny networks."""
    chosen = {"trials": 5, "epochs": 2, **options}
    data = energies(120) if data is None else data
    return tune(data, ENERGY, space=SearchSpace.parse(space, "test"), out=out, **chosen)


def rows(folder: Path) -> list[dict[str, str]]:
    """The trials of a folder."""
    header, lines = table(folder / "trials.csv")
    return [dict(zip(header, line, strict=True)) for line in lines]


def outcomes(folder: Path) -> list[dict[str, str]]:
    """What must repeat: all but the time it took."""
    return [{name: cell for name, cell in row.items() if name != "seconds"} for row in rows(folder)]


def search_words(folder: Path, space: str = SPACE) -> list[Any]:
    """The search as a command, with its files in `folder`, but for trials, storage and output."""
    data_file, space_file = folder / "energies.parquet", folder / "space.toml"
    energies(120).write(data_file)
    space_file.write_text(space)
    return ["tune", data_file, "--target", ENERGY, "--space", space_file, "--epochs", 2]
