"""What tests of screenings share: an engine without processes, inputs with twins, folders compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from strategies import in_cell, reordered, rotated, shifted

from crystallite.datasets.dataset import Dataset
from crystallite.screening.screening import SUMMARY
from crystallite.screening.work import Question, Worker, picked

GAP = Question(("band_gap",))


class Here:
    """An engine that works when it is asked, in this process; it counts what it does."""

    window = 2

    def __init__(self, question: Question) -> None:
        self.worker = Worker(question)
        self.read_pieces: list[int] = []
        self.n_predicted = 0

    def read(self, piece):
        self.read_pieces.append(piece.first)
        return _Read(self, *self.worker.read(piece))

    def pick(self, piece, listed):
        return _Made(picked(piece, listed))


class _Read:
    def __init__(self, engine, crystals, graphs):
        self.engine, self.found, self.graphs = engine, crystals, graphs

    def crystals(self):
        return self.found

    def predict(self, rows):
        self.engine.n_predicted += len(rows)
        return _Made(self.engine.worker.predict(self.graphs, rows))


class _Made:
    def __init__(self, made):
        self.made = made

    def result(self):
        return self.made


@contextmanager
def here(question: Question) -> Iterator[Here]:
    yield Here(question)


def with_twins(dataset: Dataset, n: int) -> Dataset:
    """The first n crystals, then every third of them again in another cell, under another name."""
    rng = np.random.default_rng(0)
    crystals = [dataset.crystal(row) for row in range(n)]
    twins = [
        rotated(shifted(reordered(in_cell(crystals[row], np.diag([1, 2, 1])), rng), rng), rng)
        for row in range(0, n, 3)
    ]
    ids = [*dataset.ids[:n], *(f"twin-of-{dataset.ids[row]}" for row in range(0, n, 3))]
    return Dataset.from_crystals([*crystals, *twins], ids)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a screening and its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".lock")
    }


def counts(folder: Path) -> dict[str, int]:
    """How many crystals of each kind the folder's summary tells."""
    found: dict[str, int] = json.loads((folder / SUMMARY).read_text())
    return found


def rows(folder: Path, kind: str):
    """Return a table of a screening, None if it has none."""
    return pq.read_table(folder / kind).to_pandas() if (folder / kind).is_dir() else None


def remembering(begin, engines):
    def remember(self, question):
        begin(self, question)
        engines.append(self)

    return remember
