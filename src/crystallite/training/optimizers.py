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
            gradients = [parameter.grad for parameter in moving]
            slots = [self._slots_of(parameter) for parameter in moving]
            if moving:
                self._move(moving, gradients, slots, learning_rate, group.weight_decay)

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

    def _move(
        self,
        parameters: list[Any],
        gradients: list[Any],
        slots: list[dict[str, Tensor]],
        learning_rate: float,
        weight_decay: float,
    ) -> None:
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

    def _move(
        self,
        parameters: list[Any],
        gradients: list[Any],
        slots: list[dict[str, Tensor]],
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        steps, first, second = ([of[name] for of in slots] for name in ("step", "exp_avg", "exp_avg_sq"))
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            parameters, gradients, first, second, [], steps,
            lr=learning_rate, beta1=0.9, beta2=0.999, weight_decay=weight_decay, eps=1e-8,
            amsgrad=False, maximize=False,
        )  # fmt: skip


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as torch.optim.SGD: the learning rate scales the sum."""

    def __init__(self, groups: Iterable[_Group], momentum: float) -> None:
        super().__init__(groups)
        self.momentum = momentum

    def _first_slots(self, parameter: Tensor) -> dict[str, Tensor]:
        return {"momentum_buffer": torch.zeros_like(parameter)}

    def _move(
        self,
        parameters: list[Any],
        gradients: list[Any],
        slots: list[dict[str, Tensor]],
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        sums = [of["momentum_buffer"] for of in slots]
        torch._foreach_mul_(sums, self.momentum)
        torch._foreach_add_(sums, torch._foreach_add(gradients, parameters, alpha=weight_decay))
        torch._foreach_add_(parameters, sums, alpha=-learning_rate)


def make_optimizer(network: nn.Module, config: TrainConfig) -> Optimizer:
    """Return the optimiser; weight decay spares biases and batch norms when AdamW applies it."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if config.optimizer == "sgd":
        return SGD([_Group(parameters, config.weight_decay)], config.momentum)
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    return AdamW([_Group(matrices, config.weight_decay), _Group(vectors, 0.0)])
