"""`crystallite verify`: train a run again and compare, bit for bit."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..computing.devices import usable_device
from ..errors import CrystalliteError
from ..models.checkpoint import read_weights
from ..runs.folder import BEST, CONFIG, GROUP, SUMMARY, RunConfig, environment, read_environment
from .preparation import start_folder
from .run_data import run_dataset
from .run_split import read_split
from .train import TrainingInterruptedError, resume


@dataclass(frozen=True)
class Verdict:
    """What a repetition of a training run showed.

    Attributes:
        different: names of the weights that differ.
        largest: the largest absolute difference of any weight; infinite where shapes or types differ.
        changed_environment: name of a piece of software or hardware -> what it was then and is now, where
            these differ.
    """

    different: list[str]
    largest: float
    changed_environment: dict[str, tuple[str, str]]

    @property
    def same(self) -> bool:
        """Whether all weights are the same, bit for bit."""
        return not self.different


def finished_runs(folder: str | Path) -> list[Path]:
    """Return the run folder itself, or those of all folds, members or sizes in it.

    Raises CrystalliteError if it is not finished.
    """
    folder = Path(folder)
    RunConfig.read(folder)
    is_group = (folder / GROUP).is_file()
    inside = sorted(folder.glob(f"*/{CONFIG}"), key=lambda path: (len(path.parent.name), path.parent.name))
    runs = [path.parent for path in inside] if is_group else [folder]
    if not (folder / SUMMARY).exists() or not all((run / BEST).exists() for run in runs):
        raise CrystalliteError(f"{folder} is not finished; resume with: crystallite train --resume {folder}")
    return runs


def verify(run: str | Path, *, workers: int = 1, device: str = "cpu", progress: bool = True) -> Verdict:
    """Repeat a finished run from its config.toml in a temporary folder and compare the weights.

    Args:
        run: the folder of one training run.
        workers: number of threads that build graphs.
        device: of the network, such as `cpu` or `cuda`.
        progress: whether a bar is shown.

    Returns:
        What the repetition showed: `same` is whether all weights have the same bits, `different` names those
        that do not, `largest` is the largest difference, `changed_environment` says what has changed since.

    Raises:
        CrystalliteError: if the run is not finished, its data has changed, or on Ctrl-C.
    """
    run = Path(run)
    finished_runs(run)
    config, before = RunConfig.read(run), read_environment(run)
    theirs = read_weights(run / BEST)[0]
    dataset = run_dataset(config, run)
    with tempfile.TemporaryDirectory() as temporary:
        again, now = Path(temporary), environment(usable_device(device))
        try:
            start_folder(again, dataset, config, read_split(run, dataset.ids, config.data), device)
            resume(again, data=dataset, workers=workers, device=device, progress=progress)
        except TrainingInterruptedError as stopped:
            raise CrystalliteError(f"stopped; {run} is unchanged") from stopped
        ours = read_weights(again / BEST)[0]
    differences = {name: _difference(ours.get(name), theirs.get(name)) for name in {**theirs, **ours}}
    different = [name for name, difference in differences.items() if difference != 0]
    changed = {key: (str(before[key]), str(now[key])) for key in now if before.get(key, now[key]) != now[key]}
    return Verdict(different, max(differences.values()), changed)


def _difference(ours: NDArray[Any] | None, theirs: NDArray[Any] | None) -> float:
    """Largest difference of any number, infinite where shapes or kinds of numbers differ."""
    if ours is None or theirs is None or ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return float("inf")
    if np.array_equal(ours, theirs):
        return 0.0
    return float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max())
