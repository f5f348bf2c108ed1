"""Several training runs that belong together, in run folders below one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..computing.progress import progress_bar
from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..evaluation.results import Result
from ..materials.splits import Split
from ..runs import folder as run_folder
from ..runs.folder import DataConfig, RunConfig
from ..tracking import hand_trackers_on
from ..training.preparation import prepare, start_folder
from ..training.run_split import read_split
from ..training.train import TrainingInterruptedError, resume
from .side_by_side import train_side_by_side

FIGURES = ("test_", "baseline_", "validation_")  # beginnings of the numbers of a summary that are averaged


def start_all(
    dataset: Dataset,
    configs: dict[str, RunConfig],
    folder: Path,
    *,
    parallel: int = 1,
    workers: int = 1,
    device: str = "cpu",
    **_: Any,
) -> dict[str, Split]:
    """Make the run folders below `folder` that are not there yet; return the split of each run.

    parallel, workers, device: as for `train_all`, whose other options have no say here. Runs of the same data
    settings have one split. Raises CrystalliteError where training runs cannot go side by side.
    """
    if parallel > 1 and not all(config.data.source for config in configs.values()):
        raise CrystalliteError(
            "training runs side by side read the dataset from disk: write it to a Parquet file "
            "and give its path"
        )
    splits: dict[str, Split] = {}
    of_settings: dict[DataConfig, Split] = {}
    for name, config in configs.items():
        run = folder / name
        if (run / run_folder.CONFIG).exists():
            splits[name] = read_split(run, dataset.ids, RunConfig.read(run).data)
            of_settings.setdefault(config.data, splits[name])
    for name, config in configs.items():
        if name not in splits:
            split = of_settings.get(config.data) or prepare(dataset, config, workers=workers).split
            splits[name] = of_settings.setdefault(config.data, split)
            (folder / name).mkdir(parents=True, exist_ok=True)
            hand_trackers_on(folder, folder / name)
            start_folder(folder / name, dataset, config, split, device)
    return splits


def train_all(
    dataset: Dataset,
    configs: dict[str, RunConfig],
    folder: Path,
    *,
    parallel: int = 1,
    workers: int = 1,
    device: str = "cpu",
    progress: bool = True,
) -> dict[str, Result]:
    """Train in the run folders below `folder` that `start_all` made, and return their summaries.

    Finished ones are left as they are, interrupted ones are resumed. parallel: how many train side by side,
    each in a process with its fraction of the threads; needs a dataset that is on disk. Raises
    TrainingInterruptedError (after saving) on Ctrl-C or SIGTERM.
    """
    missing = [folder / name for name in configs if not (folder / name / run_folder.SUMMARY).exists()]
    done = len(configs) - len(missing)
    try:
        with progress_bar(
            doing="training", unit="runs", total=len(configs), done=done, shown=progress, delay=0
        ) as bar:
            if parallel > 1:
                train_side_by_side(missing, parallel, device=device, after_each=bar.update)
            else:
                for run in missing:
                    resume(run, data=dataset, workers=workers, device=device, progress=progress)
                    bar.update()
    except TrainingInterruptedError as stopped:
        raise TrainingInterruptedError(
            f"stopped, the state is saved; resume with: crystallite train --resume {folder}"
        ) from stopped
    return {name: run_folder.read_summary(folder / name) for name in configs}


def spread(summaries: Sequence[Result], test_share: float = 0.0) -> Result:
    """Return mean and 95 % confidence half-width (Student's t) over runs of the figures of every target.

    The half-width of NAME is NAME_confidence, None where less than two runs have the figure; the mean is None
    where none has. test_share: as for `half_width`.
    """
    targets = {
        name: {
            "unit": figures["unit"],
            **_spread([summary["targets"][name] for summary in summaries], test_share),
        }
        for name, figures in summaries[0]["targets"].items()
    }
    return {"n_runs": len(summaries), "targets": targets, **_spread(summaries, test_share)}


def _spread(results: Sequence[Result], test_share: float) -> Result:
    spread: Result = {}
    for key in (key for key in results[0] if key.startswith(FIGURES)):
        found = [result[key] for result in results if result[key] is not None]
        spread[key] = float(np.mean(found)) if found else None
        half = half_width(np.array(found), test_share) if len(found) > 1 else None
        spread[f"{key}_confidence"] = half
    return spread


def half_width(values: np.ndarray, test_share: float = 0.0) -> float:
    """Return the half-width of the 95 % confidence interval of the mean of two or more values.

    test_share: test crystals for each training crystal, where runs differ by their split. Their training
    sets overlap, so the values vary together and the mean is less sure than that of as many independent
    ones: its variance is (1 / n + test_share) times theirs (Nadeau and Bengio, Machine Learning 52, 239,
    2003). 0: independent values.
    """
    variance = (1 / len(values) + test_share) * values.var(ddof=1)
    return float(student_t(len(values) - 1) * np.sqrt(variance))


def student_t(degrees: int) -> float:
    """Return the two-sided 95 % quantile of Student's t: 95 % of its values are closer to zero."""
    # SciPy, which nothing else needs, agrees: to nine digits for 20 runs, to seven for 1,000.
    angles = np.linspace(0, np.pi / 2, 100_001)
    density = np.cos(angles) ** (degrees - 1)  # of the angle in t = sqrt(degrees) tan(angle)
    below = np.append(0, np.cumsum(density[1:] + density[:-1]))
    return float(np.sqrt(degrees) * np.tan(np.interp(0.95 * below[-1], below, angles)))
