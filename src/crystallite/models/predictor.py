"""Predictions from a trained or published model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..computing.devices import usable_device
from ..crystals.crystal import Crystal, as_crystal
from ..errors import CrystalError, CrystalliteError
from ..evaluation.calibration import Calibration
from ..extras import needed
from ..files.writing import read_json
from ..graphs.packed import PackedGraphs, build_graph, build_graphs, pack_graphs
from ..runs.names import BEST, GROUP
from ..settings.config import Ties
from ..sources.reading.structures import read_crystal
from .checkpoint import PUBLISHED, TrainedModel, read_model
from .inference import atom_contributions, predict_graphs

TIES_UNKNOWN = (
    "published checkpoints do not say how they treat equally distant neighbours; their ties are shared "
    "here, ties = first repeats the published code's choice"
)
NO_NUMBER = "the model's prediction is not a finite number: the crystal is unlike anything it was trained on"
ENSEMBLE = "ensemble.json"  # in the folder of an ensemble: its members and their calibration


class Predictor:
    """A model that predicts properties of crystals, with the graph settings it was trained with.

    Attributes:
        model: the trained network with its graph settings and targets; of an ensemble the first.
        models: all of them.
        notice: what a user should know about its settings, or "".
    """

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self.models = [model]
        self.notice = TIES_UNKNOWN if model.info.get("source") == PUBLISHED else ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self.columns)}>"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that `predict_packed` returns: the targets."""
        return self.model.targets.names

    def predict(self, crystals: Any, *, workers: int = 1) -> NDArray[np.float64]:
        """Predict properties of crystals.

        Args:
            crystals: a Dataset, or one crystal or several in whatever can be iterated: lists, arrays, pandas
                Series. A crystal is a Crystal, a pymatgen Structure, an ASE Atoms or the path of a file with
                one crystal.
            workers: number of threads that build graphs.

        Returns:
            Values in the targets' units, for classification the probability of class 1, float64; (crystals,)
            for one target, (crystals, targets) for several.

        Raises:
            CrystalError: naming the first crystal that cannot be used.
        """
        n_targets = len(self.model.targets.names)
        predicted = self.predict_packed(self.graphs(crystals, workers=workers))[:, :n_targets]
        self.refuse_no_numbers(predicted)
        return predicted[:, 0] if n_targets == 1 else predicted

    def site_contributions(self, crystal: Any) -> NDArray[np.float64]:
        """Tell what each atom of a crystal contributes to its prediction (the paper's site energies).

        Args:
            crystal: one, as `predict` takes it.

        Returns:
            (atoms, targets) float64 in the targets' units; their mean over the atoms is the prediction.

        Raises:
            CrystalliteError: unless the model was trained with readout="per-atom", and without log10.
            CrystalError: if the crystal cannot be used.
        """
        graph = build_graph(_as_crystal(crystal, "crystal"), self.model.graph, reduced=False)
        graphs = pack_graphs([graph])
        contributions: NDArray[np.float64] = np.mean(
            [atom_contributions(model, graphs) for model in self.models], axis=0
        )
        return contributions

    def graphs(self, crystals: Any, *, workers: int = 1) -> PackedGraphs:
        """Build the graphs of crystals with the model's settings.

        Args:
            crystals: as `predict` takes them.
            workers: number of threads that build graphs.

        Returns:
            The graphs, as `predict_packed` takes them.

        Raises:
            CrystalError: naming the first crystal that cannot be used.
        """
        from ..datasets.dataset import Dataset

        if isinstance(crystals, Dataset):
            return build_graphs(crystals.arrays, self.model.graph, crystals.ids, workers=workers)
        items = [crystals] if _is_one(crystals) else list(crystals)
        names = [
            str(item) if isinstance(item, str | Path) else f"crystal {k}" for k, item in enumerate(items)
        ]
        converted = [_as_crystal(item, name) for item, name in zip(items, names, strict=True)]
        return build_graphs(converted, self.model.graph, names, workers=workers)

    def refuse_no_numbers(self, predicted: NDArray[np.float64]) -> None:
        """Raise CrystalError if a prediction is not finite, naming the first such crystal.

        Args:
            predicted: (crystals, columns) float64, from `predict_packed`.

        Raises:
            CrystalError: naming the first crystal, counted from 0, whose prediction is not finite.
        """
        is_number = self.are_numbers(predicted)
        if not is_number.all():
            raise CrystalError(f"crystal {is_number.argmin()}", NO_NUMBER)

    def are_numbers(self, predicted: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which rows hold valid predictions: finite values; an unknown deviation (NaN) is allowed.

        Args:
            predicted: (crystals, columns) float64, from `predict_packed`.

        Returns:
            (crystals,) bool.
        """
        n_targets = len(self.model.targets.names)
        finite = np.isfinite(predicted[:, :n_targets]).all(axis=1)
        return np.asarray(finite & ~np.isinf(predicted).any(axis=1))

    def predict_packed(self, graphs: PackedGraphs) -> NDArray[np.float64]:
        """Predict properties of crystals from graphs that are already built.

        Args:
            graphs: built with the model's settings, see `graphs`.

        Returns:
            (crystals, columns) float64 in the targets' units; see `columns`.
        """
        return predict_graphs(self.model, graphs)

    def with_ties(self, ties: Ties) -> Self:
        """Return the same model with another rule for equally distant neighbours.

        Args:
            ties: `shared` or `first`, see `GraphConfig`.

        Returns:
            A model with the same weights whose graphs are built by this rule.
        """
        changed = copy(self)
        changed.model = replace(self.model, graph=replace(self.model.graph, ties=ties))
        changed.notice = ""
        return changed


class EnsemblePredictor(Predictor):
    """Several models of the same targets: their mean, and the calibrated standard deviation of its error.

    Attributes:
        models: the members.
        calibrations: one for each target; it turns the spread of the members into the standard deviation of
            the error of their mean.
    """

    def __init__(self, models: Sequence[TrainedModel], calibrations: Sequence[Calibration]) -> None:
        super().__init__(models[0])
        self.models = list(models)
        self.calibrations = list(calibrations)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that `predict_packed` returns: the targets, then NAME_std of each."""
        names = self.model.targets.names
        return (*names, *(f"{name}_std" for name in names))

    def predict_packed(self, graphs: PackedGraphs) -> NDArray[np.float64]:
        """Predict properties of crystals from graphs that are already built.

        Args:
            graphs: built with the model's settings, see `graphs`.

        Returns:
            (crystals, 2 x targets) float64 in the targets' units: the means, then the standard deviations.
        """
        return np.hstack(self.combined(np.stack([predict_graphs(model, graphs) for model in self.models])))

    def predict_with_uncertainty(
        self, crystals: Any, *, workers: int = 1
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predict properties of crystals, and how far off the predictions are likely to be.

        Args:
            crystals: as `predict` takes them.
            workers: number of threads that build graphs.

        Returns:
            Means and calibrated standard deviations of their errors, float64 in the targets' units; each
            (crystals,) for one target, (crystals, targets) for several.

        Raises:
            CrystalError: naming the first crystal that cannot be used.
        """
        both = self.predict_packed(self.graphs(crystals, workers=workers))
        mean, deviation = np.hsplit(both, 2)
        return (mean[:, 0], deviation[:, 0]) if mean.shape[1] == 1 else (mean, deviation)

    def combined(self, members: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Combine the predictions of the members.

        Args:
            members: (members, crystals, targets) float64 in the targets' units.

        Returns:
            Mean and calibrated standard deviation in the targets' units, each (crystals, targets) float64.
        """
        mean = members.mean(axis=0)
        columns = [
            calibration.in_units(calibration.deviation(calibration.spread(members[:, :, k])), mean[:, k])
            for k, calibration in enumerate(self.calibrations)
        ]
        return mean, np.stack(columns, axis=1)


def load_model(path: str | Path, *, ties: Ties | None = None, device: str = "cpu") -> Predictor:
    """Load a model of any kind.

    Args:
        path: the folder of a training run or an ensemble, a .safetensors file or a published .pth.tar, in
            which nothing is executed.
        ties: the rule for equally distant neighbours, `shared` or `first`, instead of the one the model was
            trained with. Published checkpoints do not say theirs: they share ties unless told otherwise.
        device: of the network, such as `cpu` or `cuda`.

    Returns:
        The model; an EnsemblePredictor for the folder of an ensemble.

    Raises:
        CrystalliteError: if there is no such model or device, or its file is damaged.
    """
    path, device = Path(path), usable_device(device)
    ensemble = (path / ENSEMBLE).is_file()
    predictor = _load_ensemble(path) if ensemble else Predictor(read_any_model(path))
    for model in predictor.models:
        model.device = device
    return predictor if ties is None else predictor.with_ties(ties)


def _load_ensemble(path: Path) -> EnsemblePredictor:
    names, written = _ensemble_facts(path / ENSEMBLE)
    models = [read_model(path / name / BEST) for name in names]
    for name, model in zip(names, models, strict=True):
        if model.graph.effective() != models[0].graph.effective():
            raise CrystalliteError(
                f"{path}: {name} was trained with other graph settings than {names[0]} "
                f"({model.graph}, {models[0].graph}); they do not form an ensemble; train a new one"
            )
    try:
        if isinstance(written, dict):
            written = [written[name] for name in models[0].targets.names]
        calibrations = [Calibration.read(one) for one in written]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CrystalliteError(f"{path / ENSEMBLE} is damaged: no calibration of each target") from error
    if len(calibrations) != len(models[0].targets.names) or len({m.targets.names for m in models}) > 1:
        raise CrystalliteError(f"{path / ENSEMBLE} is damaged: its members do not fit together")
    return EnsemblePredictor(models, calibrations)


def _ensemble_facts(path: Path) -> tuple[list[str], Any]:
    """Return the members' folders, and their calibrations: by target, of version 0.1.0 in their order."""
    facts = read_json(path)
    names = facts.get("members") if isinstance(facts, dict) else None
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not names or not is_list or not all(Path(name).name == name != ".." for name in names):
        raise CrystalliteError(f"{path} is damaged: it does not name the folders of its members")
    return list(names), facts.get("calibration")


def read_any_model(path: str | Path) -> TrainedModel:
    """Read the model of a run folder, a .safetensors or a .pth.tar file."""
    path = Path(path)
    if path.is_dir():
        if (path / GROUP).is_file():
            raise CrystalliteError(f"{path} holds several runs; choose one of the folders in it")
        if not (path / BEST).is_file():
            raise CrystalliteError(
                f"{path}: no {BEST} in this folder, so it is not the folder of a finished run"
            )
        return read_model(path / BEST)
    if path.suffix == ".safetensors":
        return read_model(path)
    if path.is_file():
        needed("torch", f"{path}, a checkpoint of the published code,", "crystallite[train]")
        from .published import load_published

        return load_published(path)
    raise CrystalliteError(f"{path}: no such model; give a run folder, a .safetensors or a .pth.tar file")


def _as_crystal(item: Any, name: str) -> Crystal:
    return read_crystal(item) if isinstance(item, str | Path) else as_crystal(item, name)


def _is_one(crystals: Any) -> bool:
    """Whether this is one crystal, not several; pymatgen's Structures and ASE's Atoms can be iterated too."""
    if isinstance(crystals, Crystal | str | Path | Mapping) or hasattr(crystals, "columns"):
        return True  # the last two are neither: as_crystal says so
    if hasattr(crystals, "lattice") or hasattr(crystals, "cell") or getattr(crystals, "ndim", 1) == 0:
        return True
    return not hasattr(crystals, "__iter__")
