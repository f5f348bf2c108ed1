"""Several trainings that belong together, in run folders below one folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from . import run_folder
from .dataset import Dataset
from .errors import CrystalliteError
from .files import read_json
from .preparation import prepare, start_folder
from .run_folder import RunConfig
from .tracking import hand_trackers_on
from .training import resume


def train_all(
    dataset: Dataset,
    configs: dict[str, RunConfig],
    folder: Path,
    *,
    parallel: int = 1,
    workers: int = 1,
    device: str = "cpu",
    progress: bool = True,
) -> dict[str, dict[str, Any]]:
    """Train every configuration in its own run folder below `folder` and return their summaries.

    Finished ones are left as they are, interrupted ones go on. parallel: how many train side by side, each
    in a process with its share of the threads; needs a dataset that is on disk.
    """
    for name, config in configs.items():
        if not (folder / name / run_folder.CONFIG).exists():
            trainer = prepare(dataset, config, workers=workers)
            (folder / name).mkdir(parents=True, exist_ok=True)
            hand_trackers_on(folder, folder / name)
            start_folder(folder / name, dataset, config, trainer.split)
    missing = [name for name in configs if not (folder / name / run_folder.SUMMARY).exists()]
    bar = tqdm(
        total=len(configs),
        initial=len(configs) - len(missing),
        unit="run",
        disable=None if progress else True,
    )
    with bar:
        if parallel == 1:
            for name in missing:
                resume(folder / name, data=dataset, workers=workers, device=device, progress=progress)
                bar.update()
        else:
            _train_side_by_side([folder / name for name in missing], parallel, device, bar)
    return {name: read_json(folder / name / run_folder.SUMMARY) for name in configs}


def spread(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and 95 % confidence half-width (Student's t) over runs of every numeric test figure."""
    result: dict[str, Any] = {"n_runs": len(summaries)}
    for key, value in summaries[0].items():
        if key.startswith(("test_", "baseline_", "validation_")) and isinstance(value, float):
            values = np.array([summary[key] for summary in summaries if summary[key] is not None])
            half = (
                student_t(len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
                if len(values) > 1
                else None
            )
            result[key] = float(values.mean())
            result[f"{key}_confidence"] = None if half is None else float(half)
    return result


def student_t(degrees: int) -> float:
    """Two-sided 95 % quantile of Student's t (Abramowitz and Stegun 26.7.5, good to 1 %)."""
    exact = {1: 12.706, 2: 4.303}
    if degrees in exact:
        return exact[degrees]
    z = 1.959964
    return float(
        z
        + (z**3 + z) / (4 * degrees)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    )


def _train_side_by_side(folders: list[Path], parallel: int, device: str, bar: Any) -> None:
    """Resume each folder in a process of its own, `parallel` at a time."""
    threads = max(1, (os.cpu_count() or 1) // parallel)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}

    def run(folder: Path) -> None:
        command = [sys.executable, "-m", "crystallite", "train", "--resume", str(folder), "--device", device]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CrystalliteError(f"{folder}: {done.stderr.strip()[-2000:]}")
        bar.update()

    with ThreadPoolExecutor(parallel) as pool:
        for future in [pool.submit(run, folder) for folder in folders]:
            future.result()
