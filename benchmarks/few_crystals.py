"""Which way to learn from few crystals: test errors of each way, on the same splits.

    OMP_NUM_THREADS=1 python benchmarks/few_crystals.py [--seeds 3] [--out few.csv] [--figure few.svg]

Ways: a network from random weights, a support vector machine on descriptors, and the mean of both. Rows are
kept in the CSV, so an interrupted run can be resumed.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import crystallite
from crystallite.datasets.dataset import Dataset

WAYS = ("network", "small", "mean of both")
COLUMNS = ["data", "target", "crystals", "seed", "way", "test error", "seconds"]


class Case(NamedTuple):
    """A dataset, a target and how many training crystals there are at most."""

    data: str
    target: str
    limit: int = 0


CASES = [
    Case("elastic", "log10_bulk_modulus"),
    Case("elastic", "log10_shear_modulus"),
    Case("dielectric", "refractive_index:log10"),
    *(Case("formation", "formation_energy_per_atom", limit) for limit in (100, 300, 1000)),
    Case("formation", "formation_energy_per_atom"),
]


def trained(folder: Path, data: Dataset, target: str, **settings: Any) -> tuple[Any, float]:
    """Return a training run and its CPU seconds."""
    started = time.process_time()
    run = crystallite.train(data, target, out=folder, progress=False, **settings)
    return run, time.process_time() - started


def sets_of(folder: Path) -> dict[str, list[str]]:
    with (folder / "split.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        part: [row["material_id"] for row in rows if row["split"] == part]
        for part in ("train", "validation", "test")
    }


def measured(case: Case, seed: int) -> dict[str, tuple[int, float, float]]:
    """Return for each way the number of training crystals, the test error and CPU seconds."""
    data = Dataset.read(case.data)
    name, _, transform = case.target.partition(":")
    found: dict[str, tuple[int, float, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        limit = {"train_limit": case.limit} if case.limit else {}
        network, of_network = trained(folder / "network", data, case.target, seed=seed, **limit)
        small, of_small = trained(folder / "small", data, case.target, recipe="small", seed=seed, **limit)
        sets = sets_of(folder / "network")
        assert sets == sets_of(folder / "small")
        test = data.select([data.ids.index(one) for one in sets["test"]])
        scale = np.log10 if transform else np.asarray
        truth = scale(test.values(name))
        network_values, small_values = (scale(run.predict(test)) for run in (network, small))
        both = (network_values + small_values) / 2
        for way, values, seconds in (
            ("network", network_values, of_network),
            ("small", small_values, of_small),
            ("mean of both", both, of_network + of_small),
        ):
            found[way] = len(sets["train"]), float(np.nanmean(np.abs(values - truth))), seconds
    return found


def read_rows(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def add(path: Path, rows: list[list[Any]]) -> None:
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        if is_new:
            table.writerow(COLUMNS)
        table.writerows(rows)


def print_table(rows: list[list[str]]) -> None:
    """Print errors and CPU seconds, means over seeds."""
    print("| data | target | training crystals | " + " | ".join(WAYS) + " |")
    print("|" + "---|" * (3 + len(WAYS)))
    for case in CASES:
        mine = [row for row in rows if row[:2] == [case.data, case.target] and _is_of(row, case)]
        if mine:
            cells = []
            for way in WAYS:
                errors = [float(row[5]) for row in mine if row[4] == way]
                seconds = np.mean([float(row[6]) for row in mine if row[4] == way])
                cells.append(f"{np.mean(errors):.4f} ({seconds:.0f} s)")
            n_train = max(int(row[2]) for row in mine)
            print(f"| {case.data} | {case.target} | {n_train:,} | " + " | ".join(cells) + " |")


def _is_of(row: list[str], case: Case) -> bool:
    sizes = sorted(other.limit for other in CASES if other[:2] == case[:2] and other.limit)
    n_train = int(row[2])
    return n_train == case.limit if case.limit else n_train not in sizes


def draw(rows: list[list[str]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for way in WAYS:
        mine = [row for row in rows if row[0] == "formation" and row[4] == way]
        sizes = sorted({int(row[2]) for row in mine})
        errors = [np.mean([float(row[5]) for row in mine if int(row[2]) == size]) for size in sizes]
        axes.plot(sizes, errors, "o-", label=way)
    axes.set(xscale="log", yscale="log", xlabel="training crystals", ylabel="test MAE (eV/atom)")
    axes.set_title("Formation energy", fontsize=10)
    axes.legend(frameon=False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("few_crystals.csv"))
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    for seed in range(options.seeds):
        for case in CASES:
            done = [row for row in read_rows(options.out) if row[:2] == [case.data, case.target]]
            if any(int(row[3]) == seed and _is_of(row, case) for row in done):
                continue
            found = measured(case, seed)
            rows = [
                [case.data, case.target, n_train, seed, way, f"{error:.5f}", f"{seconds:.1f}"]
                for way, (n_train, error, seconds) in found.items()
            ]
            add(options.out, rows)
            print(*rows, sep="\n", flush=True)
    print_table(read_rows(options.out))
    if options.figure:
        draw(read_rows(options.out), options.figure)


if __name__ == "__main__":
    main()
