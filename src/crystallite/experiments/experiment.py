"""Several training runs that answer one question: started into one folder, and resumed from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..computing.devices import usable_device
from ..computing.distributed import is_one_of_several
from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..evaluation.display import summary_html
from ..evaluation.results import Result
from ..files.writing import read_json, write_json
from ..models.loading import load_model
from ..models.predictor import EnsemblePredictor
from ..models.ready import ready_base
from ..network.targets import parse_target
from ..runs import folder as run_folder
from ..sources.resolver import read_dataset
from ..tracking import known_trackers, set_trackers
from ..training import train as training
from ..training.run_settings import AUTO, run_config, run_name
from .automatic import KERNEL, MEAN, NETWORK, TUNED, plan_automatic, train_automatic
from .cross_validation import plan_folds, train_folds
from .ensembles import plan_members, train_members
from .learning_curve import plan_sizes, train_sizes

# Kind -> what checks and completes the plan before there is a folder, and what trains it.
KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Result]]] = {
    "folds": (plan_folds, train_folds),
    "members": (plan_members, train_members),
    "auto": (plan_automatic, train_automatic),
    "sizes": (plan_sizes, train_sizes),
}
Data = Dataset | str | Path


class Experiment:
    """Finished training runs that answer one question: a cross-validation or a learning curve.

    Attributes:
        folder: holds the summary, tables and figures, and a run folder for each training run.
        summary: what summary.json holds, see docs/training.md.
    """

    def __init__(self, folder: Path, summary: Result) -> None:
        self.folder = folder
        self.summary = summary

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.folder}: {', '.join(self.summary['targets'])}>"

    def _repr_html_(self) -> str:
        return summary_html(self.folder, self.summary)


class Ensemble(EnsemblePredictor, Experiment):
    """A finished ensemble: predicts with calibrated deviations, and knows its folder and summary.

    Attributes:
        models: the trained members.
        calibrations: one for each target; it turns the spread of the members into the standard deviation of
            the error of their mean.
        folder: holds the summary, tables and figures, and a run folder for each member.
        summary: what summary.json holds, see docs/training.md.
    """

    def __init__(self, folder: Path, summary: Result) -> None:
        members = load_model(folder)
        assert isinstance(members, EnsemblePredictor)
        EnsemblePredictor.__init__(self, members.models, members.calibrations, members.reliability)
        Experiment.__init__(self, folder, summary)

    def __repr__(self) -> str:
        return f"<Ensemble {self.folder}: predicts {', '.join(self.columns)}>"


def cross_validate(
    data: Data, target: str | Sequence[str], folds: int = 5, *, parallel: int = 1, **options: Any
) -> Experiment:
    """Test every crystal once, by a model that saw none of its material.

    Args:
        data: as for `crystallite.train`.
        target: a property or several, as for `crystallite.train`.
        folds: number of folds, at least 3.
        parallel: number of training runs side by side; more than one needs a dataset that is on disk.
        options: those of `crystallite.train` other than the split.

    Returns:
        The finished experiment. `summary["targets"][NAME]` has mean errors over folds, their 95 % confidence
        and, as `pooled_test_mae`, the error of all crystals at once, in the property's unit.

    Raises:
        CrystalliteError: if an option is invalid, before anything is written.
        TrainingInterruptedError: on Ctrl-C or SIGTERM, after saving; `resume` takes the folder.
    """
    done = _experiment(data, target, {"folds": folds}, parallel=parallel, **options)
    assert isinstance(done, Experiment)
    return done


def train_ensemble(
    data: Data, target: str | Sequence[str], members: int = 5, *, parallel: int = 1, **options: Any
) -> Ensemble:
    """Train the same network from different seeds; its spread, calibrated, is the uncertainty.

    Args:
        data: as for `crystallite.train`.
        target: a property or several, as for `crystallite.train`.
        members: number of members, at least 2.
        parallel: number of training runs side by side; more than one needs a dataset that is on disk.
        options: those of `crystallite.train`.

    Returns:
        The finished ensemble, which predicts like any model; `predict_with_uncertainty` adds the calibrated
        standard deviations.

    Raises:
        CrystalliteError: if an option is invalid, before anything is written.
        TrainingInterruptedError: on Ctrl-C or SIGTERM, after saving; `resume` takes the folder.
    """
    ensemble = _experiment(data, target, {"members": members}, parallel=parallel, **options)
    assert isinstance(ensemble, Ensemble)
    return ensemble


def train_automatically(
    data: Data,
    target: str | Sequence[str],
    *,
    start_from: str | Path = "",
    kernel: bool = True,
    parallel: int = 1,
    **options: Any,
) -> Ensemble | training.Run:
    """Train a network and a kernel machine on descriptors, and take one or the mean of both.

    What is taken is chosen by the error on the validation set alone: the mean, unless one of the two is
    clearly better.

    Args:
        data: as for `crystallite.train`.
        target: a property or several, as for `crystallite.train`.
        start_from: a model to fine-tune, as for `crystallite.train`. `auto`: the ready model of the first
            target, else that of the formation energy; a network of the default shape is trained anew too,
            and the one that validates better is taken. What the ready model knows is left out of
            validation and test.
        kernel: whether the kernel machine is trained; without it `start_from` must be `auto`.
        parallel: number of training runs side by side; more than one needs a dataset that is on disk.
        options: those of `crystallite.train`, for networks; the kernel machine has their split, graphs and
            seed.

    Returns:
        The ensemble of both, or the run of the one that is taken. `summary["chosen"]` says which it is, and
        `summary["validation_errors"]` why.

    Raises:
        CrystalliteError: if an option is invalid, before anything is written.
        TrainingInterruptedError: on Ctrl-C or SIGTERM, after saving; `resume` takes the folder.
    """
    names = [TUNED] * (start_from == AUTO) + [NETWORK] + [KERNEL] * kernel
    if len(names) < 2:
        raise CrystalliteError("there is nothing to choose from: start_from='auto', or a kernel machine too")
    if start_from == AUTO:
        first = target if isinstance(target, str) else next(iter(target), "")
        start_from = ready_base(parse_target(first)[0])
    done = _experiment(data, target, {"auto": names}, parallel=parallel, start_from=start_from, **options)
    assert isinstance(done, Ensemble | training.Run)
    return done


def learning_curve(
    data: Data,
    target: str | Sequence[str],
    sizes: Sequence[int] = (),
    *,
    parallel: int = 1,
    **options: Any,
) -> Experiment:
    """Measure how the test error falls with the number of training crystals, and fit a power law.

    Args:
        data: as for `crystallite.train`.
        target: one property, as for `crystallite.train`.
        sizes: numbers of training crystals; by default six, each twice the one before, up to all.
        parallel: number of training runs side by side; more than one needs a dataset that is on disk.
        options: those of `crystallite.train`.

    Returns:
        The finished experiment. `summary["targets"][NAME]` has the test MAE of each size, and factor and
        exponent of error = factor x size^-exponent, in the property's unit.

    Raises:
        CrystalliteError: if an option is invalid, before anything is written.
        TrainingInterruptedError: on Ctrl-C or SIGTERM, after saving; `resume` takes the folder.
    """
    done = _experiment(data, target, {"sizes": list(sizes)}, parallel=parallel, **options)
    assert isinstance(done, Experiment)
    return done


def resume(
    folder: str | Path,
    *,
    data: Dataset | None = None,
    parallel: int = 1,
    workers: int = 1,
    device: str = "cpu",
    progress: bool = True,
) -> training.Run | Experiment:
    """Resume whatever was interrupted in `folder`, and return it finished.

    Args:
        folder: of a training run, a cross-validation, an ensemble or a learning curve.
        data: only where it was started from a Dataset in memory.
        parallel: number of training runs side by side, if there are several.
        workers: number of threads that build graphs.
        device: of the network; warns if it differs from the one before, as results may differ in rounding.
        progress: whether a bar is shown.

    Returns:
        What the function that started it would have returned; a training run with the same bits.

    Raises:
        CrystalliteError: if the folder holds none of these, or its data has changed.
        TrainingInterruptedError: on Ctrl-C or SIGTERM, after saving.
    """
    folder = Path(folder)
    if not is_group(folder):
        if parallel > 1:
            raise CrystalliteError(f"{folder} holds one training run; parallel is for several")
        return training.resume(folder, data=data, workers=workers, device=device, progress=progress)
    return finished(
        folder,
        resume_group(folder, data=data, parallel=parallel, workers=workers, device=device, progress=progress),
    )


def _experiment(
    data: Data,
    target: str | Sequence[str],
    group: dict[str, Any],
    *,
    parallel: int,
    workers: int = 1,
    device: str = "cpu",
    progress: bool = True,
    **options: Any,
) -> Experiment | training.Run:
    folder = start_group(data, target, group, workers=workers, device=device, **options)
    in_memory = data if isinstance(data, Dataset) else None
    summary = resume_group(
        folder, data=in_memory, parallel=parallel, workers=workers, device=device, progress=progress
    )
    return finished(folder, summary)


def start_group(
    data: Data,
    target: str | Sequence[str],
    group: dict[str, Any],
    *,
    out: str | Path | None = None,
    track: str | Sequence[str] = (),
    workers: int = 1,
    device: str = "cpu",
    **settings: Any,
) -> Path:
    """Make the folder of several training runs and return it.

    group: {"folds": k}, {"members": k}, {"auto": [name, ...]} or {"sizes": [n, ...]} (none: doubling).
    track, workers, settings: those of `train`. Raises CrystalliteError for what cannot be trained.
    """
    device = usable_device(device)
    track = known_trackers(track)
    if not isinstance(settings.get("split", ""), str):
        raise CrystalliteError("several training runs take their split as text, or from split_column")
    dataset = data if isinstance(data, Dataset) else read_dataset(data)
    config = run_config(data, dataset, target, **settings)
    if is_one_of_several():
        raise CrystalliteError("several training runs run side by side with --parallel N, not in torchrun")
    ((kind, wanted),) = group.items()
    group = {kind: KINDS[kind][0](dataset, config, wanted, workers=workers)}
    folder = run_folder.new_folder(out, f"{run_name(dataset, config)}-{kind}")
    set_trackers(folder, track)
    write_json(folder / run_folder.GROUP, group)
    config.write(folder, device)
    return folder


def resume_group(folder: Path, *, data: Dataset | None = None, **options: Any) -> Result:
    """Train what is missing in the folder of several training runs and return its summary.

    options: parallel (training runs side by side), workers, device, progress.
    """
    kind = _kind_of(folder / run_folder.GROUP)
    with run_folder.locked(folder):
        return KINDS[kind][1](folder, data=data, **options)


def finished(folder: Path, summary: Result) -> Experiment | training.Run:
    """Return what a folder of several finished training runs holds."""
    if summary.get("chosen", MEAN) != MEAN:
        return training.Run(load_model(folder).model, folder, summary)
    return (Ensemble if "members" in summary else Experiment)(folder, summary)


def _kind_of(path: Path) -> str:
    """Return the kind of group that a folder says it holds; raises CrystalliteError if it is none."""
    group = read_json(path)
    kind, wanted = next(iter(group.items())) if isinstance(group, dict) and len(group) == 1 else ("", 0)
    parts = wanted if isinstance(wanted, list) and wanted else [wanted]
    if kind == "auto":
        known = all(part in (TUNED, NETWORK, KERNEL) for part in parts) and NETWORK in parts
    else:
        known = kind in KINDS and all(type(part) is int and part > 0 for part in parts)
    if not known:
        raise CrystalliteError(f"{path} is damaged: it names neither folds nor members nor sizes nor models")
    return kind


def is_group(folder: Path) -> bool:
    """Whether a folder holds several training runs."""
    return (folder / run_folder.GROUP).is_file()
