"""TensorBoard: event files in RUN/tensorboard."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..extras import needed
from . import Numbers


def load() -> Any:
    """Import what is needed."""
    needed("tensorboard", "tracking with tensorboard", "crystallite[tensorboard]")
    return needed("torch.utils.tensorboard", "tracking with tensorboard", "torch").SummaryWriter


class Tracker:
    """A run's folder of event files; artifacts have no place in them and lie beside it in the run folder."""

    def __init__(self, folder: Path, name: str, identity: dict[str, str]) -> None:
        self.identity: dict[str, str] = {}
        self.folder = folder / "tensorboard"
        self.settings: dict[str, str | float] = {}
        self.writer: Any = None

    def start(self, settings: dict[str, str | float], epochs: Sequence[Numbers]) -> None:
        """Write everything anew: what a killed process has left may end anywhere.

        Epochs are dated as if the training run had never paused.
        """
        for old in self.folder.glob("events.out.tfevents.*"):
            old.unlink()
        # purge_step: a TensorBoard that has read the old files forgets them.
        self.writer = load()(str(self.folder), purge_step=0)
        self.settings = settings
        rows = "".join(f"| {name} | {value} |\n" for name, value in settings.items())
        self.writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}", 0)
        moment = time.time() - sum(numbers["seconds"] for numbers in epochs)
        for epoch, numbers in enumerate(epochs, start=1):
            moment += numbers["seconds"]
            self._add(epoch, numbers, moment)
        self.writer.flush()

    def log(self, epoch: int, numbers: Numbers) -> None:
        self._add(epoch, numbers, time.time())
        self.writer.flush()

    def finish(self, epoch: int, summary: Numbers, figures: Sequence[Path], files: Sequence[Path]) -> None:
        from matplotlib.image import imread
        from torch.utils.tensorboard.summary import hparams

        # As add_hparams, which would write a second file, read before this one if its name sorts so.
        for table in hparams(self.settings, summary):  # type: ignore[no-untyped-call]  # the HPARAMS tab
            self.writer.file_writer.add_summary(table)
        self._add(epoch, summary, time.time())
        for figure in figures:
            self.writer.add_image(figure.stem, imread(figure), epoch, dataformats="HWC")
        self.writer.flush()

    def close(self, finished: bool) -> None:
        self.writer.close()

    def _add(self, epoch: int, numbers: Numbers, moment: float) -> None:
        for name, number in numbers.items():
            self.writer.add_scalar(name, number, epoch, walltime=moment)
