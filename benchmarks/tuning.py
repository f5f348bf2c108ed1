"""Which sampler and which pruner find a good network soonest: all replayed on one table of training runs.

    python benchmarks/tuning.py table elastic.csv --data elastic  train the whole grid once
    python benchmarks/tuning.py replay elastic.csv                search the table many times with each choice

A replayed trial reads its validation errors and its CPU time from the table, so all choices see the same
training runs, and hundreds of searches train nothing. The table is kept, so filling it can be interrupted and
resumed. The test set is never looked at.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import torch

from crystallite.datasets.dataset import Dataset
from crystallite.training.preparation import prepare
from crystallite.training.run_settings import run_config

TARGETS = {"elastic": "log10_bulk_modulus", "formation": "formation_energy_per_atom"}
TRAIN_LIMIT = {"elastic": 0, "formation": 800}  # 0: all
EPOCHS = 12
GRID: dict[str, list[Any]] = {
    "optimizer": ["adamw", "sgd"],
    "learning_rate": [0.003, 0.01, 0.03, 0.1],
    "batch_size": [64, 256],
    "n_convolutions": [1, 3, 5],
    "atom_width": [32, 64],
    "loss": ["mae", "mse"],
}
SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "TPE, each setting alone": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=False),
    "TPE, multivariate": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True),
}
PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=EPOCHS // 4),
    "median, from the first epoch": lambda: optuna.pruners.MedianPruner(n_startup_trials=5),
    "successive halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=EPOCHS // 4),
    "Hyperband": lambda: optuna.pruners.HyperbandPruner(EPOCHS // 4, EPOCHS),
}
BUDGETS = (5, 10, 20, 40)  # in training runs of mean length without pruning


class Training(NamedTuple):
    """Validation errors and CPU seconds after each epoch; infinite once it has diverged."""

    errors: list[float]
    seconds: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["table", "replay"])
    parser.add_argument("table", type=Path)
    parser.add_argument("--data", choices=TARGETS, default="elastic")
    parser.add_argument("--searches", type=int, default=50, help="of each choice, each with its own seed")
    options = parser.parse_args()
    if options.what == "table":
        fill_table(options.table, options.data)
    else:
        print_replay(read_table(options.table), options.searches)


def fill_table(path: Path, data: str) -> None:
    """Train every combination of the grid that the table does not hold yet."""
    torch.set_num_threads(1)
    dataset, known = Dataset.read(data), read_table(path)
    for values in itertools.product(*GRID.values()):
        if tuple(map(str, values)) in known:
            continue
        training = train(data, dataset, dict(zip(GRID, values, strict=True)))
        with path.open("a", newline="") as file:
            csv.writer(file).writerow([*values, *training.errors, *training.seconds])


def train(data: str, dataset: Dataset, settings: dict[str, Any]) -> Training:
    config = run_config(
        data, dataset, TARGETS[data], epochs=EPOCHS, train_limit=TRAIN_LIMIT[data], **settings
    )
    trainer = prepare(dataset, config)
    errors, seconds, started = [], [], time.process_time()
    for _ in range(EPOCHS):
        try:
            error = trainer.run_epoch()["validation_error"]
        except Exception:  # diverged
            error = None
        errors.append(np.inf if error is None else error)
        seconds.append(time.process_time() - started)
    return Training(errors, seconds)


def read_table(path: Path) -> dict[tuple[str, ...], Training]:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    n = len(GRID)
    numbers = [[float(cell) for cell in row[n:]] for row in rows]
    return {
        tuple(row[:n]): Training(values[:EPOCHS], values[EPOCHS:])
        for row, values in zip(rows, numbers, strict=True)
    }


def print_replay(table: dict[tuple[str, ...], Training], n_searches: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    final = np.array([min(training.errors) for training in table.values()])
    mean_seconds = float(np.mean([training.seconds[-1] for training in table.values()]))
    print(f"{len(table)} training runs of {EPOCHS} epochs, mean {mean_seconds:.1f} s; validation error: best")
    print(
        f"{final.min():.4f}, median {np.median(final):.4f}. Excess over the best in %, mean of {n_searches}"
    )
    print(f"searches ± its standard error, after the time of {', '.join(map(str, BUDGETS))} training runs:\n")
    for sampler, pruner in itertools.product(SAMPLERS, PRUNERS):
        budgets = mean_seconds * np.array(BUDGETS)
        found = np.array(
            [search(table, SAMPLERS[sampler](seed), PRUNERS[pruner](), budgets) for seed in range(n_searches)]
        )
        excess = 100 * (found / final.min() - 1)
        error = excess.std(axis=0) / np.sqrt(n_searches)
        cells = " | ".join(f"{m:5.2f} ± {e:.2f}" for m, e in zip(excess.mean(axis=0), error, strict=True))
        print(f"| {sampler} | {pruner} | {cells} |", flush=True)


def search(
    table: dict[tuple[str, ...], Training],
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner,
    budgets: np.ndarray,
) -> list[float]:
    """Return the smallest validation error of a finished training run within each budget."""
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    spent, best = (
        0.0,
        [float(np.median([min(training.errors) for training in table.values()]))] * len(budgets),
    )
    while spent < budgets[-1]:
        trial = study.ask()
        values = tuple(str(suggest(trial, name)) for name in GRID)
        training = table[values]
        epochs, pruned = replay(trial, training)
        spent += training.seconds[epochs - 1]
        error = min(training.errors)
        study.tell(trial, None if pruned else error, optuna.trial.TrialState.PRUNED if pruned else None)
        if not pruned:
            best = [
                min(value, error) if spent <= budget else value
                for value, budget in zip(best, budgets, strict=True)
            ]
    return best


def suggest(trial: optuna.Trial, name: str) -> Any:
    """Numbers are ordered, as they are in the real search."""
    values = GRID[name]
    if isinstance(values[0], str):
        return trial.suggest_categorical(name, values)
    return values[trial.suggest_int(name, 0, len(values) - 1)]


def replay(trial: optuna.Trial, training: Training) -> tuple[int, bool]:
    """Return the epochs trained and whether the trial was pruned."""
    for epoch, error in enumerate(training.errors, start=1):
        if not np.isfinite(error):
            return epoch, True
        trial.report(error, epoch)
        if trial.should_prune():
            return epoch, True
    return EPOCHS, False


if __name__ == "__main__":
    main()
