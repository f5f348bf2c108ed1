"""The folder of a training run: what is in it and how it is written and read."""

from __future__ import annotations

import json
import platform
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from filelock import FileLock, Timeout

from .. import __version__
from ..computing.devices import device_name
from ..computing.distributed import n_processes, on_first
from ..errors import CrystalliteError, WriteError
from ..evaluation.results import Result, upgraded
from ..files.writing import read_json, write_text
from ..network.targets import parse_target
from ..settings.config import GraphConfig, ModelConfig, Settings, Task, TrainConfig
from .names import BEST as BEST
from .names import CONFIG as CONFIG
from .names import GIVEN as GIVEN
from .names import GROUP as GROUP
from .names import LAST as LAST
from .names import LEARNING_CURVE as LEARNING_CURVE
from .names import LOCK as LOCK
from .names import METRICS as METRICS
from .names import PARITY as PARITY
from .names import PREDICTIONS as PREDICTIONS
from .names import SPLIT as SPLIT
from .names import SUMMARY as SUMMARY


@dataclass(frozen=True)
class DataConfig(Settings):
    """What a run was trained on.

    fingerprint: of the crystals, their ids and the target values. split_fingerprint: of split.csv (none for
    several runs, each has its own). targets: NAME or NAME:TRANSFORM. split: fractions or sizes of
    train/validation/test, `fold K of N`, or `given` where the caller of `train` named the crystals;
    split_column, if given, decides instead. train_limit: how many of the training crystals are used (0: all).
    weight_column: sample weights.
    """

    source: str
    fingerprint: str
    targets: tuple[str, ...]
    task: Task = "regression"
    split: str = "80/10/10"
    split_column: str = ""
    split_seed: int = 0
    train_limit: int = 0
    weight_column: str = ""
    split_fingerprint: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [parse_target(text)[0] for text in self.targets]
        if not names:
            raise CrystalliteError("targets must not be empty")
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise CrystalliteError(f"target {twice[0]} is named {names.count(twice[0])} times")


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run; config.toml holds one table for each part, and the software it ran on."""

    data: DataConfig
    graph: GraphConfig
    model: ModelConfig
    training: TrainConfig

    def write(self, folder: Path, device: str = "cpu") -> None:
        """Write config.toml, with the software and the device of the training run."""
        parts = {name: getattr(self, name).to_dict() for name in ("data", "graph", "model", "training")}
        write_text(folder / CONFIG, tomli_w.dumps({**parts, "environment": environment(device)}))

    @classmethod
    def read(cls, folder: Path) -> RunConfig:
        """Read config.toml; raises CrystalliteError if the folder is not a run."""
        path = folder / CONFIG
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
            config = cls(
                DataConfig.from_dict(values["data"]),
                GraphConfig.from_dict(values["graph"]),
                ModelConfig.from_dict(values["model"]),
                TrainConfig.from_dict(values["training"]),
            )
            config.check()
            return config
        except OSError as error:
            raise CrystalliteError(f"{folder} is not a run folder: no readable {CONFIG} in it") from error
        except KeyError as error:
            raise CrystalliteError(f"{path} is damaged: it has no table {error.args[0]}") from error
        except (ValueError, TypeError, RecursionError, CrystalliteError) as error:
            raise CrystalliteError(f"{path} is damaged: {error}") from error

    def check(self) -> None:
        """Raise CrystalliteError if the parts do not fit together."""
        wanted = 2 if self.data.task == "classification" else len(self.data.targets)
        if (self.model.task, self.model.n_outputs) != (self.data.task, wanted):
            raise CrystalliteError(
                f"[data] asks for {self.data.task} with {wanted} outputs, [model] for {self.model.task} with "
                f"{self.model.n_outputs}"
            )


def environment(device: str = "cpu") -> dict[str, Any]:
    """Return software, device and processes: what a repetition must share to give the same bits."""
    return {
        "crystallite": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "numba": version("numba"),
        "processes": n_processes(),
        "machine": platform.machine(),
        "device": device_name(device),
    }


def read_environment(folder: Path) -> dict[str, Any]:
    """Return what `environment` returned when the run was started."""
    values: dict[str, Any] = tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))
    found = values.get("environment")
    return dict(found) if isinstance(found, dict) else {}


def new_folder(out: str | Path | None, name: str) -> Path:
    """Return an empty run folder: `out`, or runs/NAME-1, runs/NAME-2, ..."""
    if out is None:
        number = 1
        while True:
            folder = Path("runs") / f"{name}-{number}"
            try:
                folder.mkdir(parents=True)
                return folder
            except FileExistsError:
                number += 1
            except OSError as error:
                raise CrystalliteError(
                    f"cannot make {folder}: {error.strerror}; choose another with --out"
                ) from error
    folder = Path(out)
    if folder.is_dir() and any(folder.iterdir()):
        hint = f"resume it: crystallite train --resume {folder}, or " if (folder / CONFIG).exists() else ""
        raise CrystalliteError(f"{folder} is not empty; {hint}choose another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CrystalliteError(
            f"cannot make {folder}: {error.strerror}; choose another with --out"
        ) from error
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other training runs out of a run folder while the block runs; the processes of one share it.

    Raises CrystalliteError if another training run is using it. The lock ends with the process.
    """
    lock = FileLock(folder / LOCK)

    def acquire() -> None:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise CrystalliteError(f"{folder}: another training run is using this folder") from None
        except OSError as error:
            raise WriteError(f"cannot lock {folder / LOCK}: {error.strerror or error}") from error

    on_first(acquire)
    try:
        yield
    finally:
        lock.release()


def write_metrics(folder: Path, history: Sequence[dict[str, Any]]) -> None:
    """Write metrics.jsonl, one line per epoch."""
    write_text(folder / METRICS, "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in history))


def append_metrics(folder: Path, entry: dict[str, Any]) -> None:
    """Add an epoch's line to metrics.jsonl."""
    try:
        with (folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, allow_nan=False) + "\n")
    except OSError as error:
        raise WriteError(f"cannot write {folder / METRICS}: {error.strerror}") from error


def read_summary(folder: Path) -> Result:
    """Read summary.json, also one of version 0.1.0."""
    return upgraded(read_json(folder / SUMMARY))


def absolute_path(path: str | Path) -> str:
    """Return a path that holds from any folder, so that a run can be resumed from there."""
    return str(Path(path).resolve())
