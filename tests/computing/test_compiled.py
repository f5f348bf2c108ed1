"""Compiled loops: what they need, where they are kept, when they are compiled anew and what is said of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from golden_files import GOLDEN

import crystallite

PACKAGE = Path(crystallite.__file__).parent
MODEL = GOLDEN / "formation-energy-per-atom.pth.tar"

# Graphs with both rules for ties, batches of them, a step of training and a prediction.
EVERYTHING = f"""
import sys
sys.modules["scipy"] = None  # as if it were not installed
import numpy as np
import crystallite
from crystallite.graphs.packed import build_graphs

data = crystallite.Dataset.read("elastic").select(range(40))
build_graphs(data.arrays, crystallite.GraphConfig(ties="first"))
run = crystallite.train(data, "log10_bulk_modulus", epochs=1, out=sys.argv[1], progress=False)
assert np.isfinite(run.predict(data.crystal(0))).all()
assert len(crystallite.load_model({str(MODEL)!r}).predict(data)) == 40

from crystallite.crystals import crystal, neighbors, overlaps
from crystallite.crystals.cif import images
from crystallite.graphs import packed, reduction
from crystallite.network import kernels
for module in (crystal, neighbors, overlaps, images, packed, reduction, kernels):
    for name, loop in vars(module).items():
        if hasattr(loop, "signatures") and len(loop.signatures) > 1:
            print(module.__name__, name, len(loop.signatures))
"""


def python(program: str, *words: object, **environment: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_from_an_empty_cache_without_scipy_and_from_a_full_one(tmp_path: Path) -> None:
    """No loop needs SciPy or is compiled for two kinds of arrays; waiting is explained, once."""
    settings = {"NUMBA_CACHE_DIR": tmp_path / "kernels", "NUMBA_THREADING_LAYER": "tbb"}
    first = python(EVERYTHING, tmp_path / "first", **settings)
    assert first.stdout == ""
    assert first.stderr.count("compiling for this CPU (the first time only)") == 1
    assert "compiling" not in python(EVERYTHING, tmp_path / "second", **settings).stderr


def small_package(folder: Path) -> Path:
    """A package with a loop that calls another module's."""
    package = folder / "crystallite"
    (package / "computing").mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "computing/__init__.py", "computing/compiled.py"):
        shutil.copy(PACKAGE / name, package / name)
    (package / "outer.py").write_text(
        "from .computing.compiled import compiled\nfrom .inner import inner\n"
        "@compiled\ndef outer():\n    return 10 * inner()\n"
        "print(outer(), sum(outer.stats.cache_hits.values()))\n"
    )
    write_inner(package, 1)
    return package


def write_inner(package: Path, value: int) -> None:
    """The file of the called loop; its size and time stay the same."""
    path = package / "inner.py"
    path.write_text(
        f"from .computing.compiled import compiled\n@compiled\ndef inner():\n    return {value}\n"
    )
    os.utime(path, (1e9, 1e9))
    shutil.rmtree(package / "__pycache__" / "inner.pyc", ignore_errors=True)


def run_outer(package: Path, **environment: object) -> list[int]:
    """What the outer loop returns, and how often it came from the cache."""
    settings = {
        "PYTHONPATH": package.parent,
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": "",
        **environment,
    }
    return [int(word) for word in python("import crystallite.outer", **settings).stdout.split()]


def test_a_loop_is_compiled_anew_when_one_that_it_calls_was_edited(tmp_path: Path) -> None:
    package = small_package(tmp_path)
    assert [run_outer(package), run_outer(package)] == [[10, 0], [10, 1]]
    files = sorted((package / "__pycache__").iterdir())
    write_inner(package, 2)
    assert [run_outer(package), run_outer(package)] == [[20, 0], [20, 1]]
    assert sorted((package / "__pycache__").iterdir()) == files  # nothing old is left behind


def test_where_code_is_kept(tmp_path: Path) -> None:
    """Next to the code; where nothing can be written, in the user's cache; else nowhere, and it works."""
    package = small_package(tmp_path)
    own, chosen, file = tmp_path / "own", tmp_path / "chosen", tmp_path / "file"
    file.touch()
    assert run_outer(package, NUMBA_CACHE_DIR=chosen) == [10, 0]
    assert list(chosen.rglob("*.nbi"))
    assert not (package / "__pycache__").exists()
    (package / "__pycache__").touch()  # no folder can be made here, not even by root
    assert run_outer(package, XDG_CACHE_HOME=own) == [10, 0]
    assert run_outer(package, XDG_CACHE_HOME=own) == [10, 1]
    for settings in ({"XDG_CACHE_HOME": file}, {"NUMBA_CACHE_DIR": file}):
        assert [run_outer(package, **settings), run_outer(package, **settings)] == [[10, 0], [10, 0]]


def test_compiling_cannot_be_switched_off() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "crystallite", "predict", MODEL, "elastic"],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: NUMBA_DISABLE_JIT is set, but loops must be compiled: unset it\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_predicts_after_its_parent() -> None:
    program = f"""
from multiprocessing import get_context
import torch, crystallite
torch.set_num_threads(2)
data = crystallite.Dataset.read("elastic")
model = crystallite.load_model({str(MODEL)!r})
def predicted(size):
    return model.predict(data.select(range(size))).sum()
expected = [predicted(400), predicted(300)]
with get_context("fork").Pool(2) as pool:
    found = pool.map_async(predicted, [400, 300]).get(60)
assert all(abs(a - b) < 1e-3 for a, b in zip(found, expected)), (found, expected)
"""
    python(program)
