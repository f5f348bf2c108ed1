"""The least time a training step could take on this machine: its arithmetic and memory traffic, counted.

Arithmetic runs at best at the rate of a large matrix product, memory traffic at that of a copy of an array
of the same size. Reduction, factorisation and windowed Gaussians are taken as given: the floor is that of
our algorithm, not of the published one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from ours import make_trainer

from crystallite.graphs.packed import GraphBatch, gather_batch
from crystallite.network.kernels import WINDOW

EXP, LOG1P, DIVIDE = 26, 19, 1  # operations of the polynomials in crystallite.network.kernels
SIGMOID, SOFTPLUS = EXP + DIVIDE + 3, EXP + LOG1P + 3
WIDTH, LAYERS, HIDDEN, FEATURES = 64, 3, 128, 92
CHANNELS = 2 * WIDTH


class Work(NamedTuple):
    """What a step must do, in floating-point operations and bytes."""

    products: float
    elementwise: float
    moved: float


def training_step(data: str) -> Callable[[], dict[str, Any]]:
    """Seconds of our step, with and without gathering, beside the machine's rates and the counts."""
    trainer = make_trainer(data)
    trainer.run_epoch()
    rows = np.random.default_rng(0).permutation(len(trainer.split.train))[:256]
    batch = gather_batch(trainer.graphs, rows)

    def measure() -> dict[str, Any]:
        work = work_of(batch)
        array_bytes = 4 * len(batch.distances) * CHANNELS
        return {
            "step": _time(lambda: trainer.train_step(rows), 20),
            "gather": _time(lambda: gather_batch(trainer.graphs, rows), 20),
            "flops_per_second": gemm_rate(),
            "bytes_per_second": copy_rate(array_bytes),
            "nodes": len(batch.numbers),
            "edges": len(batch.distances),
            **work._asdict(),
        }

    return measure


def work_of(batch: GraphBatch) -> Work:
    """Count one step on a batch: forward, backward; the optimiser's is negligible."""
    nodes, edges, crystals = len(batch.numbers), len(batch.distances), len(batch.node_offsets) - 1
    node_product = 2 * nodes * WIDTH * 2 * CHANNELS
    edge_product = 2 * edges * WINDOW * CHANNELS
    readout = 2 * crystals * (WIDTH * HIDDEN + HIDDEN)
    products = LAYERS * (3 * node_product + 2 * edge_product) + 3 * readout + 4 * 100 * FEATURES * WIDTH
    # Per channel of an edge: two sums and its moments; per pair of channels the gate, forward and backward
    # (where it is formed again); the gradient of the batch norm and its two sums.
    per_pair = 2 * (2 + 5) + (SIGMOID + SOFTPLUS + 7) + (SIGMOID + SOFTPLUS + 20) + 2 * (8 + 2)
    elementwise = LAYERS * edges * WIDTH * per_pair + edges * WINDOW * (EXP + 3)
    elementwise += LAYERS * nodes * WIDTH * (2 * SOFTPLUS + 20)
    # Messages are written once and read three times (gate; sums of the gradient; the gradient itself), as a
    # batch norm needs its sums first; node arrays (vectors and sums, of width F) once each way, as products
    # with them stay in the cache; Gaussians twice per layer.
    messages = LAYERS * 4 * edges * CHANNELS
    node_arrays = LAYERS * nodes * 8 * WIDTH
    moved = 4.0 * (messages + node_arrays + edges * WINDOW * (1 + 2 * LAYERS))
    return Work(products, elementwise, moved)


def gemm_rate(size: int = 2048) -> float:
    """Operations per second of a large float32 product."""
    a = torch.rand(size, size)
    return 2 * size**3 / _time(lambda: a @ a, 5)


def copy_rate(n_bytes: int) -> float:
    """Bytes per second, read and written, of a copy of an array of n_bytes."""
    source = torch.ones(n_bytes // 4)
    target = torch.empty_like(source)
    return 2 * n_bytes / _time(lambda: target.copy_(source), 50)


def _time(function: Callable[[], object], repeats: int) -> float:
    function()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        found.append(time.perf_counter() - started)
    return median(found)
