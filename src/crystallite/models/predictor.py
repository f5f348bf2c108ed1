"""Predictions from a trained or published model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..crystals.crystal import Crystal, as_crystal, is_one
from ..errors import CrystalError
from ..evaluation.calibration import Calibration
from ..graphs.packed import PackedGraphs, build_graphs, full_graphs
from ..settings.config import Ties
from ..sources.reading.structures import read_crystal
from .checkpoint import PUBLISHED, TrainedModel
from .inference import atom_contributions, predict_and_embed, predict_graphs
from .reliability import Reliability

TIES_UNKNOWN = (
    "published checkpoints do not say how they treat equally distant neighbours; their ties are shared "
    "here, ties = first repeats the published code's choice"
)
NO_NUMBER = "the model's prediction is not a finite number: the crystal is unlike anything it was trained on"


class Evaluated(NamedTuple):
    """What the networks of a model say of crystals.

    members: (members, crystals, targets) float64 in the targets' units. embedding: (crystals, atom_width)
    float32 of the first member, for models that know their training data.
    """

    members: NDArray[np.float64]
    embedding: NDArray[np.float32] | None


class Predictor:
    """A model that predicts properties of crystals, with the graph settings it was trained with.

    Attributes:
        model: the trained network with its graph settings and targets; of an ensemble the first.
        models: all of them.
        reliability: what its intervals and its distances to the training data are made of, or None.
        notice: what a user should know about its settings, or "".
        card: facts about a model that comes with the package, else empty.
    """

    is_ensemble = False

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self.models = [model]
        self.reliability = model.reliability
        self.card: Mapping[str, Any] = {}
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

    def embed(self, crystals: Any, *, atoms: bool = False, workers: int = 1) -> NDArray[np.float32]:
        """Return vectors of crystals, or of their atoms: what the model reads its prediction from.

        Args:
            crystals: as `predict` takes them.
            atoms: whether vectors of atoms are returned, in the order of the crystals and of their atoms.
            workers: number of threads that build graphs.

        Returns:
            (crystals, width) float32, the mean over each crystal's atoms, or (atoms, width); of an ensemble
            those of the first member, of a model of the recipe small the scaled descriptors.

        Raises:
            CrystalError: naming the first crystal that cannot be used, or whose vector is not finite.
            CrystalliteError: for vectors of atoms of a model that has none.
        """
        from .embeddings import NO_VECTOR, check_atoms, vectors_of, without_vector

        check_atoms(self.model, atoms)
        graphs = self.graphs(crystals, workers=workers, reduced=not atoms)
        vectors, owners = vectors_of(self.model, graphs, atoms)
        if len(wrong := without_vector(vectors, owners)):
            raise CrystalError(f"crystal {wrong[0]}", NO_VECTOR)
        return vectors

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
        graphs = full_graphs([_as_crystal(crystal, "crystal")], self.model.graph)
        contributions: NDArray[np.float64] = np.mean(
            [atom_contributions(model, graphs) for model in self.models], axis=0
        )
        return contributions

    def graphs(self, crystals: Any, *, workers: int = 1, reduced: bool = True) -> PackedGraphs:
        """Build the graphs of crystals with the model's settings.

        Args:
            crystals: as `predict` takes them.
            workers: number of threads that build graphs.
            reduced: whether equivalent atoms share a node; otherwise there is one for each atom.

        Returns:
            The graphs, as `predict_packed` takes them.

        Raises:
            CrystalError: naming the first crystal that cannot be used.
        """
        from ..datasets.dataset import Dataset

        if isinstance(crystals, Dataset) and not reduced:
            crystals = list(crystals)
        if isinstance(crystals, Dataset):
            return build_graphs(crystals.arrays, self.model.graph, crystals.ids, workers=workers)
        items = [crystals] if is_one(crystals) else list(crystals)
        names = [
            str(item) if isinstance(item, str | Path) else f"crystal {k}" for k, item in enumerate(items)
        ]
        converted = [_as_crystal(item, name) for item, name in zip(items, names, strict=True)]
        if not reduced:
            build_graphs(converted, self.model.graph, names)  # names what cannot be used
            return full_graphs(converted, self.model.graph)
        return build_graphs(converted, self.model.graph, names, workers=workers)

    def refuse_no_numbers(self, predicted: NDArray[np.float64]) -> None:
        """Raise CrystalError if a predicted value is not finite, naming the first such crystal.

        Args:
            predicted: (crystals, columns) float64, from `predict_packed`.

        Raises:
            CrystalError: naming the first crystal, counted from 0, whose prediction is not finite.
        """
        is_number = np.isfinite(predicted[:, : len(self.model.targets.names)]).all(axis=1)
        if not is_number.all():
            raise CrystalError(f"crystal {is_number.argmin()}", NO_NUMBER)

    def predict_packed(self, graphs: PackedGraphs) -> NDArray[np.float64]:
        """Predict properties of crystals from graphs that are already built.

        Args:
            graphs: built with the model's settings, see `graphs`.

        Returns:
            (crystals, columns) float64 in the targets' units; see `columns`.
        """
        return self.combine(self.evaluate(graphs).members)

    def evaluate(self, graphs: PackedGraphs) -> Evaluated:
        """Run the networks over graphs that are already built.

        Args:
            graphs: built with the model's settings, see `graphs`.

        Returns:
            The predictions of each member, and the embedding of the first one.
        """
        first, *others = self.models
        if self.reliability is None:
            predicted, embedding = predict_graphs(first, graphs), None
        else:
            predicted, embedding = predict_and_embed(first, graphs)
        return Evaluated(
            np.stack([predicted, *(predict_graphs(model, graphs) for model in others)]), embedding
        )

    def combine(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn what the members predict into the columns of `predict_packed`.

        Args:
            members: (members, crystals, targets) float64 in the targets' units.

        Returns:
            (crystals, columns) float64 in the targets' units; see `columns`.
        """
        return self.mean(members)

    def mean(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """Average what the members predict; probabilities of classes are calibrated, if the model can.

        Args:
            members: (members, crystals, targets) float64 in the targets' units.

        Returns:
            (crystals, targets) float64 in the targets' units.
        """
        if self.reliability is None:
            return np.asarray(members.mean(axis=0))
        return self.reliability.mean(self.model.targets, members)

    def with_ties(self, ties: Ties) -> Self:
        """Return the same model with another rule for equally distant neighbours.

        Args:
            ties: `shared` or `first`, see `GraphConfig`.

        Returns:
            A model with the same weights whose graphs are built by this rule.
        """
        changed = copy(self)
        changed.model = replace(self.model, graph=replace(self.model.graph, ties=ties))
        changed.models = [changed.model, *self.models[1:]]
        changed.notice = ""
        return changed


class EnsemblePredictor(Predictor):
    """Several models of the same targets: their mean, and the calibrated standard deviation of its error.

    Attributes:
        models: the members.
        calibrations: one for each target; it turns the spread of the members into the standard deviation of
            the error of their mean.
    """

    is_ensemble = True

    def __init__(
        self,
        models: Sequence[TrainedModel],
        calibrations: Sequence[Calibration],
        reliability: Reliability | None = None,
    ) -> None:
        super().__init__(models[0])
        self.models = list(models)
        self.calibrations = list(calibrations)
        self.reliability = reliability  # of the mean, not of the first member

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that `predict_packed` returns: the targets, then NAME_std of each."""
        names = self.model.targets.names
        return (*names, *(f"{name}_std" for name in names))

    def combine(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn what the members predict into the columns of `predict_packed`.

        Args:
            members: (members, crystals, targets) float64 in the targets' units.

        Returns:
            (crystals, 2 x targets) float64 in the targets' units: the means, then the standard deviations.
        """
        return np.hstack(self.combined(members))

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
        mean = self.mean(members)
        if self.reliability is not None and self.model.targets.task == "classification":
            members = self.reliability.logistic.probability(members)
        columns = [
            calibration.in_units(calibration.deviation(calibration.spread(members[:, :, k])), mean[:, k])
            for k, calibration in enumerate(self.calibrations)
        ]
        return mean, np.stack(columns, axis=1)


def _as_crystal(item: Any, name: str) -> Crystal:
    return read_crystal(item) if isinstance(item, str | Path) else as_crystal(item, name)
