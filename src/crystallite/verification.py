"""`crystallite verify`: train a run again and compare, bit for bit."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from .checkpoint import read_tensors
from .errors import CrystalliteError
from .preparation import prepare, run_dataset, start_folder
from .run_folder import BEST, SUMMARY, RunConfig, environment, read_environment
from .training import resume


@dataclass(frozen=True)
class Verdict:
    """What a repetition showed: names of weights that differ, the largest difference, other software."""

    different: list[str]
    largest: float
    changed_environment: dict[str, tuple[str, str]]

    @property
    def same(self) -> bool:
        return not self.different


def verify(folder: str | Path, *, workers: int = 1, progress: bool = True) -> Verdict:
    """Repeat a finished run from its config.toml in a temporary folder and compare the weights."""
    folder = Path(folder)
    if not (folder / SUMMARY).exists():
        raise CrystalliteError(
            f"{folder}: not a finished run; go on with: crystallite train --resume {folder}"
        )
    config = RunConfig.read(folder)
    dataset = run_dataset(config, folder)
    with tempfile.TemporaryDirectory() as temporary:
        again = Path(temporary)
        start_folder(again, dataset, config, prepare(dataset, config, workers=workers).split)
        resume(again, data=dataset, workers=workers, progress=progress)
        ours, theirs = read_tensors(again / BEST)[0], read_tensors(folder / BEST)[0]
    differences = {name: float((ours[name] - theirs[name]).abs().max()) for name in theirs}
    different = [name for name, difference in differences.items() if difference != 0]
    before, now = read_environment(folder), environment()
    changed = {key: (str(before.get(key)), str(now[key])) for key in now if before.get(key) != now[key]}
    return Verdict(different, max(differences.values()), changed)
