"""All layers of a network on the CPU as one differentiable operation around compiled loops.

Between two sums over the batch, which a layer's two norms need in each direction, all is done by one loop,
block by block, so that a block's arrays stay in the cache and a small batch costs few calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..computing import buffers
from .batch_norm import Moments, moments_of_blocks
from .batches import Inputs
from .bonds import Bonds
from .norm_kernels import EPSILON

Floats = NDArray[np.float32]


class Passed(Protocol):
    """What a layer's backward pass needs of its forward pass."""

    @property
    def z(self) -> Floats:
        """The inputs of the layer's gates, from `buffers` and given back there afterwards."""


class LayerKind(NamedTuple):
    """What a kind of layer does with arrays. F is the width of a node's vector, E that of an edge's state.

    weights: a NamedTuple of arrays; None stands for one that a layer lacks. forward: from nodes (nodes, F),
    states (edges, E) or None, weights and inputs to the next nodes and states, mean and variance of the
    layer's two norms, and what its backward pass needs. backward: from that, the gradients of the next nodes
    and states, and inputs to those of nodes, states and all weights.
    """

    weights: Any
    forward: Callable[..., tuple[Floats, Floats | None, tuple[Floats, ...], Passed]]
    backward: Callable[..., tuple[Floats | None, ...]]

    @property
    def n_weights(self) -> int:
        return len(self.weights._fields)


def fused_layers(
    kind: LayerKind,
    nodes: Tensor,
    states: Tensor | None,
    layers: Sequence[Sequence[Tensor | None]],
    inputs: Inputs,
) -> tuple[Tensor, list[Moments]]:
    """Return the nodes (nodes, F) after all layers, and the moments of each layer's two norms.

    states: (edges, E), or None where edges have none. layers: the weights of each. Differentiable in nodes,
    states and weights, once; layers below the first that anything needs a gradient of are passed over on the
    way back.
    """
    weights = [weight for layer in layers for weight in layer]
    kept = torch.is_grad_enabled()  # which the operation itself cannot tell
    nodes, *moments = _Layers.apply(kind, kept, nodes, states, inputs, *weights)  # type: ignore[no-untyped-call]
    return nodes, [Moments(*pair) for pair in zip(moments[::2], moments[1::2], strict=True)]


class _Layers(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        kind: LayerKind,
        kept: bool,
        nodes: Tensor,
        states: Tensor | None,
        inputs: Inputs,
        *weights: Tensor | None,
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(nodes, states, *weights)  # changing one before the backward pass is an error
        arrays, size = [_array(weight) for weight in weights], kind.n_weights
        updated, next_states = _array(nodes), _array(states)
        ctx.kind, ctx.inputs, ctx.passed, of_norms = kind, inputs, [], []
        of_inputs, of_weights = ctx.needs_input_grad[2:4], ctx.needs_input_grad[5:]
        ctx.first = 0 if any(of_inputs) else (*of_weights, True).index(True) // size
        ctx.first = ctx.first if kept else len(arrays) // size
        for start in range(0, len(arrays), size):
            layer = kind.weights(*arrays[start : start + size])
            updated, next_states, moments, passed = kind.forward(updated, next_states, layer, inputs)
            if start >= ctx.first * size:
                ctx.passed.append(passed)
            else:
                buffers.give(passed.z)
            of_norms += [torch.from_numpy(array) for array in moments]
        ctx.mark_non_differentiable(*of_norms)
        return torch.from_numpy(updated), *of_norms

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_updated: Tensor, *_: Any) -> tuple[Any, ...]:  # type: ignore[override]
        _ = ctx.saved_tensors
        all_passed, ctx.passed = ctx.passed, []
        if not all_passed:
            raise RuntimeError("gradients of layers are computed once: their arrays are used again by then")
        grad_nodes, grad_states = _array(grad_updated), None
        of_weights: list[Floats | None] = []
        while all_passed:
            passed = all_passed.pop()
            grad_nodes, grad_states, *of_layer = ctx.kind.backward(
                passed, grad_nodes, grad_states, ctx.inputs
            )
            buffers.give(passed.z)
            of_weights = of_layer + of_weights
        if ctx.first:
            grad_nodes, grad_states = None, None
        of_weights = ctx.first * ctx.kind.n_weights * [None] + of_weights
        of_nodes, of_states, *gradients = map(_tensor, (grad_nodes, grad_states, *of_weights))
        return None, None, of_nodes, of_states, None, *gradients


def bonds_and_topology(inputs: Inputs) -> tuple[Bonds, tuple[NDArray[Any], ...]]:
    """Return the bonds of a batch that has them, and their topology."""
    assert inputs.bonds is not None, "these inputs are not for the fused operations"
    return inputs.bonds, inputs.bonds.topology


def norm_of_blocks(
    block_weights: NDArray[np.float64], total_weight: float, *of_blocks: NDArray[Any]
) -> tuple[Floats, tuple[Floats, Floats]]:
    """Return a norm's variance, and its mean and inverse standard deviation: (channels,) each.

    Arguments are those of `moments_of_blocks`.
    """
    mean, variance = moments_of_blocks(block_weights, total_weight, *of_blocks)
    return variance, (mean, 1 / np.sqrt(variance + np.float32(EPSILON)))


def affine_map(moments: tuple[Floats, Floats], gamma: Floats, beta: Floats) -> tuple[Floats, Floats]:
    """Return (scale, shift) of a norm, (channels,) each, from its mean and inverse standard deviation."""
    mean, inverse_std = moments
    scale = gamma * inverse_std
    return scale, beta - mean * scale


def single(*arrays: NDArray[np.float64]) -> list[Floats]:
    """Return the arrays in single precision."""
    return [array.astype(np.float32) for array in arrays]


def _array(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.detach().contiguous().numpy()


def _tensor(array: Floats | None) -> Tensor | None:
    return None if array is None else torch.from_numpy(array)
