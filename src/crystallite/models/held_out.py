"""Measuring a model on the crystals that were held out of its training: its `Reliability`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..evaluation.calibration import UNCHANGED, fit_logistic
from ..evaluation.conformal import SIGNALS, HeldOut, Intervals
from ..graphs.packed import Indices, PackedGraphs
from ..network.targets import Targets
from .checkpoint import TrainedModel
from .inference import predict_and_embed, predict_graphs
from .reference import Reference
from .reliability import Reliability, spreads_of

MOST_EMBEDDED = 1 << 18  # training crystals that say where all lie; 340 MB of an embedding 64 wide
Values = NDArray[np.float64]


def measured_reliability(
    models: Sequence[TrainedModel],
    graphs: PackedGraphs,
    values: Values,
    ids: Sequence[str],
    training: Indices,
    held_out: Indices,
) -> Reliability | None:
    """Return the reliability of models that are averaged; None where nothing was held out.

    values: (crystals, targets) in units, of all crystals. training, held_out: rows.
    """
    if not len(held_out) or not np.isfinite(values[held_out]).any():
        return None
    first, *others = models
    targets = first.targets
    predicted, embedding = predict_and_embed(first, graphs, held_out)
    members = np.stack([predicted, *(predict_graphs(model, graphs, held_out) for model in others)])
    reference = _reference(first, graphs, values, ids, training)
    mean, logistic = members.mean(axis=0), UNCHANGED
    if targets.task == "classification":
        logistic = fit_logistic(values[held_out, 0], mean[:, 0])
        mean = logistic.probability(mean)
    errors, spreads = errors_of(targets, values[held_out], mean), spreads_of(targets, members)
    distances = reference.distances(embedding)
    difficulty = _difficulty(errors, spreads, distances)
    return Reliability(errors, spreads, distances, difficulty, reference, logistic)


def _reference(
    model: TrainedModel, graphs: PackedGraphs, values: Values, ids: Sequence[str], training: Indices
) -> Reference:
    """Return the training data as a model sees them, MOST_EMBEDDED crystals at most; with all elements."""
    is_training = np.zeros(graphs.n_crystals, bool)
    is_training[training] = True
    elements = np.unique(graphs.numbers[np.repeat(is_training, np.diff(graphs.node_offsets))])
    if len(training) > MOST_EMBEDDED:
        training = np.sort(np.random.default_rng(0).permutation(training)[:MOST_EMBEDDED])
    _, embedding = predict_and_embed(model, graphs, training)
    return Reference.of(embedding, values[training], [ids[row] for row in training], elements)


def _difficulty(errors: Values, spreads: Values, distances: Values) -> Values:
    """Return `Reliability.difficulty`."""
    found = np.full((errors.shape[1], len(SIGNALS), 2), np.nan)
    for k in range(errors.shape[1]):
        fitted = Intervals.fit(HeldOut(errors[:, k], spreads[:, k], distances)).calibrations
        for name, calibration in fitted.items():
            found[k, SIGNALS.index(name)] = calibration.scale, calibration.floor
    return found


def errors_of(targets: Targets, truth: Values, mean: Values) -> Values:
    """Return (crystals, targets) errors as `Reliability.errors` has them; truth, mean: in units."""
    if targets.task == "classification":
        return np.where(np.isnan(truth), np.nan, np.abs(truth - mean))
    return np.abs(targets.transformed(truth) - targets.transformed(mean))
