"""Measuring a model on the crystals that were held out of its training: its `Reliability`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..evaluation.calibration import UNCHANGED, fit_logistic
from ..graphs.packed import Indices, PackedGraphs
from ..network.targets import Targets
from .checkpoint import TrainedModel
from .inference import predict_and_embed, predict_graphs
from .reference import Reference
from .reliability import Reliability, spreads_of

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
    _, of_training = predict_and_embed(first, graphs, training)
    nodes = np.repeat(np.arange(graphs.n_crystals), np.diff(graphs.node_offsets))
    reference = Reference.of(
        of_training,
        values[training],
        [ids[row] for row in training],
        graphs.numbers[np.isin(nodes, training)],
    )
    mean, logistic = members.mean(axis=0), UNCHANGED
    if targets.task == "classification":
        logistic = fit_logistic(values[held_out, 0], mean[:, 0])
        mean = logistic.probability(mean)
    return Reliability(
        errors_of(targets, values[held_out], mean),
        spreads_of(targets, members),
        reference.distances(embedding),
        reference,
        logistic,
    )


def errors_of(targets: Targets, truth: Values, mean: Values) -> Values:
    """Return (crystals, targets) errors as `Reliability.errors` has them; truth, mean: in units."""
    if targets.task == "classification":
        return np.where(np.isnan(truth), np.nan, np.abs(truth - mean))
    return np.abs(targets.transformed(truth) - targets.transformed(mean))
