"""The weights of a network as arrays, by the names they have in PyTorch and in files."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..crystals.elements import feature_table
from ..crystals.orientation import N_ORDERS
from ..errors import CrystalliteError
from ..settings.config import ModelConfig

Weights = dict[str, NDArray[Any]]
_COUNT = "num_batches_tracked"  # of a batch norm: nothing depends on it, and early files lack it


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of all weights of a network, running statistics and element features included."""
    width, table = config.atom_width, feature_table()
    shapes: dict[str, tuple[int, ...]] = {"element_features": table.shape}
    shapes |= _linear("embedding", table.shape[1], width)
    if config.angles == "orders":
        shapes |= _linear("order_hidden", N_ORDERS, width) | _linear("order_output", width, width)
    if config.convolution == "edge-updating":
        shapes |= _linear("edge_embedding", config.n_centers, config.edge_width, bias=False)
    for layer in range(config.n_convolutions):
        shapes |= _convolution(config, f"convolutions.{layer}", is_last=layer == config.n_convolutions - 1)
    n_hidden = config.n_hidden if config.readout == "pooled" else 0
    widths = [width] + n_hidden * [config.hidden_width]
    for layer, (n_inputs, n_outputs) in enumerate(pairwise(widths)):
        shapes |= _linear(f"hidden.{layer}", n_inputs, n_outputs)
    return shapes | _linear("output", widths[-1], config.n_outputs)


def checked_weights(weights: Weights, config: ModelConfig) -> Weights:
    """Return weights as contiguous float32 arrays (counts as int64), if they are those of such a network.

    Raises CrystalliteError for weights that are missing, unknown, of another shape, or not finite.
    """
    shapes = weight_shapes(config)
    weights = {name: np.zeros((), np.int64) for name in shapes if name.endswith(_COUNT)} | weights
    other = sorted(shapes.keys() ^ weights.keys())
    if other:
        what = "has no weights" if other[0] in shapes else "has unknown weights"
        raise CrystalliteError(f"its network {what} {other[0]}")
    checked: Weights = {}
    for name, shape in shapes.items():
        kind = np.int64 if name.endswith(_COUNT) else np.float32
        array: NDArray[Any] = np.array(weights[name], kind, order="C")
        if array.shape != shape:
            raise CrystalliteError(f"its weights {name} have the shape {array.shape}, not {shape}")
        if not np.isfinite(array).all() or (name.endswith("running_var") and (array < 0).any()):
            raise CrystalliteError(f"its weights are not finite ({name})")
        checked[name] = array
    return checked


def _convolution(config: ModelConfig, name: str, *, is_last: bool) -> dict[str, tuple[int, ...]]:
    width, n_centers = config.atom_width, config.n_centers
    if config.convolution == "plain":
        return _linear(f"{name}.of_neighbors", width + n_centers, width, bias=False) | _linear(
            f"{name}.of_self", width, width
        )
    edge_width = config.edge_width if config.convolution == "edge-updating" else n_centers
    shapes = _linear(f"{name}.linear", 2 * width + edge_width, 2 * width, bias=False)
    shapes |= _norm(f"{name}.message_norm", 2 * width) | _norm(f"{name}.node_norm", width)
    if config.convolution == "edge-updating":
        shapes |= _linear(f"{name}.hidden", width, width) | _linear(f"{name}.output", width, width)
        if not is_last:
            shapes |= _linear(f"{name}.edge_update", width, edge_width, bias=False)
    return shapes


def _linear(name: str, n_inputs: int, n_outputs: int, *, bias: bool = True) -> dict[str, tuple[int, ...]]:
    weight: dict[str, tuple[int, ...]] = {f"{name}.weight": (n_outputs, n_inputs)}
    return weight | {f"{name}.bias": (n_outputs,)} if bias else weight


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (width,) for part in parts} | {f"{name}.{_COUNT}": ()}
