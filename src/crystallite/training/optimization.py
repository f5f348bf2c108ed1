"""Learning-rate schedule, loss and averaging of weights, each a small function of the settings."""

from __future__ import annotations

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import huber_loss, l1_loss, mse_loss

from ..settings.config import Task, TrainConfig


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step, counted from 0 over the whole training run."""
    if config.schedule == "step":
        epoch = step // steps_per_epoch
        return config.learning_rate * 0.1 ** sum(epoch >= milestone for milestone in config.milestones)
    if config.schedule == "constant":
        return config.learning_rate
    progress = step / max(config.epochs * steps_per_epoch - 1, 1)
    if progress < config.warmup:
        risen = progress / config.warmup
        return config.learning_rate * (0.04 + 0.96 * (1 - math.cos(math.pi * risen)) / 2)
    fallen = (progress - config.warmup) / max(1 - config.warmup, 1e-9)
    return config.learning_rate * max((1 + math.cos(math.pi * fallen)) / 2, 1e-4)


def loss_of(
    outputs: Tensor, targets: Tensor, config: TrainConfig, task: Task, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of the losses of known targets, and the sum of weights; NaN: unknown.

    outputs, targets: (crystals, targets), or log-probabilities (crystals, 2) for classification.
    weights: (crystals,) sample weights, all 1 by default.
    """
    known = torch.isfinite(targets)
    truth = torch.where(known, targets, 0)
    if task == "classification":
        losses = -outputs.gather(1, truth.long())
    elif config.loss == "mae":
        losses = l1_loss(outputs, truth, reduction="none")
    elif config.loss == "mse":
        losses = mse_loss(outputs, truth, reduction="none")
    else:
        losses = huber_loss(outputs, truth, reduction="none")
    counted = known.to(losses.dtype) if weights is None else weights.unsqueeze(1) * known
    return torch.where(known, losses, 0).mul(counted).sum(), counted.sum()


Network = TypeVar("Network", bound=nn.Module)


class MovingAverage(Generic[Network]):
    """A copy of a network whose weights and running statistics follow it; quickly at first."""

    def __init__(self, network: Network, decay: float) -> None:
        self.network, self.decay = copy.deepcopy(network).eval(), decay
        self._ours, self._theirs = _floats(self.network), _floats(network)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the network after a step, counted from 0."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._ours, self._theirs, weight)


def _floats(network: nn.Module) -> list[Tensor]:
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
