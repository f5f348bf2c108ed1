"""Several trainings as one: started into a folder that says what they are, and gone on with from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..computing.devices import usable_device
from ..computing.distributed import is_one_of_several
from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..files.writing import read_json, write_json
from ..runs import folder as run_folder
from ..sources.resolver import read_dataset
from ..tracking import known_trackers, set_trackers
from ..training.preparation import run_config, run_name
from .cross_validation import cross_validate, plan_folds
from .ensembles import plan_members, train_ensemble
from .learning_curve import learning_curve, plan_sizes

# Kind -> what checks and completes the plan before there is a folder, and what trains it.
KINDS: dict[str, tuple[Callable[..., Any], Callable[..., dict[str, Any]]]] = {
    "folds": (plan_folds, cross_validate),
    "members": (plan_members, train_ensemble),
    "sizes": (plan_sizes, learning_curve),
}


def start_group(
    data: str | Path | Dataset,
    target: str | Sequence[str],
    group: dict[str, Any],
    *,
    out: str | Path | None = None,
    track: str | Sequence[str] = (),
    workers: int = 1,
    **settings: Any,
) -> Path:
    """Make the folder of several trainings and return it.

    group: {"folds": k}, {"members": k} or {"sizes": [n, ...]} (an empty list: doubling up to all).
    track, workers, settings: those of `train`. Raises CrystalliteError for what cannot be trained.
    """
    settings.pop("progress", None)
    device = usable_device(settings.pop("device", "cpu"))
    track = known_trackers(track)
    dataset = data if isinstance(data, Dataset) else read_dataset(data)
    config = run_config(data, dataset, target, **settings)
    if is_one_of_several():
        raise CrystalliteError("several trainings run side by side with --parallel N, not in torchrun")
    ((kind, wanted),) = group.items()
    group = {kind: KINDS[kind][0](dataset, config, wanted, workers=workers)}
    folder = run_folder.new_folder(out, f"{run_name(dataset, config)}-{kind}")
    set_trackers(folder, track)
    write_json(folder / run_folder.GROUP, group)
    config.write(folder, device)
    return folder


def resume_group(folder: Path, *, data: Dataset | None = None, **options: Any) -> dict[str, Any]:
    """Train what is missing in the folder of several trainings and return its summary.

    options: parallel (trainings side by side), workers, device, progress.
    """
    kind = _kind_of(folder / run_folder.GROUP)
    with run_folder.locked(folder):
        return KINDS[kind][1](folder, data=data, **options)


def _kind_of(path: Path) -> str:
    """Return the kind of group that a folder says it holds; raises CrystalliteError if it is none."""
    group = read_json(path)
    kind, wanted = next(iter(group.items())) if isinstance(group, dict) and len(group) == 1 else ("", 0)
    numbers = wanted if isinstance(wanted, list) and wanted else [wanted]
    if kind not in KINDS or not all(type(number) is int and number > 0 for number in numbers):
        raise CrystalliteError(f"{path} is damaged: it says neither folds, members nor sizes")
    return kind


def is_group(folder: Path) -> bool:
    """Whether a folder holds several trainings."""
    return (folder / run_folder.GROUP).is_file()
