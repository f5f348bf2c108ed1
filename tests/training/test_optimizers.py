"""Our optimisers take the steps of PyTorch's, and remember them in a file."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from crystallite.settings.config import TrainConfig
from crystallite.training.optimizers import make_optimizer

RATES = (0.01, 0.02, 0.005, 0.001)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.SiLU(), nn.Linear(7, 2))


def set_gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def decayed(model: nn.Module) -> list[dict]:
    """Matrices with a weight decay of 0.1, vectors without."""
    return [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_steps_are_those_of_torch(name):
    ours = network()
    theirs = copy.deepcopy(ours)
    optimizer = make_optimizer(ours, TrainConfig(optimizer=name, weight_decay=0.1, momentum=0.8))
    if name == "adamw":
        reference: torch.optim.Optimizer = torch.optim.AdamW(decayed(theirs), fused=True)
    else:
        reference = torch.optim.SGD(theirs.parameters(), weight_decay=0.1, momentum=0.8)
    for seed, rate in enumerate(RATES):
        set_gradients(ours, seed)
        set_gradients(theirs, seed)
        for group in reference.param_groups:
            group["lr"] = rate
        optimizer.step(rate)
        reference.step()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(own, other)  # the same operations: the same bits


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_state_is_taken_up_again(name):
    config = TrainConfig(optimizer=name)
    whole = network()
    optimizer = make_optimizer(whole, config)
    for seed in (0, 1):
        set_gradients(whole, seed)
        optimizer.step(0.01)
    resumed = copy.deepcopy(whole)
    state = {slot: tensor.clone() for slot, tensor in optimizer.state().items()}
    other = make_optimizer(resumed, config)
    other.load_state(state)
    for model, own in ((whole, optimizer), (resumed, other)):
        set_gradients(model, 2)
        own.step(0.01)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_parameters_that_are_frozen_or_without_gradient_stay():
    model = network()
    model[0].weight.requires_grad_(False)
    before = copy.deepcopy(model)
    optimizer = make_optimizer(model, TrainConfig(weight_decay=0.5))
    set_gradients(model, 0)
    model[3].bias.grad = None
    optimizer.step(0.1)
    assert torch.equal(model[0].weight, before[0].weight)
    assert torch.equal(model[3].bias, before[3].bias)
    assert not torch.equal(model[3].weight, before[3].weight)
    optimizer.zero_grad()
    assert model[3].weight.grad is None
