"""A trained network's outputs on the CPU, by compiled loops and NumPy alone: no PyTorch.

The one forward pass of evaluation in single precision: of predictions, of validation and test errors, of the
members of an ensemble. Its numbers are those of `model.CrystalNetwork` in evaluation mode, to rounding; those
of a crystal depend neither on the crystals beside it nor on the number of threads, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..computing.threads import for_ranges
from ..graphs.packed import GraphBatch
from ..settings.config import ModelConfig
from . import evaluation_kernels as kernels
from .kernels import WINDOW
from .norm_kernels import EPSILON
from .products import add_product
from .weights import Weights

Floats = NDArray[np.float32]


class EvaluationNetwork:
    """A network in evaluation mode; batch norms have become part of the linear maps beside them."""

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        """Prepare weights that `weights.checked_weights` returned, or a network's own, for evaluation."""
        self.config = config
        embedded = weights["element_features"] @ weights["embedding.weight"].T.astype(np.float64)
        self.elements = _single(embedded + weights["embedding.bias"])
        self.orders = None
        if config.angles == "orders":
            self.orders = _linear_map(weights, "order_hidden"), _linear_map(weights, "order_output")
        self.layers, arrays_of = _LAYERS[config.convolution]
        self.arrays = arrays_of(weights, [f"convolutions.{layer}" for layer in range(config.n_convolutions)])
        self.activation = _silu if config.convolution == "edge-updating" else _softplus
        n_hidden = config.n_hidden if config.readout == "pooled" else 0
        self.hidden = [_linear_map(weights, f"hidden.{layer}") for layer in range(n_hidden)]
        self.output = _linear_map(weights, "output")

    def outputs(self, batch: GraphBatch) -> Floats:
        """Return (crystals, outputs): values on the normalised scale, or log-probabilities of classes."""
        return self._read_out(self.atoms(batch), batch)

    def outputs_and_embedding(self, batch: GraphBatch) -> tuple[Floats, Floats]:
        """Return what `outputs` does, and (crystals, atom_width): the mean of each crystal's atoms."""
        nodes = self.atoms(batch)
        return self._read_out(nodes, batch), _mean_over_atoms(nodes, batch)

    @np.errstate(all="ignore")  # what is not finite is for the caller to tell
    def _read_out(self, nodes: Floats, batch: GraphBatch) -> Floats:
        """Return (crystals, outputs) of the vectors of the nodes."""
        if self.config.readout == "per-atom":
            x = _mean_over_atoms(_mapped(nodes, self.output), batch)
        else:
            x = _mean_over_atoms(nodes, batch)
            x = x if self.config.convolution == "edge-updating" else _softplus(x)
            for layer in self.hidden:
                x = self.activation(_mapped(x, layer))
            x = _mapped(x, self.output)
        return _log_softmax(x) if self.config.task == "classification" else x

    def contributions(self, batch: GraphBatch) -> Floats:
        """Return (nodes, outputs): what each atom adds to the mean, for the per-atom readout."""
        return _mapped(self.atoms(batch), self.output)

    @np.errstate(all="ignore")
    def atoms(self, batch: GraphBatch) -> Floats:
        """Return (nodes, atom_width): the vectors of the nodes after the last convolution."""
        nodes = self.elements[batch.numbers]
        if self.orders is not None:
            hidden, output = self.orders
            nodes += _mapped(_silu(_mapped(batch.orders, hidden)), output)
        topology = (batch.blocks, batch.edge_offsets, batch.neighbors, batch.distances, batch.weights)
        step = np.float32(self.config.gaussian_step)
        for_ranges(self.layers, len(batch.blocks) - 1, nodes, topology, step, *self.arrays)
        return nodes


def _gated_arrays(weights: Weights, layers: list[str]) -> tuple[Floats, ...]:
    """Return the arrays that `gated_layers` takes."""
    node_weights, bond_weights, shifts = _message_arrays(weights, layers)
    node_maps = [_norm_map(weights, f"{layer}.node_norm") for layer in layers]
    return (
        node_weights,
        _with_a_window(bond_weights),
        shifts,
        _single([scale for scale, _ in node_maps]),
        _single([shift for _, shift in node_maps]),
    )


def _plain_arrays(weights: Weights, layers: list[str]) -> tuple[Floats, ...]:
    """Return the arrays that `plain_layers` takes."""
    of_self = _single([weights[f"{layer}.of_self.weight"].T for layer in layers])
    of_neighbors = _single([weights[f"{layer}.of_neighbors.weight"].T for layer in layers])
    width = of_self.shape[1]
    of_bonds = _with_a_window(of_neighbors[:, width:])
    biases = _single([weights[f"{layer}.of_self.bias"] for layer in layers])
    return np.concatenate((of_neighbors[:, :width], of_bonds), axis=1), of_self, biases


def _edge_updating_arrays(weights: Weights, layers: list[str]) -> tuple[Floats, ...]:
    """Return the arrays that `edge_updating_layers` takes."""
    first = _with_a_window(_single([weights["edge_embedding.weight"].T]))[0]
    updates = np.zeros((0, weights[f"{layers[0]}.hidden.weight"].shape[0], first.shape[1]), np.float32)
    if len(layers) > 1:
        updates = _single([weights[f"{layer}.edge_update.weight"].T for layer in layers[:-1]])
    hidden = []
    for layer in layers:
        scale, shift = _norm_map(weights, f"{layer}.node_norm")
        matrix = weights[f"{layer}.hidden.weight"].astype(np.float64)
        hidden.append(((matrix * scale).T, matrix @ shift + weights[f"{layer}.hidden.bias"]))
    return (
        first,
        *_message_arrays(weights, layers),
        updates,
        _single([matrix for matrix, _ in hidden]),
        _single([bias for _, bias in hidden]),
        _single([weights[f"{layer}.output.weight"].T for layer in layers]),
        _single([weights[f"{layer}.output.bias"] for layer in layers]),
    )


def _message_arrays(weights: Weights, layers: list[str]) -> tuple[Floats, Floats, Floats]:
    """Return W_i beside W_j (L, F, 2C), W_u (L, K, C) and the shifts (L, C), the message norm in all of them.

    W [v_i, v_j, u_ij] is W_i v_i + W_j v_j + W_u u_ij: two products for a node and one for an edge.
    """
    of_nodes, of_edges, shifts = [], [], []
    for layer in layers:
        scale, shift = _norm_map(weights, f"{layer}.message_norm")
        matrix = (weights[f"{layer}.linear.weight"] * scale[:, None]).T
        width = len(scale) // 2
        of_nodes.append(np.hstack((matrix[:width], matrix[width : 2 * width])))
        of_edges.append(matrix[2 * width :])
        shifts.append(shift)
    return _single(of_nodes), _single(of_edges), _single(shifts)


_LAYERS: dict[str, tuple[Callable[..., None], Callable[[Weights, list[str]], tuple[Floats, ...]]]] = {
    "gated": (kernels.gated_layers, _gated_arrays),
    "plain": (kernels.plain_layers, _plain_arrays),
    "edge-updating": (kernels.edge_updating_layers, _edge_updating_arrays),
}


def _norm_map(weights: Weights, norm: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (scale, shift) of a batch norm with its running statistics."""
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"].astype(np.float64) + EPSILON)
    return scale, weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale


def _with_a_window(of_bonds: Floats) -> Floats:
    """Return weights (L, K, C) of the Gaussians with rows of zeros, if K is less than the loops' WINDOW."""
    missing = max(0, WINDOW - of_bonds.shape[1])
    return np.pad(of_bonds, ((0, 0), (0, missing), (0, 0))) if missing else np.ascontiguousarray(of_bonds)


def _linear_map(weights: Weights, name: str) -> tuple[Floats, Floats]:
    """Return the weight (inputs, outputs) and the bias (outputs,) of a layer."""
    return _single(weights[f"{name}.weight"].T), _single(weights[f"{name}.bias"])


def _mapped(x: Floats, layer: tuple[Floats, Floats]) -> Floats:
    weight, bias = layer
    y = np.tile(bias, (len(x), 1))
    add_product(x, weight, y)
    return y


def _mean_over_atoms(nodes: Floats, batch: GraphBatch) -> Floats:
    """(nodes, channels) -> (crystals, channels): the mean over each crystal's atoms."""
    counts = np.add.reduceat(batch.multiplicities, batch.node_offsets[:-1])
    means: Floats = np.add.reduceat(nodes * batch.multiplicities[:, None], batch.node_offsets[:-1])
    means /= counts[:, None]
    return means


def _softplus(x: Floats) -> Floats:
    y: Floats = np.logaddexp(x, np.float32(0))
    return y


def _silu(x: Floats) -> Floats:
    y: Floats = x / (1 + np.exp(-x))
    return y


def _log_softmax(x: Floats) -> Floats:
    x = x - x.max(axis=1, keepdims=True)
    y: Floats = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    return y


def _single(values: Any) -> Floats:
    return np.ascontiguousarray(values, np.float32)
