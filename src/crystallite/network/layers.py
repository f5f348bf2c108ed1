"""All layers of a network on the CPU as one differentiable operation around compiled loops.

Between two sums over the batch, which a layer's two norms need in each direction, all is done by one loop,
block by block, so that a block's arrays stay in the cache and a small batch costs few calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..computing import buffers
from .batch_norm import Moments
from .batches import Inputs
from .bonds import Bonds
from .norm_kernels import EPSILON

Floats = NDArray[np.float32]


class Kind(NamedTuple):
    """A kind of layer: its weights, and what it does with arrays. F: width of a node's vector, E: of a state.

    weights: a NamedTuple of arrays; None stands for one that a layer lacks. n_weights: how many there are.
    forward: from nodes (nodes, F), states (edges, E) or None, weights and inputs to the next nodes and
    states, mean and variance of the layer's two norms, and what its backward pass needs, with a `z` from
    `buffers`. backward: from that, the gradients of the next nodes and states, and inputs to those of nodes,
    states and all weights.
    """

    weights: Callable[..., Any]
    n_weights: int
    forward: Callable[..., tuple[Floats, Floats | None, tuple[Floats, ...], Any]]
    backward: Callable[..., tuple[Floats | None, ...]]


def fused_layers(
    kind: Kind,
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
    nodes, *moments = _Layers.apply(kind, nodes, states, inputs, *weights)  # type: ignore[no-untyped-call]
    return nodes, [Moments(*pair) for pair in zip(moments[::2], moments[1::2], strict=True)]


class _Layers(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, kind: Kind, nodes: Tensor, states: Tensor | None, inputs: Inputs, *weights: Tensor | None
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(nodes, states, *weights)  # who changes one of them now is told so
        arrays, size = [_array(weight) for weight in weights], kind.n_weights
        updated, next_states = _array(nodes), _array(states)
        ctx.kind, ctx.inputs, ctx.passed, of_norms = kind, inputs, [], []
        of_inputs, of_weights = ctx.needs_input_grad[1:3], ctx.needs_input_grad[4:]
        ctx.first = 0 if any(of_inputs) else (*of_weights, True).index(True) // size
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
        return None, of_nodes, of_states, None, *gradients


def bonds_and_topology(inputs: Inputs) -> tuple[Bonds, tuple[NDArray[Any], ...]]:
    """Return the bonds of a batch that has them, and their topology."""
    assert inputs.bonds is not None, "these inputs are not for the fused operations"
    return inputs.bonds, inputs.bonds.topology


def inverse_std(variance: Floats) -> Floats:
    """Return (channels,): what a norm multiplies deviations by."""
    inverse: Floats = 1 / np.sqrt(variance + np.float32(EPSILON))
    return inverse


def _array(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.detach().contiguous().numpy()


def _tensor(array: Floats | None) -> Tensor | None:
    return None if array is None else torch.from_numpy(array)
