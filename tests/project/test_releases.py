"""Files of every release are opened by this version, with the numbers they gave.

data/releases/VERSION.zip: written by scripts/make_release_corpus.py of that version. Runs of 0.1.0 are in
training/test_older_runs.py.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pandas.api.types import is_numeric_dtype

import crystallite
from crystallite.graphs.packed import build_graphs
from crystallite.graphs.store import dataset_graphs

RELEASES = sorted((Path(__file__).parents[1] / "data" / "releases").glob("*.zip"))


@pytest.fixture(params=RELEASES, ids=lambda path: path.stem)
def release(request, tmp_path: Path) -> Path:
    with zipfile.ZipFile(request.param) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def test_there_is_a_release() -> None:
    assert RELEASES


@pytest.mark.parametrize("name", ["run", "classes", "ensemble", "model.safetensors"])
def test_models_say_what_they_said(name: str, release: Path) -> None:
    expected = json.loads((release / "expected.json").read_text())[name]
    frame = crystallite.predict(
        release / name, crystallite.Dataset.read(release / "dataset.parquet"), interval=80, neighbours=1
    )
    assert set(expected) <= set(frame.columns)
    for column, values in expected.items():
        if not is_numeric_dtype(frame[column]):
            assert frame[column].tolist() == values
        else:
            # Written as float32; other CPUs add in another order. A crystal's rank among 48 held-out ones may
            # move by one where two are as far as each other.
            atol = 100 / 48 if column == "novelty" else 1e-4
            np.testing.assert_allclose(frame[column], values, rtol=2e-4, atol=atol, err_msg=column)


def test_runs_are_resumed(release: Path) -> None:
    before = json.loads((release / "run" / "summary.json").read_text())
    assert crystallite.resume(release / "run", data=dataset(release), progress=False).summary == before


def test_searches_are_opened(release: Path) -> None:
    pytest.importorskip("optuna")
    expected = json.loads((release / "expected.json").read_text())["search"]
    found = crystallite.tune(
        release / "dataset.parquet", "poisson_ratio", out=release / "search", trials=2, epochs=1
    )
    assert (found.n_finished, found.trial) == (2, expected["trial"])
    assert found.best == pytest.approx(expected["best"], rel=1e-6)


def test_graphs_are_found_in_the_store(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYSTALLITE_CACHE", str(release / "graphs"))

    def build(*arguments, **options):
        raise AssertionError("the graphs are built anew")

    monkeypatch.setattr("crystallite.graphs.store.graph_parts", build)
    stored = dataset_graphs(dataset(release), crystallite.GraphConfig())
    built = build_graphs(dataset(release).arrays, crystallite.GraphConfig())
    assert stored.crystals is not None
    assert built.crystals is not None
    pairs = zip((*stored[:-2], *stored.crystals), (*built[:-2], *built.crystals), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)
    # Other CPUs add in another order, and roots make 1e-7 of what rounding leaves of a zero.
    np.testing.assert_allclose(stored.orders, built.orders, rtol=0, atol=1e-6)


def dataset(release: Path) -> crystallite.Dataset:
    return crystallite.Dataset.read(release / "dataset.parquet")
