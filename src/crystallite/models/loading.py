"""Models of all kinds from where they lie: run folders, files, published checkpoints, the package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..computing.devices import usable_device
from ..errors import CrystalliteError, suggestion
from ..evaluation.calibration import Calibration
from ..extras import needed
from ..files.writing import read_json
from ..runs.names import BEST, GROUP
from ..settings.config import Ties
from .bundle import Bundle, read_bundle
from .checkpoint import TrainedModel, read_model, read_reliability
from .predictor import EnsemblePredictor, Predictor
from .ready import ALL, ready_models, ready_name

ENSEMBLE = "ensemble.json"  # in the folder of an ensemble: its members and their calibration
ALONE = "none: one model is taken"  # in place of a calibration, where the recipe auto took one model
RELIABILITY = "reliability.safetensors"  # beside it: what the intervals of their mean are made of


def load_model(path: str | Path, *, ties: Ties | None = None, device: str = "cpu") -> Predictor:
    """Load a model of any kind.

    Args:
        path: the name of a model that comes with the package, the folder of a training run or an ensemble, a
            .safetensors file or a published .pth.tar, in which nothing is executed.
        ties: the rule for equally distant neighbours, `shared` or `first`, instead of the one the model was
            trained with. Published checkpoints do not say theirs: they share ties unless told otherwise.
        device: of the network, such as `cpu` or `cuda`.

    Returns:
        The model; an EnsemblePredictor for an ensemble.

    Raises:
        CrystalliteError: if there is no such model or device, or its file is damaged.
    """
    device = usable_device(device)
    return _placed(_predictor(load_bundle(path)), ties, device)


def load_models(path: str | Path, *, ties: Ties | None = None, device: str = "cpu") -> list[Predictor]:
    """Load the model that `load_model` does, or every model that comes with the package for `all`."""
    if ready_name(path) != ALL:
        return [load_model(path, ties=ties, device=device)]
    device = usable_device(device)
    predictors = load_ready(ready_models())
    if not predictors:
        raise CrystalliteError("no models come with this copy of Crystallite: make models trains them")
    return [_placed(predictor, ties, device) for predictor in predictors]


def load_ready(names: Iterable[str]) -> list[Predictor]:
    """Load models that come with the package, on the CPU: one for those of a file, with their targets."""
    columns: dict[Path, list[int]] = {}
    for name in names:
        model = ready_models()[name]
        columns.setdefault(model.path, []).append(model.column)
    return [_predictor(read_bundle(path).of_targets(wanted)) for path, wanted in columns.items()]


def load_bundle(path: str | Path) -> Bundle:
    """Load what `load_model` does as members with their calibration, reliability and card."""
    name = ready_name(path)
    if name == ALL:
        raise CrystalliteError(f"{ALL} stands for several models: choose one of {', '.join(ready_models())}")
    if name:
        model = ready_models()[name]
        return read_bundle(model.path).of_targets([model.column])
    path = Path(path)
    return _read_ensemble(path) if (path / ENSEMBLE).is_file() else _read_single(path)


def read_any_model(path: str | Path) -> TrainedModel:
    """Read a single model: of a run folder, a file or the package; of several in one file the first."""
    if ready_name(path):
        return load_bundle(path).members[0]
    return _read_single(Path(path)).members[0]


def _placed(predictor: Predictor, ties: Ties | None, device: str) -> Predictor:
    for model in predictor.models:
        model.device = device
    return predictor if ties is None else predictor.with_ties(ties)


def _predictor(bundle: Bundle) -> Predictor:
    if len(bundle.members) == 1:
        predictor = Predictor(bundle.members[0])
    else:
        predictor = EnsemblePredictor(bundle.members, bundle.calibrations, bundle.reliability)
    predictor.card = bundle.card
    return predictor


def _read_ensemble(path: Path) -> Bundle:
    names, written = _ensemble_facts(path / ENSEMBLE)
    models = [read_model(path / name / BEST) for name in names]
    for name, model in zip(names, models, strict=True):
        if model.graph.effective() != models[0].graph.effective():
            raise CrystalliteError(
                f"{path}: {name} was trained with other graph settings than {names[0]} "
                f"({model.graph}, {models[0].graph}); they do not form an ensemble; train a new one"
            )
    targets = models[0].targets
    if len(models) == 1 and written == ALONE:
        return Bundle(models, reliability=models[0].reliability)
    try:
        if isinstance(written, dict):
            written = [written[name] for name in targets.names]
        calibrations = [Calibration.read(one) for one in written]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CrystalliteError(f"{path / ENSEMBLE} is damaged: no calibration of each target") from error
    if len(calibrations) != len(targets.names) or len({m.targets.names for m in models}) > 1:
        raise CrystalliteError(f"{path / ENSEMBLE} is damaged: its members do not fit together")
    file = path / RELIABILITY
    return Bundle(models, calibrations, read_reliability(file, targets) if file.exists() else None)


def _ensemble_facts(path: Path) -> tuple[list[str], Any]:
    """Return the members' folders, and their calibrations: by target, of version 0.1.0 in their order."""
    facts = read_json(path)
    names = facts.get("members") if isinstance(facts, dict) else None
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not names or not is_list or not all(Path(name).name == name != ".." for name in names):
        raise CrystalliteError(f"{path} is damaged: it does not name the folders of its members")
    return list(names), facts.get("calibration")


def _read_single(path: Path) -> Bundle:
    if path.is_dir():
        if (path / GROUP).is_file():
            raise CrystalliteError(f"{path} holds several runs; choose one of the folders in it")
        if not (path / BEST).is_file():
            raise CrystalliteError(
                f"{path}: no {BEST} in this folder, so it is not the folder of a finished run"
            )
        return read_bundle(path / BEST)
    if path.suffix == ".safetensors":
        return read_bundle(path)
    if path.is_file():
        needed("torch", f"{path}, a checkpoint of the published code,", "crystallite[train]")
        from .published import load_published

        return Bundle([load_published(path)])
    known = [*ready_models(), ALL]
    raise CrystalliteError(
        f"{path}: no such model{suggestion(str(path), known)}; give a run folder, a .safetensors or .pth.tar "
        f"file, or a name that `crystallite models list` shows"
    )
