"""Which way to learn from few crystals: test errors of each way, in the same five folds.

    OMP_NUM_THREADS=1 python benchmarks/few_crystals.py [--out few.csv] [--figure few.svg]

Ways: a network from random weights, a support vector machine on descriptors, the mean of both, and what the
recipe auto takes of these by the validation error. Five of ten folds are tested, every other one, so that
four fifths of the crystals train; the next fold validates. Fine-tuning is measured by transfer.py: ready
models know crystals of the built-in sets. Rows are kept in the CSV, so an interrupted run can be resumed.
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
from crystallite.experiments.automatic import KERNEL, MEAN, NETWORK, choice, validation_errors
from crystallite.experiments.ensembles import Trained
from crystallite.runs.folder import RunConfig
from crystallite.training.run_split import read_split

WAYS = ("network", "small", "mean of both", "auto")
COLUMNS = ["data", "target", "crystals", "fold", "way", "test error", "seconds"]
FOLDS, TESTED = 10, (1, 3, 5, 7, 9)  # the folds, and those that are tested


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


def measured(case: Case, fold: int) -> dict[str, tuple[int, float, float]]:
    """Return for each way the number of training crystals, the test error and CPU seconds."""
    data = Dataset.read(case.data)
    name, _, transform = case.target.partition(":")
    settings: dict[str, Any] = {"split": f"fold {fold} of {FOLDS}"}
    if case.limit:
        settings["train_limit"] = case.limit
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        network, of_network = trained(folder / NETWORK, data, case.target, **settings)
        small, of_small = trained(folder / KERNEL, data, case.target, recipe="small", **settings)
        config = RunConfig.read(folder / NETWORK)
        split = read_split(folder / NETWORK, data.ids, config.data)
        done = Trained(split, {NETWORK: network.summary, KERNEL: small.summary})
        taken = choice(validation_errors(folder, data, config, done))
        test = data.select(split.test)
        values = {NETWORK: network.predict(test), KERNEL: small.predict(test)}
    values[MEAN] = np.mean(list(values.values()), axis=0)
    scale = np.log10 if transform else np.asarray
    truth = scale(test.values(name))
    errors = {model: float(np.nanmean(np.abs(scale(some) - truth))) for model, some in values.items()}
    both = of_network + of_small
    found = {"network": (NETWORK, of_network), "small": (KERNEL, of_small), "mean of both": (MEAN, both)}
    found["auto"] = taken, both
    return {way: (len(split.train), errors[model], seconds) for way, (model, seconds) in found.items()}


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
    """Print errors with standard errors, and CPU seconds, means over folds."""
    print("| data | target | training crystals | " + " | ".join(WAYS) + " |")
    print("|" + "---|" * (3 + len(WAYS)))
    for case in CASES:
        mine = [row for row in rows if row[:2] == [case.data, case.target] and _is_of(row, case)]
        if mine:
            cells = []
            for way in WAYS:
                errors = [float(row[5]) for row in mine if row[4] == way]
                seconds = np.mean([float(row[6]) for row in mine if row[4] == way])
                cells.append(f"{np.mean(errors):.4f} ± {standard_error(errors):.4f} ({seconds:.0f} s)")
            n_train = max(int(row[2]) for row in mine)
            print(f"| {case.data} | {case.target} | {n_train:,} | " + " | ".join(cells) + " |")


def standard_error(values: list[float]) -> float:
    """Return that of the mean, as of independent values."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _is_of(row: list[str], case: Case) -> bool:
    sizes = sorted(other.limit for other in CASES if other[:2] == case[:2] and other.limit)
    n_train = int(row[2])
    return n_train == case.limit if case.limit else n_train not in sizes


def draw(rows: list[list[str]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for way, line in zip(WAYS, ("o-", "s-", "^-", "k:"), strict=True):
        points = []
        for case in CASES:
            mine = [row for row in rows if row[0] == case.data == "formation" and _is_of(row, case)]
            errors = [float(row[5]) for row in mine if row[4] == way]
            if errors:
                size = np.mean([int(row[2]) for row in mine])
                points.append((size, np.mean(errors), standard_error(errors)))
        sizes, means, widths = np.array(points).T
        axes.errorbar(sizes, means, widths, fmt=line, label=way, capsize=2)
    axes.set(xscale="log", yscale="log", xlabel="training crystals", ylabel="test MAE (eV/atom)")
    axes.set_title("Formation energy", fontsize=10)
    axes.legend(frameon=False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("few_crystals.csv"))
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    for fold in TESTED:
        for case in CASES:
            done = [row for row in read_rows(options.out) if row[:2] == [case.data, case.target]]
            if any(int(row[3]) == fold and _is_of(row, case) for row in done):
                continue
            found = measured(case, fold)
            rows = [
                [case.data, case.target, n_train, fold, way, f"{error:.5f}", f"{seconds:.1f}"]
                for way, (n_train, error, seconds) in found.items()
            ]
            add(options.out, rows)
            print(*rows, sep="\n", flush=True)
    print_table(read_rows(options.out))
    if options.figure:
        draw(read_rows(options.out), options.figure)


if __name__ == "__main__":
    main()
