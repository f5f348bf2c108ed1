"""Optimisers: what turns gradients into steps, by the operations on lists of tensors that PyTorch's own call.

Those would do, but making one imports PyTorch's compiler: 1.7 s of CPU time and 74 MB for every training run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..settings.config import TrainConfig


class _Group(NamedTuple):
    """Parameters that decay alike."""

    parameters: list[nn.Parameter]
    weight_decay: float


class _Moving(NamedTuple):
    """Parameters with a gradient, and what a step needs beside it.

    slots: by name, one of each parameter.
    """

    parameters: list[Any]
    gradients: list[Any]
    slots: dict[str, list[Tensor]]
    learning_rate: float
    weight_decay: float


class Optimizer:
    """Parameters and, from their first step on, what an optimiser remembers of each: named slots."""

    def __init__(self, groups: Iterable[_Group]) -> None:
        self.groups = list(groups)
        self.parameters = [parameter for group in self.groups for parameter in group.parameters]
        self.slots: dict[nn.Parameter, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move the parameters along their gradients; those without one stay."""
        for group in self.groups:
            moving = [parameter for parameter in group.parameters if parameter.grad is not None]
            if moving:
                of_each = [self._slots_of(parameter) for parameter in moving]
                slots = {name: [slots[name] for slots in of_each] for name in of_each[0]}
                gradients = [parameter.grad for parameter in moving]
                self._move(_Moving(moving, gradients, slots, learning_rate, group.weight_decay))

    def state(self) -> dict[str, Tensor]:
        """Return all slots as named tensors, `NUMBER.SLOT`; parameters are numbered over the groups."""
        return {
            f"{number}.{name}": tensor
            for number, parameter in enumerate(self.parameters)
            for name, tensor in self.slots.get(parameter, {}).items()
        }

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `state` returned."""
        for name, tensor in tensors.items():
            number, _, slot = name.partition(".")
            self._slots_of(self.parameters[int(number)])[slot].copy_(tensor)

    def _slots_of(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        if parameter not in self.slots:
            self.slots[parameter] = self._first_slots(parameter.detach())
        return self.slots[parameter]

    def _first_slots(self, parameter: Tensor) -> dict[str, Tensor]:
        raise NotImplementedError

    def _move(self, moving: _Moving) -> None:
        raise NotImplementedError


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019), decays 0.9 and 0.999."""

    def _first_slots(self, parameter: Tensor) -> dict[str, Tensor]:
        step = torch.zeros((), dtype=torch.float32, device=parameter.device)
        return {
            "step": step,
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }

    def _move(self, moving: _Moving) -> None:
        slots = moving.slots
        torch._foreach_add_(slots["step"], 1)
        torch._fused_adamw_(
            moving.parameters, moving.gradients, slots["exp_avg"], slots["exp_avg_sq"], [], slots["step"],
            lr=moving.learning_rate, beta1=0.9, beta2=0.999, weight_decay=moving.weight_decay, eps=1e-8,
            amsgrad=False, maximize=False,
        )  # fmt: skip


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as torch.optim.SGD: the learning rate scales the sum."""

    def __init__(self, groups: Iterable[_Group], momentum: float) -> None:
        super().__init__(groups)
        self.momentum = momentum

    def _first_slots(self, parameter: Tensor) -> dict[str, Tensor]:
        return {"momentum_buffer": torch.zeros_like(parameter)}

    def _move(self, moving: _Moving) -> None:
        sums, parameters = moving.slots["momentum_buffer"], moving.parameters
        decayed = torch._foreach_add(moving.gradients, parameters, alpha=moving.weight_decay)
        torch._foreach_mul_(sums, self.momentum)
        torch._foreach_add_(sums, decayed)
        torch._foreach_add_(parameters, sums, alpha=-moving.learning_rate)


def make_optimizer(network: nn.Module, config: TrainConfig) -> Optimizer:
    """Return the optimiser; weight decay spares biases and batch norms when AdamW applies it."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if config.optimizer == "sgd":
        return SGD([_Group(parameters, config.weight_decay)], config.momentum)
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    return AdamW([_Group(matrices, config.weight_decay), _Group(vectors, 0.0)])
