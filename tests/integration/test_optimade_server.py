"""Fetching from the OPTIMADE reference server itself: real crystals, all pages, filters, resuming."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from installed_server import Server, requests_of_killed
from optimade_entries import crystals
from optimade_environment import PROPERTIES, make_environment, running_server

from crystallite.crystals.elements import atomic_numbers
from crystallite.datasets.dataset import Dataset
from crystallite.sources.web import optimade
from crystallite.sources.web.optimade import fetch_optimade

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    python = make_environment(tmp_path_factory.mktemp("environments"))
    with running_server(python, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.mark.parametrize("page", [7, 100, 1000])
def test_everything(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(optimade, "PAGE", page)
    fetched = fetch_optimade(tmp_path / "d.parquet", server.endpoint, properties=PROPERTIES, skip_bad=True)
    dataset, truth = Dataset.read(tmp_path / "d.parquet"), crystals()
    assert sorted(dataset.ids) == sorted(truth.ids)
    assert [name for name, _ in fetched.bad] == ["zz-1", "zz-2", "zz-3"]
    order = [dataset.ids.index(name) for name in truth.ids]
    for found, expected in zip(dataset.select(order), truth, strict=True):
        np.testing.assert_array_equal(found.numbers, expected.numbers)
        np.testing.assert_array_equal(found.lattice, expected.lattice)
        np.testing.assert_allclose(found.frac_coords, expected.frac_coords, atol=1e-12)
    energies = truth.values("formation_energy_per_atom")
    known = np.arange(len(truth)) % 5 > 0
    found_energies = dataset.values("formation_energy_per_atom")[order]
    np.testing.assert_array_equal(found_energies, np.where(known, energies, np.nan))


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ('elements HAS "O"', lambda c: atomic_numbers()["O"] in c.numbers),
        ("nelements=2 AND nsites>=4", lambda c: len(set(c.numbers.tolist())) == 2 and len(c) >= 4),
        ("", lambda _: True),
    ],
)
def test_filters(server: Server, tmp_path: Path, query: str, fits) -> None:  # type: ignore[no-untyped-def]
    fetched = fetch_optimade(tmp_path / "d.parquet", server.endpoint, query=query, skip_bad=True)
    truth = crystals()
    expected = {name for name, crystal in zip(truth.ids, truth, strict=True) if fits(crystal)}
    assert set(fetched.dataset.ids) == expected != set()


def test_killed_and_resumed(server: Server, tmp_path: Path) -> None:
    """A fetch killed at any moment asks for no page again, but for the one that was under way."""
    code = (
        "from crystallite.sources import optimade\n"
        "optimade.PAGE = 3\n"
        f"optimade.fetch_optimade('d.parquet', '{server.endpoint}', skip_bad=True)\n"
    )
    asked = Counter(requests_of_killed(code, tmp_path / "d.parquet", server, (5, 20, 35)))
    assert len(asked) == 45
    assert sum(asked.values()) - len(asked) <= 3
    assert len(Dataset.read(tmp_path / "d.parquet")) == 130
    assert not (tmp_path / "d.journal").exists()
