"""Speed of training on a GPU: kernels launched one by one against recorded ones, and lower precision.

    python benchmarks/gpu.py [DATASET] [TARGET] [--only speed precision]

Prints milliseconds a step and epochs a second for batches of many sizes, both networks, both ways, beside the
CPU's; then the validation and test error of `formation` after 30 epochs in two precisions.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from recipe import GATED

from crystallite.datasets.dataset import Dataset
from crystallite.training.preparation import prepare
from crystallite.training.run_settings import run_config
from crystallite.training.trainer import Trainer

NETWORKS: dict[str, dict[str, Any]] = {"edge-updating": {}, "gated": GATED}
SIZES = (64, 256, 1024, 4096)
TIMED = 1.0  # seconds


def trainer_of(dataset: Dataset, target: str, device: str, **settings: Any) -> Trainer:
    return prepare(dataset, run_config(dataset, dataset, [target], **settings), device=device)


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def milliseconds(trainer: Trainer, device: str) -> float:
    """Return the time of a step, over steps of one size that have all been met before."""
    rows, size = trainer.split.train, trainer.config.batch_size
    batches = [np.random.default_rng(k).permutation(rows)[:size] for k in range(4)]
    for batch in batches:
        trainer.train_step(batch)
    synchronize(device)
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < TIMED:
        trainer.train_step(batches[steps % len(batches)])
        steps += 1
    synchronize(device)
    return 1000 * (time.perf_counter() - started) / steps


def one_by_one(trainer: Trainer) -> Trainer:
    """The trainer as it is for several processes: batches from main memory, kernels launched by Python."""
    trainer.recorded = None
    return trainer


WAYS: dict[str, tuple[str, Callable[[Trainer], Trainer]]] = {
    "cpu": ("cpu", lambda trainer: trainer),
    "one by one": ("cuda", one_by_one),
    "recorded": ("cuda", lambda trainer: trainer),
}


def speed(dataset: Dataset, target: str) -> None:
    n_train = None
    print("network        batch  " + "".join(f"{way:>24}" for way in WAYS))
    for network, settings in NETWORKS.items():
        for size in SIZES:
            cells = []
            for device, prepared in WAYS.values():
                trainer = trainer_of(dataset, target, device, **{**settings, "batch_size": size})
                n_train = len(trainer.split.train)
                step = milliseconds(prepared(trainer), device)
                cells.append(f"{step:9.2f} ms {1000 * size / n_train / step:6.3f} ep/s")
            print(f"{network:14} {size:5}  " + "".join(f"{cell:>24}" for cell in cells), flush=True)
    print(f"{n_train:,} training crystals, {torch.cuda.get_device_name()}, {os.cpu_count()} CPU cores")
    print(f"at most {torch.cuda.max_memory_allocated() / 1e6:.0f} MB of GPU memory")


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Compute products in TensorFloat-32, or in single precision."""
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    yield
    torch.backends.cuda.matmul.allow_tf32 = False


def errors(epochs: int = 30) -> None:
    dataset, target = Dataset.read("formation"), "formation_energy_per_atom"
    for name in ("float32", "tf32"):
        for size, seed in ((64, 0), (64, 1), (512, 0)):
            trainer = trainer_of(
                dataset, target, "cuda", epochs=epochs, batch_size=size, seed=seed, split_seed=0
            )
            with precision(name):
                started = time.perf_counter()
                while not trainer.finished:
                    trainer.run_epoch()
                seconds = time.perf_counter() - started
            mistakes = np.abs(trainer.predict(trainer.split.test) - trainer.values[trainer.split.test])
            best = trainer.best["validation_error"] * trainer.targets.std[0]
            print(
                f"{name:9} batch {size:4} seed {seed}: {seconds:5.1f} s, validation MAE {best:.4f}, "
                f"test MAE of the last epoch {mistakes.mean():.4f} eV/atom",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", default="formation")
    parser.add_argument("target", nargs="?", default="formation_energy_per_atom")
    parser.add_argument("--only", nargs="+", choices=["speed", "precision"], default=["speed", "precision"])
    options = parser.parse_args()
    if "speed" in options.only:
        speed(Dataset.read(options.dataset), options.target)
    if "precision" in options.only:
        errors()


if __name__ == "__main__":
    main()
