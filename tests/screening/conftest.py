"""Inputs of screenings, and how they are cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from screenings import with_twins

from crystallite.datasets.dataset import Dataset
from crystallite.sources import pieces


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "CRYSTALS", 50)


@pytest.fixture(scope="session")
def twins(elastic) -> Dataset:
    """300 crystals, 100 of them again in another cell."""
    return with_twins(elastic, 300)


@pytest.fixture(scope="session")
def twins_file(twins, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("screened") / "twins.parquet"
    twins.write(path)
    return path
