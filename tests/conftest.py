"""Fixtures all tests share, and what every test run needs: caches of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from golden_files import GOLDEN
from hypothesis import settings

# Nothing of the user's is read or written: neither graphs nor settings of plots nor downloads. Compiled loops
# stay in the checkout from run to run, as their cache knows when they change.
OWN = Path(tempfile.mkdtemp(prefix="crystallite-tests-"))
for variable in ("CRYSTALLITE_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR"):
    os.environ[variable] = str(OWN / variable.lower())
os.environ["CLEARML_CONFIG_FILE"] = str(OWN / "clearml.conf")
os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / "kernels")

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch loads: tests share the cores
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores already


def pytest_unconfigure() -> None:
    """Remove the caches of this test run."""
    shutil.rmtree(OWN, ignore_errors=True)


# The same examples in every run, as a test that fails now and then helps nobody. To look for new ones:
# HYPOTHESIS_PROFILE=explore pytest tests/network/test_invariance.py
settings.register_profile("default", deadline=None, derandomize=True, max_examples=25, database=None)
settings.register_profile("explore", deadline=None, max_examples=300, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def elastic():
    """The built-in elastic set, 1,181 crystals."""
    from crystallite.datasets.dataset import Dataset

    return Dataset.read("elastic")


@pytest.fixture(scope="session")
def formation():
    """The built-in formation-energy set, 3,938 crystals."""
    from crystallite.datasets.dataset import Dataset

    return Dataset.read("formation")


@pytest.fixture
def energy_model():
    """The published formation-energy model, in its own copy."""
    from crystallite.models.published import load_published

    return load_published(GOLDEN / "formation-energy-per-atom.pth.tar")


@pytest.fixture(scope="session")
def energy_predictor():
    """The published formation-energy model, to predict with; nobody changes it."""
    from crystallite.models.loading import load_model

    return load_model(GOLDEN / "formation-energy-per-atom.pth.tar")


@pytest.fixture(scope="session")
def served_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small run, whose readout of atoms is linear."""
    import training_runs

    import crystallite

    folder = tmp_path_factory.mktemp("runs")
    settings = {name: value for name, value in training_runs.SMALL.items() if name != "hidden_width"}
    data, target = training_runs.energies(120), training_runs.ENERGY
    crystallite.train(data, target, out=folder / "per-atom", readout="per-atom", **settings)
    return folder


@pytest.fixture(scope="session")
def client(served_runs: Path) -> Iterator[Any]:
    """A client of a server with the models of the package and this run."""
    from serving import serving

    from crystallite.serve.settings import ServeSettings

    with serving(ServeSettings(runs=(str(served_runs),))) as client:
        yield client


@pytest.fixture(scope="session")
def energies_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file with the first 120 crystals of the formation-energy set; nobody writes to it."""
    from crystallite.datasets.dataset import Dataset

    path = tmp_path_factory.mktemp("energies") / "energies.parquet"
    Dataset.read("formation").select(range(120)).write(path)
    return path


@pytest.fixture(scope="session")
def moduli_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file with the first 40 crystals of the elastic set; nobody writes to it."""
    from crystallite.datasets.dataset import Dataset

    path = tmp_path_factory.mktemp("moduli") / "moduli.parquet"
    Dataset.read("elastic").select(range(40)).write(path)
    return path
