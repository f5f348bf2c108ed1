"""Running a network in tests: settled statistics, predictions in its own precision, one training step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from crystallite.graphs.packed import PackedGraphs
from crystallite.network.batches import batch_inputs
from crystallite.network.convolutions import EdgeUpdatingConvolution
from crystallite.network.model import CrystalNetwork
from crystallite.settings.config import ModelConfig


class Step(NamedTuple):
    """What a training step leaves behind; every tensor in double precision."""

    outputs: Tensor
    loss: float
    gradients: dict[str, Tensor]
    statistics: dict[str, Tensor]


def random_network(config: ModelConfig | None = None, seed: int = 0) -> CrystalNetwork:
    """A network with its first weights, but none of them zero: edge-updating layers begin as identities."""
    torch.manual_seed(seed)
    network = CrystalNetwork(config or ModelConfig())
    for layer in network.convolutions:
        if isinstance(layer, EdgeUpdatingConvolution):
            layer.output.reset_parameters()
    return network


def settled(network: CrystalNetwork, graphs: PackedGraphs) -> CrystalNetwork:
    """Let the running statistics settle on these graphs, so that no layer saturates in evaluation mode."""
    network.train()
    with torch.no_grad():
        for _ in range(30):
            outputs(network, graphs)
    return network.eval()


def outputs(network: CrystalNetwork, graphs: PackedGraphs, n_crystals: int | None = None) -> Tensor:
    """The network's outputs for the first `n_crystals`, or for all, in one batch."""
    rows = np.arange(graphs.n_crystals if n_crystals is None else n_crystals)
    return network(batch_inputs(network, graphs, rows))


@torch.no_grad()
def predictions(network: CrystalNetwork, graphs: PackedGraphs, n_crystals: int | None = None) -> np.ndarray:
    """First output of each crystal, in evaluation mode and the network's precision."""
    network.eval()
    return outputs(network, graphs, n_crystals)[:, 0].double().numpy()


def training_step(network: CrystalNetwork, graphs: PackedGraphs, truth: Tensor) -> Step:
    network.train()
    network.zero_grad()
    found = outputs(network, graphs)
    loss = (found - truth.to(found.dtype)).abs().mean()
    loss.backward()
    gradients = {
        name: p.grad.double().clone() for name, p in network.named_parameters() if p.grad is not None
    }
    assert len(gradients) == len(list(network.parameters()))
    statistics = {name: t.double().clone() for name, t in network.state_dict().items() if "running" in name}
    return Step(found.detach().double(), loss.item(), gradients, statistics)


def furthest(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Largest difference of any entry, as a fraction of the largest entry of its tensor.

    A tensor a million times smaller than the largest one is zero but for rounding.
    """
    assert ours.keys() == theirs.keys()
    sizes = {name: float(tensor.abs().max()) for name, tensor in theirs.items()}
    floor = 1e-6 * max(sizes.values(), default=1)
    return max((float((ours[n] - theirs[n]).abs().max()) / max(sizes[n], floor) for n in ours), default=0.0)
