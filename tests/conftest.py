"""Fixtures all tests share, and what every test run needs: a cache of its own, and fresh kernels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch loads: tests share the cores

PACKAGE = Path(__file__).parents[1] / "src" / "crystallite"
COMPILED = ("kernels", "neighbors", "reduction", "graphs")
GOLDEN = Path(__file__).parent / "golden"


def remove_stale_kernels() -> None:
    """Delete numba's cache if a compiled module is newer: it overlooks changes of *called* modules."""
    cached = [path for path in (PACKAGE / "__pycache__").glob("*.nb?") if path.suffix in (".nbi", ".nbc")]
    sources = [PACKAGE / f"{name}.py" for name in COMPILED]
    if cached and max(map(changed, sources)) > min(map(changed, cached)):
        for path in cached:
            path.unlink(missing_ok=True)


def changed(path: Path) -> float:
    """When a file was last changed; another test run may have deleted it meanwhile."""
    return path.stat().st_mtime if path.exists() else float("inf")


if PACKAGE.is_dir() and "PYTEST_XDIST_WORKER" not in os.environ:
    remove_stale_kernels()

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores already

# The same examples in every run, as a test that fails now and then helps nobody. To look for new ones:
# HYPOTHESIS_PROFILE=explore pytest tests/test_invariance.py
settings.register_profile("default", deadline=None, derandomize=True, max_examples=25, database=None)
settings.register_profile("explore", deadline=None, max_examples=300, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep graphs in a temporary folder, never in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRYSTALLITE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def elastic():
    """The built-in elastic set, 1,181 crystals."""
    from crystallite.dataset import Dataset

    return Dataset.read("elastic")


@pytest.fixture(scope="session")
def formation():
    """The built-in formation-energy set, 3,938 crystals."""
    from crystallite.dataset import Dataset

    return Dataset.read("formation")


@pytest.fixture
def energy_model():
    """The published formation-energy model, in its own copy."""
    from crystallite.published import load_published

    return load_published(GOLDEN / "formation-energy-per-atom.pth.tar")
