"""A model's network in PyTorch: to train it further, and for predictions on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..computing.threads import own_threads
from ..graphs.packed import GraphBatch
from ..network.batches import inputs_of
from ..network.model import CrystalNetwork
from ..network.weights import Weights
from ..settings.config import ModelConfig

Floats = NDArray[np.float32]


def network_of(config: ModelConfig, weights: Weights) -> CrystalNetwork:
    """Return a network in evaluation mode whose tensors lie in the memory of these arrays."""
    with torch.random.fork_rng(devices=[]):  # its first, random weights are none of the caller's
        network = CrystalNetwork(config)
    network.load_state_dict({name: torch.from_numpy(a) for name, a in weights.items()}, assign=True)
    return network.eval()


def weights_of(network: CrystalNetwork) -> Weights:
    """Return the weights of a network, on the CPU without a copy."""
    return arrays_of(network.state_dict())


def arrays_of(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Return named tensors as arrays, on the CPU without a copy."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def is_single_on_cpu(network: CrystalNetwork) -> bool:
    """Whether the network's weights are float32 on the CPU."""
    weight = network.embedding.weight
    return weight.device.type == "cpu" and weight.dtype == torch.float32


def evaluated(network: CrystalNetwork) -> Callable[[GraphBatch], tuple[Floats, Floats]]:
    """Return the function from a batch to outputs and embedding of the network in evaluation mode."""

    @own_threads()
    @torch.no_grad()
    def outputs_and_embedding(batch: GraphBatch) -> tuple[Floats, Floats]:
        was_training = network.training
        network.eval()
        inputs = inputs_of(batch, network.config, network.embedding.weight, training=False)
        outputs, embedding = network.outputs_and_embedding(inputs)
        network.train(was_training)
        return outputs.float().cpu().numpy(), embedding.float().cpu().numpy()

    return outputs_and_embedding
