"""The measurements: each function takes the settings and returns rows of the table."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from statistics import median
from typing import Any

from measure import PEER, Row, Settings, Worker, interleaved
from processes import memory_rows, prediction_rows
from spread import spread_rows

FLUSHED = f"{PEER}, denormals flushed"
EDGE_UPDATING = {"convolution": "edge-updating", "n_convolutions": 4}


def graph_rows(settings: Settings) -> list[Row]:
    """Crystal graphs from CIF files and from a stored dataset, and the start of a second training run."""
    with ExitStack() as stack:
        workers = {
            "cif": Worker(settings, "ours.graphs_from_cifs", folder=settings.cifs),
            "peer": Worker(settings, "peer.graphs_from_cifs", folder=settings.cifs),
            "dataset": Worker(settings, "ours.graphs_from_dataset", data=settings.data),
            "store": Worker(settings, "ours.open_store", data=settings.data),
        }
        for worker in workers.values():
            stack.enter_context(worker)
        found = interleaved(workers, settings.repeats)
    peer, ms = found["peer"] * 1e3, "ms/crystal"
    return [
        Row("graph from a CIF", found["cif"] * 1e3, PEER, peer, ms, goal=40),
        Row("graph from a stored dataset", found["dataset"] * 1e3, PEER, peer, ms, goal=100),
        Row(
            "second start: data and graphs ready",
            found["store"],
            PEER,
            found["peer"] * settings.n_crystals,
            "s",
            limit=1,
        ),
    ]


def training_rows(settings: Settings) -> list[Row]:
    """One epoch of training, graphs ready, in batches of 256."""
    with ExitStack() as stack:
        jobs: dict[str, tuple[str, dict[str, Any], bool]] = {
            "ours": ("ours.training_epoch", {"data": settings.data}, False),
            "edges": ("ours.training_epoch", {"data": settings.data, **EDGE_UPDATING}, False),
        }
        for name, module in ((PEER, "peer"), ("PyG CGConv", "pyg")):
            arguments = {"graphs": settings.graphs}
            jobs[name] = (f"{module}.training_epoch", arguments, False)
            jobs[f"{name}, denormals flushed"] = (f"{module}.training_epoch", arguments, True)
        workers = {
            name: stack.enter_context(Worker(settings, function, flush_denormals=flush, **arguments))
            for name, (function, arguments, flush) in jobs.items()
        }
        found = interleaved(workers, settings.repeats)
    ours, edges = found.pop("ours"), found.pop("edges")
    goals = {PEER: 25.0, FLUSHED: 20.0}
    return [
        *(Row("training epoch", ours, name, value, "s", goals.get(name)) for name, value in found.items()),
        Row("training epoch, 4 edge-updating layers", edges, "3 gated ones", ours, "s"),
    ]


def floor_rows(settings: Settings) -> list[Row]:
    """Our training step against the least time its arithmetic and memory traffic could take."""
    with Worker(settings, "floor.training_step", data=settings.data) as worker:
        found = worker.measure()
    arithmetic = (found["products"] + found["elementwise"]) / found["flops_per_second"]
    movement = found["moved"] / found["bytes_per_second"]
    mega, giga = {name: value / 1e6 for name, value in found.items()}, 1e9
    print(
        f"  256 crystals, {found['nodes']} nodes, {found['edges']} edges: "
        f"{mega['products']:.0f} + {mega['elementwise']:.0f} MFLOP (products + elementwise) "
        f"at {found['flops_per_second'] / giga:.0f} GFLOP/s take {arithmetic * 1e3:.1f} ms; "
        f"{mega['moved']:.0f} MB at {found['bytes_per_second'] / giga:.0f} GB/s take {movement * 1e3:.1f} ms"
    )
    return [
        Row("training step", found["step"] * 1e3, "its floor", (arithmetic + movement) * 1e3, "ms"),
        Row("of which gathering the batch", found["gather"] * 1e3, "", None, "ms"),
    ]


def scaling_rows(settings: Settings) -> list[Row]:
    """How graph building grows with the atoms of a cell, and training when others share the cores."""
    sizes = [8, 64, 512] if settings.quick else [8, 64, 512, 4096]
    with Worker(settings, "ours.graphs_of_cells", sizes=sizes) as worker:
        milliseconds = [
            (n_atoms, 1e3 * symmetric, 1e3 * moved) for n_atoms, symmetric, moved in worker.measure()
        ]
    rows = [
        Row(f"graph of {n_atoms} atoms, rock salt", symmetric, "atoms moved", moved, "ms")
        for n_atoms, symmetric, moved in milliseconds
    ]
    return [*rows, _beside_another(settings), _on_busy_cores(settings)]


def _beside_another(settings: Settings) -> Row:
    """Two training runs with a thread each."""
    alone, together = [], []
    single = replace(settings, threads=1)
    with (
        Worker(single, "ours.training_epoch", data=settings.data) as first,
        Worker(single, "ours.training_epoch", data=settings.data) as second,
    ):
        for _ in range(settings.repeats):
            alone.append(first.measure())
            first.start()
            second.start()
            together.append(max(first.finish(), second.finish()))
    return Row("training epoch, one thread, alone", median(alone), "beside another", median(together), "s")


def _on_busy_cores(settings: Settings) -> Row:
    """A training run beside as many busy processes as it has threads: its fair share is half the cores."""
    quiet, busy = [], []
    with Worker(settings, "ours.training_epoch", data=settings.data) as worker:
        for _ in range(settings.repeats):
            quiet.append(worker.measure())
            with ExitStack() as stack:
                for _ in range(settings.threads):
                    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                    stack.callback(process.wait)
                    stack.callback(process.kill)  # before it is waited for
                time.sleep(0.5)  # until they have started
                busy.append(worker.measure())
    what = f"training epoch, {settings.threads} threads, alone"
    return Row(what, median(quiet), f"beside {settings.threads} busy processes", median(busy), "s")


SECTIONS: dict[str, Callable[[Settings], list[Row]]] = {
    "graphs": graph_rows,
    "training": training_rows,
    "prediction": prediction_rows,
    "memory": memory_rows,
    "floor": floor_rows,
    "scaling": scaling_rows,
    "spread": spread_rows,
}
