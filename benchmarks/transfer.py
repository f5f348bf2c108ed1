"""Fine-tuning a ready model against learning anew, on crystals that the ready model has not seen.

    OMP_NUM_THREADS=1 python benchmarks/transfer.py moduli.parquet [--limits 100 300 1000]

`moduli.parquet` is one of the datasets that scripts/make_models.py writes; its column `set` is the split of
the ready models, so that none of its test crystals was among their training crystals. Prints test MAE in
log10(GPa).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import crystallite
from crystallite.datasets.dataset import Dataset

TARGET, BASE = "bulk_modulus", "formation_energy"
WAYS: dict[str, dict[str, Any]] = {
    "network anew": {},
    "small": {"recipe": "small"},
    "fine-tuned, 100 epochs": {"start_from": BASE},
    "fine-tuned, 50 epochs": {"start_from": BASE, "epochs": 50},
    "fine-tuned, rate 0.001": {"start_from": BASE, "learning_rate": 0.001},
}
MEANS = (("network anew", "small"), ("fine-tuned, 100 epochs", "small"))


def measure(path: Path, limit: int) -> None:
    """Train every way on `limit` crystals (0: all) and print its error."""
    data = Dataset.read(path)
    tested = np.array(data.table["set"].to_pylist()) == "test"
    test = data.select(np.flatnonzero(tested).tolist())
    truth = np.log10(test.values(TARGET))
    settings: dict[str, Any] = {"split_column": "set", "progress": False}
    if limit:
        settings["train_limit"] = limit
    predicted = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (way, extra) in enumerate(WAYS.items()):
            run = crystallite.train(
                data, f"{TARGET}:log10", out=Path(folder) / str(number), **settings, **extra
            )
            predicted[way] = np.log10(run.predict(test))
    for a, b in MEANS:
        predicted[f"mean of {a} and {b}"] = (predicted[a] + predicted[b]) / 2
    for way, values in predicted.items():
        print(f"{limit or 'all':>5}  {way:45} {np.nanmean(np.abs(values - truth)):.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("moduli", type=Path)
    parser.add_argument("--limits", type=int, nargs="+", default=[100, 300, 1000, 0])
    options = parser.parse_args()
    for limit in options.limits:
        measure(options.moduli, limit)


if __name__ == "__main__":
    main()
