"""Running a trained network over packed graphs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from ..computing.threads import own_threads
from ..errors import CrystalliteError
from ..graphs.packed import Indices, PackedGraphs
from ..network.batches import batch_inputs
from ..network.model import CrystalNetwork
from .checkpoint import TrainedModel

BATCH_EDGES = 50_000  # edges a batch holds at most, some 50 MB of working memory


@own_threads()
@torch.no_grad()
def network_outputs(network: CrystalNetwork, graphs: PackedGraphs, rows: Indices) -> NDArray[np.float32]:
    """Return (rows, outputs) of the network in evaluation mode; memory does not grow with the rows."""
    was_training = network.training
    network.eval()
    outputs = np.empty((len(rows), network.config.n_outputs), np.float32)
    for batch in _batches(graphs, rows):
        outputs[batch] = network(batch_inputs(network, graphs, rows[batch])).float().cpu().numpy()
    network.train(was_training)
    return outputs


@own_threads()
@torch.no_grad()
def atom_contributions(model: TrainedModel, graphs: PackedGraphs) -> NDArray[np.float64]:
    """Return (nodes, targets) contributions in units whose mean over a crystal's atoms is its prediction.

    Needs a model with the per-atom readout; graphs that are not reduced have one node an atom.
    """
    linear = model.targets.task == "regression" and set(model.targets.transforms) == {"standard"}
    if model.network.config.readout != "per-atom" or not linear:
        raise CrystalliteError(
            "contributions of atoms need a model with readout = per-atom and without log10"
        )
    rows, network = np.arange(graphs.n_crystals), model.network
    parts = [
        network.contributions(batch_inputs(network, graphs, rows[batch])) for batch in _batches(graphs, rows)
    ]
    return model.targets.from_outputs(torch.cat(parts).float().cpu().numpy())


def predict_graphs(
    model: TrainedModel, graphs: PackedGraphs, rows: Indices | None = None
) -> NDArray[np.float64]:
    """Return (rows, targets) predictions in the targets' units, of all crystals unless `rows` are given."""
    rows = np.arange(graphs.n_crystals) if rows is None else rows
    return model.targets.from_outputs(network_outputs(model.network, graphs, rows))


def _batches(graphs: PackedGraphs, rows: Indices) -> list[slice]:
    """Cut rows into runs of at most BATCH_EDGES edges (but at least one crystal)."""
    first_edges = graphs.edge_offsets[graphs.node_offsets]
    ends = np.cumsum(np.diff(first_edges)[rows])
    cuts = [0]
    while cuts[-1] < len(rows):
        done = ends[cuts[-1] - 1] if cuts[-1] else 0
        cuts.append(max(int(np.searchsorted(ends, done + BATCH_EDGES, side="right")), cuts[-1] + 1))
    return [slice(a, b) for a, b in pairwise(cuts)]
