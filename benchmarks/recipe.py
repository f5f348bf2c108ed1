"""What each choice of the `modern` recipe buys: validation error with one choice changed at a time.

    python benchmarks/recipe.py [--seeds 3] [--epochs 100] [--out recipe.csv]

Every seed has its own split and its own initial weights; a variant is compared with the recipe on the same
seeds. The test set is never looked at. Rows are kept in the CSV, so an interrupted run can be resumed.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np

import crystallite

TASKS = {"formation": "formation_energy_per_atom", "elastic": "log10_bulk_modulus"}
GATED: dict[str, object] = {  # the article's network, with what suits it
    "convolution": "gated",
    "angles": "none",
    "n_convolutions": 3,
    "batch_size": 256,
    "learning_rate": 0.01,
}
VARIANTS: dict[str, dict[str, object]] = {
    "modern recipe": {},
    "no averaging of weights": {"averaging": 0.0},
    "slower averaging, 0.995": {"averaging": 0.995},
    "learning rate 0.002": {"learning_rate": 0.002},
    "learning rate 0.006": {"learning_rate": 0.006},
    "batch 128": {"batch_size": 128},
    "batch 32": {"batch_size": 32},
    "mean squared error": {"loss": "mse"},
    "Huber loss": {"loss": "huber"},
    "constant rate 0.001": {"schedule": "constant", "learning_rate": 0.001},
    "warm-up over a tenth": {"warmup": 0.1},
    "no weight decay": {"weight_decay": 0.0},
    "SGD with momentum, rate 0.1": {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0},
    "weight decay 0.1": {"weight_decay": 0.1},
    "3 convolutions": {"n_convolutions": 3},
    "5 convolutions": {"n_convolutions": 5},
    "edges 64 wide": {"edge_width": 64},
    "atoms 128 wide": {"atom_width": 128},
    "no angles": {"angles": "none"},
    "3 gated convolutions, batch 256, rate 0.01": GATED,
    "paper recipe": {"recipe": "paper"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("recipe.csv"))
    options = parser.parse_args()
    errors = read_rows(options.out)
    for seed in range(options.seeds):
        for name, settings in VARIANTS.items():
            for data, target in TASKS.items():
                if (data, name, seed) not in errors:
                    error = validation_error(data, target, settings, seed, options.epochs)
                    errors[data, name, seed] = error
                    with options.out.open("a", newline="") as file:
                        csv.writer(file).writerow([data, name, seed, options.epochs, error])
    print_table(errors, options.seeds)


def validation_error(data: str, target: str, settings: dict[str, object], seed: int, epochs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        run = crystallite.train(
            data, target, out=Path(folder) / "run", seed=seed, epochs=epochs, progress=False, **settings
        )
        return float(run.summary["targets"][target]["validation_mae"])


def read_rows(path: Path) -> dict[tuple[str, str, int], float]:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {(row[0], row[1], int(row[2])): float(row[4]) for row in csv.reader(file)}


def print_table(errors: dict[tuple[str, str, int], float], n_seeds: int) -> None:
    print(f"{'validation MAE, mean of seeds':32}" + "".join(f"{data:>24}" for data in TASKS))
    for name in VARIANTS:
        cells = ""
        for data in TASKS:
            ours = np.array([errors[data, name, seed] for seed in range(n_seeds)])
            base = np.array([errors[data, "modern recipe", seed] for seed in range(n_seeds)])
            cells += f"{ours.mean():14.4f} ({100 * (ours / base).mean() - 100:+5.1f} %)"
        print(f"{name:32}{cells}")


if __name__ == "__main__":
    main()
