"""Write a file of each kind that this version makes, and what is in it, to tests/data/releases.

    python scripts/make_release_corpus.py

Run it once for each release: every later version must open these files (tests/project/test_releases.py).
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

import crystallite

RELEASES = Path(__file__).parents[1] / "tests" / "data" / "releases"
TINY = {"epochs": 2, "batch_size": 32, "atom_width": 8, "hidden_width": 8, "n_convolutions": 2}
TARGETS = ["bulk_modulus:log10", "poisson_ratio"]
SPLIT = "50/40/10"
STAMP = (2026, 1, 1, 0, 0, 0)  # of all files, so that the same files make the same archive


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CRYSTALLITE_CACHE"] = str(folder / "graphs")
        write_files(folder)
        target = RELEASES / f"{crystallite.__version__}.zip"
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in sorted(folder.rglob("*")):
                is_state = path.name == "last.safetensors" and path.parent.name != "run"
                if path.is_file() and path.suffix not in (".png", ".lock", ".svg") and not is_state:
                    entry = zipfile.ZipInfo(str(path.relative_to(folder)), STAMP)
                    archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
        print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


def write_files(folder: Path) -> None:
    """Write a dataset, its graphs, runs of all kinds, a model in one file, a search, and expected.json."""
    from crystallite.models.bundle import write_bundle
    from crystallite.models.loading import load_bundle

    data = crystallite.read_dataset("elastic").select(range(120))
    data = data.with_property("stiff", data.values("bulk_modulus") > 100)
    data.write(folder / "dataset.parquet")
    path = folder / "dataset.parquet"
    common = {"split": SPLIT, "progress": False, **TINY}
    crystallite.train(path, TARGETS, out=folder / "run", **common)
    crystallite.train(path, "stiff", task="classification", out=folder / "classes", **common)
    crystallite.train_ensemble(path, TARGETS, 2, out=folder / "ensemble", **common)
    write_bundle(folder / "model.safetensors", load_bundle(folder / "ensemble"), half=True)
    found = crystallite.tune(path, "poisson_ratio", out=folder / "search", trials=2, epochs=1)
    expected = {
        name: {
            column: values.tolist()
            for column, values in crystallite.predict(folder / name, data, interval=80, neighbours=1).items()
        }
        for name in ("run", "classes", "ensemble", "model.safetensors")
    }
    expected["search"] = {"trial": found.trial, "best": found.best}
    rounded = json.loads(json.dumps(expected), parse_float=lambda text: float(np.float32(text)))
    (folder / "expected.json").write_text(json.dumps(rounded))


if __name__ == "__main__":
    main()
