"""One training run spread over two processes by torchrun, against the same in one process."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median

from measure import Row, Settings, run_process

EPOCHS = 8  # of which the first, with its start, does not count
MODULES = {
    "one process": [sys.executable, "-m", "crystallite"],
    "two processes": [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "crystallite"),
    ],
}


def spread_rows(settings: Settings) -> list[Row]:
    """Training epochs of one and of two processes, one thread each, at equal global batch."""
    rows, settings = [], replace(settings, threads=1)
    for batch in (256, 1024):
        seconds: dict[str, list[float]] = {name: [] for name in MODULES}
        for repeat in range(settings.repeats):
            for name in MODULES:
                folder = settings.work / f"{name.replace(' ', '-')}-{batch}-{repeat}"
                seconds[name].append(_epoch(MODULES[name], folder, batch, settings))
        one, two = (median(found) for found in seconds.values())
        rows.append(Row(f"training epoch in two processes, batch {batch}", two, "one process", one, "s"))
    return rows


def _epoch(program: list[str], folder: Path, batch: int, settings: Settings) -> float:
    """Median seconds per epoch, validation included."""
    words = [
        "train",
        settings.data,
        "--epochs",
        str(EPOCHS),
        "--batch-size",
        str(batch),
        "--out",
        str(folder),
    ]
    run_process([*program, *words], settings)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return median(json.loads(line)["seconds"] for line in lines[1:])
