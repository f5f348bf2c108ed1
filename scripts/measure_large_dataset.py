"""Measure time and memory of a large dataset, stage by stage: `docs/large_datasets.md` has its figures.

The dataset is `formation` over and over, each copy of a crystal strained by some per cent at random, in every
direction otherwise. Each stage runs in a process of its own, so that its peak of memory is its own.

    python scripts/measure_large_dataset.py make big.parquet --crystals 1000000
    python scripts/measure_large_dataset.py measure big.parquet
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

STRAIN = 0.03  # most by which a lattice vector's components are stretched or sheared
TARGET = "formation_energy_per_atom"


def make(path: Path, n_crystals: int) -> None:
    """Write the dataset, copy by copy."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from crystallite import Dataset

    real = Dataset.read("builtin:formation")
    rng = np.random.default_rng(0)
    writer, written = None, 0
    while written < n_crystals:
        part = real[: min(len(real), n_crystals - written)]
        strains = np.eye(3) + rng.uniform(-STRAIN, STRAIN, (len(part), 3, 3))
        arrays = part.arrays._replace(lattices=part.arrays.lattices @ strains)
        ids = [f"{name}-{written + row}" for row, name in enumerate(part.ids)]
        values = {TARGET: part.values(TARGET)}
        table = Dataset.from_arrays(arrays, ids, values, {TARGET: "eV/atom"}).table
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd", use_dictionary=False)
        writer.write_table(pa.table(table))
        written += len(part)
    assert writer is not None
    writer.close()


def stages(path: Path, cache: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the stages, each with what it needs from those before it in the cache."""
    from crystallite import Dataset
    from crystallite.datasets.overview import overview
    from crystallite.graphs.store import dataset_graphs
    from crystallite.settings.config import GraphConfig

    yield "read", lambda: Dataset.read(path).fingerprint
    yield "info", lambda: overview(Dataset.read(path))
    yield "graphs", lambda: dataset_graphs(Dataset.read(path), GraphConfig())

    def split() -> None:
        from crystallite.runs.folder import DataConfig
        from crystallite.training.preparation import _graphs
        from crystallite.training.run_split import draw_split

        dataset = Dataset.read(path)
        _, signatures = _graphs(dataset, GraphConfig(), 1, False)
        usable = np.ones(len(dataset), bool)
        split = draw_split(dataset, signatures, usable, DataConfig("", "", (TARGET,)))
        print("  sizes of the sets:", *map(len, split))

    yield "split", split

    def train() -> None:
        import crystallite

        out = cache / f"run-{os.getpid()}"
        dataset, size = Dataset.read(path), {"n_convolutions": 1, "atom_width": 32}
        run = crystallite.train(dataset, TARGET, epochs=1, out=out, progress=False, **size)
        print("  seconds of the epoch:", run.summary["training_seconds"])

    yield "train", train


def peak_of(stage: Callable[[], object]) -> tuple[float, float, float]:
    """Return seconds, the peak of the memory of its own in MB, and that with mapped files."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            lines = Path("/proc/self/status").read_text().splitlines()
            peak = max(peak, *(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    began = time.perf_counter()
    stage()
    seconds = time.perf_counter() - began
    done.set()
    thread.join()
    return seconds, peak / 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Make a dataset, or measure its stages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["make", "measure", "stage"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--crystals", type=int, default=1_000_000)
    parser.add_argument("--stage")
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    if options.what == "make":
        make(options.path, options.crystals)
    elif options.what == "stage":
        chosen = dict(stages(options.path, options.cache))[options.stage]
        seconds, own, total = peak_of(chosen)
        print(
            f"{options.stage:8} {seconds:8.1f} s {own:8.0f} MB of its own {total:8.0f} MB with mapped files"
        )
    else:
        with tempfile.TemporaryDirectory(dir=options.path.parent) as folder:
            environment = {**os.environ, "CRYSTALLITE_CACHE": folder}
            for name, _ in stages(options.path, Path(folder)):
                command = [
                    sys.executable,
                    __file__,
                    "stage",
                    options.path,
                    "--stage",
                    name,
                    "--cache",
                    folder,
                ]
                subprocess.run(list(map(str, command)), check=True, env=environment)


if __name__ == "__main__":
    main()
