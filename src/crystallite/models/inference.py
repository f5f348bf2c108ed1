"""Running a trained network over packed graphs.

On the CPU compiled loops do it in single precision (`network.evaluation`), elsewhere PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import CrystalliteError
from ..features.kernel_machine import KernelMachine
from ..graphs.packed import GraphBatch, Indices, PackedGraphs, gather_batch
from ..network.evaluation import EvaluationNetwork
from .checkpoint import TrainedModel

if TYPE_CHECKING:
    from ..network.model import CrystalNetwork

BATCH_EDGES = 50_000  # edges a batch holds at most, some 20 MB of working memory
Floats = NDArray[np.float32]


def network_outputs(network: CrystalNetwork, graphs: PackedGraphs, rows: Indices) -> Floats:
    """Return (rows, outputs) of a PyTorch network in evaluation mode; memory does not grow with the rows."""
    from .torch_networks import evaluated, is_single_on_cpu, weights_of

    if is_single_on_cpu(network):
        return outputs_of(EvaluationNetwork(network.config, weights_of(network)), graphs, rows)
    evaluate, widths = evaluated(network), (network.config.n_outputs,)
    [outputs] = _of_batches(lambda batch: evaluate(batch)[:1], widths, graphs, rows)
    return outputs


def has_contributions(model: TrainedModel) -> bool:
    """Whether the predictions of a model are means of what atoms contribute."""
    linear = model.targets.task == "regression" and set(model.targets.transforms) == {"standard"}
    return model.config.readout == "per-atom" and linear


def atom_contributions(model: TrainedModel, graphs: PackedGraphs) -> NDArray[np.float64]:
    """Return (nodes, targets) contributions in units whose mean over a crystal's atoms is its prediction.

    Needs a model with the per-atom readout; graphs that are not reduced have one node an atom.
    """
    if not has_contributions(model):
        raise CrystalliteError(
            "contributions of atoms need a model with readout = per-atom and without log10"
        )
    assert isinstance(model.evaluator, EvaluationNetwork)
    return model.targets.from_outputs(of_nodes(model.evaluator.contributions, graphs))


def of_nodes(evaluate: Callable[[GraphBatch], Floats], graphs: PackedGraphs) -> Floats:
    """Return (nodes, width) of a function of batches; of at least one crystal."""
    rows = np.arange(graphs.n_crystals)
    return np.concatenate([evaluate(gather_batch(graphs, rows[batch])) for batch in _batches(graphs, rows)])


def predict_graphs(
    model: TrainedModel, graphs: PackedGraphs, rows: Indices | None = None
) -> NDArray[np.float64]:
    """Return (rows, targets) predictions in the targets' units, of all crystals unless `rows` are given."""
    rows = np.arange(graphs.n_crystals) if rows is None else rows
    if model.device == "cpu" or model.config.method == "kernel":
        outputs = outputs_of(model.evaluator, graphs, rows)
    else:
        outputs = network_outputs(model.network.to(model.device), graphs, rows)
    return model.targets.from_outputs(outputs)


def predict_and_embed(
    model: TrainedModel, graphs: PackedGraphs, rows: Indices | None = None
) -> tuple[NDArray[np.float64], Floats]:
    """Return what `predict_graphs` does, and (rows, atom_width) the embedding: the mean of the atoms."""
    rows = np.arange(graphs.n_crystals) if rows is None else rows
    evaluate: Callable[[GraphBatch], tuple[Floats, ...]]
    if model.device.partition(":")[0] == "cpu" or model.config.method == "kernel":
        evaluate = model.evaluator.outputs_and_embedding
    else:
        from .torch_networks import evaluated

        evaluate = evaluated(model.network.to(model.device))
    widths = (model.config.n_outputs, model.config.atom_width)
    outputs, embedding = _of_batches(evaluate, widths, graphs, rows)
    return model.targets.from_outputs(outputs), embedding


def outputs_of(model: EvaluationNetwork | KernelMachine, graphs: PackedGraphs, rows: Indices) -> Floats:
    """Return (rows, outputs) on the CPU."""
    [outputs] = _of_batches(lambda batch: (model.outputs(batch),), (model.config.n_outputs,), graphs, rows)
    return outputs


def _of_batches(
    evaluate: Callable[[GraphBatch], tuple[Floats, ...]],
    widths: tuple[int, ...],
    graphs: PackedGraphs,
    rows: Indices,
) -> list[Floats]:
    """Return (rows, width) arrays, one for each that a function of batches returns."""
    found = [np.empty((len(rows), width), np.float32) for width in widths]
    for batch in _batches(graphs, rows):
        for array, part in zip(found, evaluate(gather_batch(graphs, rows[batch])), strict=True):
            array[batch] = part
    return found


def _batches(graphs: PackedGraphs, rows: Indices) -> list[slice]:
    """Cut rows into runs of at most BATCH_EDGES edges (but at least one crystal)."""
    first_edges = graphs.edge_offsets[graphs.node_offsets]
    ends = np.cumsum(np.diff(first_edges)[rows])
    cuts = [0]
    while cuts[-1] < len(rows):
        done = ends[cuts[-1] - 1] if cuts[-1] else 0
        cuts.append(max(int(np.searchsorted(ends, done + BATCH_EDGES, side="right")), cuts[-1] + 1))
    return [slice(a, b) for a, b in pairwise(cuts)]
