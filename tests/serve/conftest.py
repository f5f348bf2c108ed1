"""A server that the tests of this room share; it has the models of the package and a small run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import training_runs
from serving import serving

import crystallite
from crystallite.serve.settings import ServeSettings


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: one has a linear readout of atoms."""
    folder = tmp_path_factory.mktemp("runs")
    crystallite.train(
        training_runs.energies(120),
        training_runs.ENERGY,
        out=folder / "per-atom",
        readout="per-atom",
        **{name: value for name, value in training_runs.SMALL.items() if name != "hidden_width"},
    )
    return folder


@pytest.fixture(scope="session")
def client(runs: Path) -> Iterator[httpx.Client]:
    """A client of a server with these runs."""
    with serving(ServeSettings(runs=(str(runs),))) as client:
        yield client
