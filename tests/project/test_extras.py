"""Features whose packages are not installed end in one line that says what to install."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from golden_files import GOLDEN

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.sources.formats import export_dataset

TRAIN = ("train", "elastic", "--target", "log10_bulk_modulus", "--epochs", "1", "--out", "run", "--track")
PUBLISHED = GOLDEN / "formation-energy-per-atom.pth.tar"
SCREEN = ("screen", "band_gap", "elastic", "-o", "screened")
SEARCH = ("tune", "elastic", "--target", "log10_bulk_modulus", "--out", "search")
COMMANDS = [
    ("train", "torch", TRAIN[:-1]),
    ("train", "torch", (*TRAIN[:-1], "--members", "2")),
    ("train", "torch", ("learning-curve", *TRAIN[1:-1])),
    ("train", "torch", SEARCH),
    ("train", "torch", ("predict", str(PUBLISHED), "elastic")),
    ("train", "torch", ("predict", "runs/none", "elastic", "--device", "cuda")),
    ("fetch", "httpx", ("data", "fetch", "mp", "--everything", "-o", "out.parquet")),
    ("fetch", "httpx", ("data", "fetch", "optimade", "oqmd", "-o", "out.parquet")),
    ("fetch", "pooch", ("data", "fetch", "castelli_perovskites", "-o", "out.parquet")),
    ("fetch", "pooch", ("data", "fetch", "published-models", "-o", "models")),
    ("archives", "msgpack", ("data", "import", "cifs.msgpack", "-o", "out.parquet")),
    ("archives", "msgpack", ("data", "export", "elastic", "-o", "cifs2.msgpack")),
    ("ase", "ase", ("data", "import", "crystals.extxyz", "-o", "out.parquet")),
    ("ase", "ase", ("data", "import", "crystals.db", "-o", "out.parquet")),
    ("ase", "ase", ("data", "export", "elastic", "-o", "out.db")),
    *(("serve", name, ("serve",)) for name in ("fastapi", "uvicorn", "prometheus_client", "spglib", "ase")),
    ("screen", "duckdb", (*SCREEN, "--by", "band_gap", "--top", "3")),
    ("screen", "upath", ("screen", "band_gap", "memory://candidates.tar", "-o", "screened")),
    ("ray", "ray", (*SCREEN, "--ray", "auto")),
    ("tune", "optuna", SEARCH),
    ("tune", "psycopg", (*SEARCH, "--storage", "postgresql://localhost/trials")),
    ("tensorboard", "tensorboard", (*TRAIN, "tensorboard")),
    ("mlflow", "mlflow", (*TRAIN, "mlflow")),
    ("mlflow", "sqlalchemy", (*TRAIN, "mlflow")),
    ("clearml", "clearml", (*TRAIN, "clearml")),
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A working folder with a few crystals in each format that needs an extra."""
    few = Dataset.read("elastic").select(range(3))
    for name in ("cifs.msgpack", "crystals.extxyz", "crystals.db"):
        export_dataset(few, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("extra", "package", "words"),
    COMMANDS,
    ids=lambda value: " ".join(value[:4]) if isinstance(value, tuple) else value,
)
def test_a_command_says_what_to_install(extra, package, words, files) -> None:
    before = sorted(files.iterdir())
    program = (
        f"import sys; sys.modules[{package!r}] = None; from crystallite.cli import main; main(sys.argv[1:])"
    )
    environment = {**os.environ, "MP_API_KEY": "k" * 32}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, cwd=files, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    line = rf"Error: .*\b{package}\b.*: pip install 'crystallite\[{extra}\]'\n"
    assert re.fullmatch(line, done.stderr)
    assert sorted(files.iterdir()) == before


def test_a_table_for_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(CrystalliteError, match="needs the package pandas: pip install 'pandas'"):
        Dataset.read("elastic").to_pandas()
