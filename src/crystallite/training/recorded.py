"""Gradients of batches on a GPU by recorded kernels: a training step costs one launch instead of a thousand.

The network of a crystal is small: launched one by one, a GPU needs less time for its kernels than Python.
A CUDA graph launches all of them. It is recorded for one shape of batches, so batches are padded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..graphs.packed import Indices, PackedGraphs
from ..network.model import CrystalNetwork
from ..network.resident import ResidentGraphs, Shape

Loss = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


class Gradients(NamedTuple):
    """Mean loss of a batch over its known targets, 0-dimensional, and its gradients, one a parameter."""

    loss: Tensor
    of_parameters: tuple[Tensor | None, ...]


class _Recording(NamedTuple):
    """Kernels for batches of one shape; they read `rows` and write `gradients`."""

    graph: Any
    rows: Tensor
    gradients: Gradients


class RecordedGradients:
    """Computes the gradients of batches; kernels for a shape are recorded when it first occurs."""

    def __init__(
        self,
        network: CrystalNetwork,
        graphs: PackedGraphs,
        targets: Tensor,
        weights: Tensor | None,
        loss: Loss,
        batch_size: int,
    ) -> None:
        """targets: (crystals, targets), NaN where unknown. weights: (crystals,). loss: sum and weight,
        of outputs, targets and weights.
        """
        like = network.embedding.weight
        self.network, self.loss, self.batch_size = network, loss, batch_size
        self.graphs = ResidentGraphs(graphs, like.device)
        nothing = torch.full((1, targets.shape[1]), torch.nan)
        self.targets = torch.cat((targets, nothing)).to(like.device, like.dtype)
        self.weights = None
        if weights is not None:
            self.weights = torch.cat((weights, torch.zeros(1))).to(like.device, like.dtype)
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._recordings: dict[Shape, _Recording] = {}
        is_gpu = like.device.type == "cuda"
        self._stream = torch.cuda.Stream(like.device) if is_gpu else None  # type: ignore[no-untyped-call]
        self._is_warm = False

    def put(self, rows: Indices) -> float:
        """Put the gradients of the rows' mean loss into the network's parameters, and return that loss."""
        shape = self.graphs.shape(rows, self.batch_size)
        padded = np.full(self.batch_size, self.graphs.empty)
        padded[: len(rows)] = rows
        gradients = self._of(torch.from_numpy(padded), shape)
        for parameter, gradient in zip(self.parameters, gradients.of_parameters, strict=True):
            parameter.grad = gradient
        return float(gradients.loss)

    def _of(self, rows: Tensor, shape: Shape) -> Gradients:
        """Return the gradients; the next call may write over them."""
        if not self._is_warm:  # libraries are loaded in the first step, which cannot be recorded
            self._is_warm = True
            return self.computed(rows.to(self.targets.device), shape)
        recording = self._recordings.get(shape)
        if recording is None:
            recording = self._recordings[shape] = self._recorded(rows, shape)
        recording.rows.copy_(rows)
        recording.graph.replay()
        return recording.gradients

    def _recorded(self, rows: Tensor, shape: Shape) -> _Recording:
        rows = rows.to(self.targets.device)
        graph = torch.cuda.CUDAGraph()
        # A stream of its own: recordings on one stream share the scratch memory of matrix products, and
        # networks that train in several threads would write into each other's.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):  # type: ignore[no-untyped-call]
            gradients = self.computed(rows, shape)
        return _Recording(graph, rows, gradients)

    def computed(self, rows: Tensor, shape: Shape) -> Gradients:
        """Compute the gradients, kernel by kernel, on any device."""
        inputs = self.graphs.inputs(rows, shape, self.targets.dtype)
        weights = None if self.weights is None else self.weights[rows]
        total, weight = self.loss(self.network(inputs), self.targets[rows], weights)
        mean = total / weight.clamp(min=1e-30)
        return Gradients(mean.detach(), torch.autograd.grad(mean, self.parameters, allow_unused=True))
