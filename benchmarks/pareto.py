"""Test error against CPU time of training, for both networks: a table and a figure.

    OMP_NUM_THREADS=1 python benchmarks/pareto.py [--out pareto.csv] [--figure pareto.svg]

Trains on `formation` for more and more epochs, on one split; one-cycle schedules end with their training run,
so each length is a run of its own. Rows are kept in the CSV, so an interrupted run can be resumed.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path

from recipe import GATED

import crystallite

DATA, TARGET = "formation", "formation_energy_per_atom"
NETWORKS: dict[str, tuple[dict[str, object], tuple[int, ...]]] = {
    "gated": (GATED, (15, 30, 60, 100, 200)),
    "edge-updating": ({}, (8, 15, 30, 60, 100)),
}
COLUMNS = ["network", "epochs", "CPU seconds", "validation MAE", "test MAE"]


def measured(settings: dict[str, object], epochs: int) -> tuple[float, float, float]:
    """Return CPU seconds of a training run, and its errors in eV/atom."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        run = crystallite.train(
            DATA, TARGET, out=Path(folder) / "run", epochs=epochs, progress=False, **settings
        )
        seconds = time.process_time() - started
    figures = run.summary["targets"][TARGET]
    return seconds, figures["validation_mae"], figures["test_mae"]


def read_rows(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def draw(rows: list[list[str]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for network in NETWORKS:
        points = [(float(row[2]), float(row[4]), row[1]) for row in rows if row[0] == network]
        seconds, errors, epochs = zip(*sorted(points), strict=True)
        axes.plot(seconds, errors, "o-", label=network)
        for place in zip(epochs, seconds, errors, strict=True):
            axes.annotate(place[0], place[1:], textcoords="offset points", xytext=(4, 4), fontsize=8)
    axes.set(xscale="log", xlabel="CPU time of training (s)", ylabel="test MAE (eV/atom)")
    axes.set_title("Formation energy, 3,150 training crystals; numbers are epochs", fontsize=10)
    axes.legend()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("pareto.csv"))
    parser.add_argument("--figure", type=Path, default=Path("pareto.svg"))
    options = parser.parse_args()
    for settings, _ in NETWORKS.values():
        measured(settings, 1)  # compiles, builds and keeps the graphs
    rows = read_rows(options.out)
    for network, (settings, lengths) in NETWORKS.items():
        for epochs in lengths:
            if [network, str(epochs)] not in [row[:2] for row in rows]:
                found = measured(settings, epochs)
                rows.append([network, str(epochs), f"{found[0]:.1f}", f"{found[1]:.4f}", f"{found[2]:.4f}"])
                with options.out.open("w", newline="") as file:
                    csv.writer(file).writerows([COLUMNS, *rows])
                print(*rows[-1], flush=True)
    draw(rows, options.figure)


if __name__ == "__main__":
    main()
