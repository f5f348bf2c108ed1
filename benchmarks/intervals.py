"""How often prediction intervals hold the truth: on many random splits, and on crystals of other kinds.

    OMP_NUM_THREADS=1 python benchmarks/intervals.py OUT

Trains ensembles of two on `formation`, 25 epochs each, some half an hour on one thread. OUT gets the runs,
splits.csv, shifts.csv and distance.png; run the command again after an interruption.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import crystallite
from crystallite.crystals.elements import symbols
from crystallite.evaluation.conformal import HeldOut, Intervals
from crystallite.evaluation.metrics import area_under_curve
from crystallite.graphs.store import dataset_graphs
from crystallite.materials.groups import material_groups
from crystallite.models.loading import load_model
from crystallite.models.reliability import spreads_of

DATA, TARGET = "formation", "formation_energy_per_atom"
SETTINGS = {"epochs": 25, "members": 2}
LEVELS = (0.5, 0.68, 0.9, 0.95)
SIGNALS = {"none": (), "spread": ("spread",), "distance": ("distance",), "both": ("spread", "distance")}
ELEMENTS = ("O", "F", "S", "Fe", "Al", "Si", "Li", "Au")
Rows = NDArray[np.int64]


def shifts(dataset: crystallite.Dataset, embedding: NDArray[np.float32]) -> Iterator[tuple[str, Rows]]:
    """Yield the name of each shift and the crystals that are only tested."""
    numbers = [set(dataset.crystal(row).numbers.tolist()) for row in range(len(dataset))]
    for symbol in ELEMENTS:
        number = symbols().index(symbol)
        yield f"element {symbol}", np.array([row for row, one in enumerate(numbers) if number in one])
    for k, rows in enumerate(clusters(embedding, 5)):
        yield f"cluster {k + 1}", rows
    n_atoms = np.array([len(dataset.crystal(row).numbers) for row in range(len(dataset))])
    yield "more than 20 atoms", np.flatnonzero(n_atoms > 20)
    for name, n in (("binary", 2), ("ternary", 3), ("quaternary", 4)):
        yield name, np.array([row for row, one in enumerate(numbers) if len(one) == n])


def clusters(embedding: NDArray[np.float32], n: int) -> list[Rows]:
    """Return the rows of each of n clusters (k-means from the points furthest apart)."""
    x = (embedding - embedding.mean(axis=0)) / np.maximum(embedding.std(axis=0), 1e-9)
    centers = [x[np.argmax(np.linalg.norm(x, axis=1))]]
    while len(centers) < n:
        distance = np.min([np.linalg.norm(x - center, axis=1) for center in centers], axis=0)
        centers.append(x[np.argsort(distance)[int(0.98 * len(x))]])
    for _ in range(50):
        nearest = np.argmin([np.linalg.norm(x - center, axis=1) for center in centers], axis=0)
        centers = [x[nearest == k].mean(axis=0) if (nearest == k).any() else centers[k] for k in range(n)]
    return [np.flatnonzero(nearest == k) for k in range(n)]


def trained(dataset: crystallite.Dataset, test: Rows, folder: Path) -> tuple[Rows, Rows]:
    """Train without the crystals `test` and their materials; return the rows of validation and test."""
    groups = material_groups(dataset.ids, dataset_graphs(dataset, crystallite.GraphConfig()))
    others = np.flatnonzero(~np.isin(groups, groups[test]))
    known = np.random.default_rng(0).permutation(np.unique(groups[others]))
    held_out = np.isin(groups, known[: len(known) // 5])
    sets = np.full(len(dataset), "", "<U10")
    sets[others], sets[held_out], sets[test] = "train", "validation", "test"
    if not (folder / "summary.json").exists():
        crystallite.train_ensemble(
            dataset.with_property("set", sets),
            TARGET,
            split_column="set",
            out=folder,
            progress=False,
            **SETTINGS,
        )
    return np.flatnonzero(held_out), test


class Predicted:
    """Errors, spreads and distances of crystals, which no member was trained on."""

    def __init__(self, dataset: crystallite.Dataset, folder: Path, rows: Rows) -> None:
        predictor = load_model(folder)
        assert predictor.reliability is not None
        evaluated = predictor.evaluate(predictor.graphs(dataset[rows]))
        assert evaluated.embedding is not None
        self.embedding, truth = evaluated.embedding, dataset.values(TARGET)[rows]
        error = np.abs(truth - evaluated.members.mean(axis=0)[:, 0])
        spread = spreads_of(predictor.model.targets, evaluated.members)[:, 0]
        distance = predictor.reliability.reference.distances(evaluated.embedding)
        self.held_out = HeldOut(error, spread, distance)
        self.novelty = predictor.reliability.novelty(distance)

    def part(self, rows: Rows) -> HeldOut:
        return HeldOut(*(column[rows] for column in self.held_out))


def covered(intervals: Intervals, new: HeldOut) -> list[float]:
    """Return coverage and mean width (2 x half-width) at each level."""
    figures: list[float] = []
    for level in LEVELS:
        half = intervals.half_width(level, new.spread, new.distance)
        figures += [float((new.error <= half).mean()), float(2 * np.mean(half))]
    return figures


def random_splits(predicted: Predicted, path: Path, n_splits: int = 200) -> None:
    """Write coverage and width of each choice of signals, mean and deviation over random halves."""
    rng, n = np.random.default_rng(0), len(predicted.held_out.error)
    halves = [np.array_split(rng.permutation(n), 2) for _ in range(n_splits)]
    rows = []
    for name, signals in SIGNALS.items():
        found = [
            covered(Intervals.fit(predicted.part(one), signals), predicted.part(two)) for one, two in halves
        ]
        for what, figures in (("mean", np.mean(found, axis=0)), ("deviation", np.std(found, axis=0))):
            rows.append([name, what, *(f"{figure:.4f}" for figure in figures)])
    write(path, ["signals", "over splits", *HEAD], rows)


HEAD = [f"{what} {level:g}" for level in LEVELS for what in ("coverage", "width")]


def write(path: Path, head: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    print(path, *([head, *rows]), sep="\n", flush=True)


def draw(predicted: Predicted, path: Path) -> None:
    """Draw the error against the distance to the training data: crystals, and means of ten groups."""
    from matplotlib.figure import Figure

    error, distance = predicted.held_out.error, predicted.held_out.distance
    groups = np.array_split(np.argsort(distance), 10)
    means = [[column[group].mean() for group in groups] for column in (distance, error)]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(distance, error, ".", markersize=3, alpha=0.4, label="crystals", rasterized=True)
    axes.plot(*means, "o-", label="means of tenths")
    axes.set(yscale="log", ylim=(1e-3, None), xlabel="distance to the training data")
    axes.set(ylabel="absolute error (eV/atom)")
    axes.legend()
    figure.savefig(path, dpi=150)


def alarm(new: HeldOut) -> list[str]:
    """Return the AUC with which each signal tells errors above the 90th percentile."""
    large = (new.error > np.quantile(new.error, 0.9)).astype(float)
    ranks = [np.argsort(np.argsort(signal)) for signal in (new.distance, new.spread)]
    return [f"{area_under_curve(large, rank.astype(float)):.3f}" for rank in (*ranks, ranks[0] + ranks[1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of runs and tables")
    out = parser.parse_args().out
    dataset = crystallite.read_dataset(DATA)
    fifth = np.random.default_rng(1).permutation(len(dataset))[: len(dataset) // 5]
    held_out, test = trained(dataset, fifth, out / "random")
    predicted = Predicted(dataset, out / "random", np.concatenate([held_out, test]))
    random_splits(predicted, out / "splits.csv")
    draw(predicted, out / "distance.png")
    everything = Predicted(dataset, out / "random", np.arange(len(dataset)))
    rows = []
    for name, only_tested in [("random", fifth), *shifts(dataset, everything.embedding)]:
        folder = out / name.replace(" ", "-")
        held_out, test = trained(dataset, only_tested, folder)
        new = Predicted(dataset, folder, test)
        intervals = Intervals.fit(Predicted(dataset, folder, held_out).held_out)
        mae, novelty = new.held_out.error.mean(), np.median(new.novelty)
        figures = [f"{figure:.4f}" for figure in covered(intervals, new.held_out)]
        rows.append([name, str(len(test)), f"{mae:.4f}", f"{novelty:.0f}", *alarm(new.held_out), *figures])
        head = [
            "tested",
            "crystals",
            "MAE",
            "median novelty",
            "AUC distance",
            "AUC spread",
            "AUC both",
            *HEAD,
        ]
        write(out / "shifts.csv", head, rows)


if __name__ == "__main__":
    main()
