"""Starting from a trained model instead of random weights."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from ..errors import CrystalliteError
from ..models.checkpoint import TrainedModel
from ..network.model import CrystalNetwork
from ..network.targets import Targets


def shape_of(model: TrainedModel) -> dict[str, Any]:
    """Return the settings a network needs to take over the model's weights: its shape and its graphs."""
    if model.config.method == "kernel":
        raise CrystalliteError("a model of the recipe small is no network: it cannot be trained further")
    shape = model.config.to_dict()
    others = ("task", "n_outputs", "method")
    return {**model.graph.to_dict(), **{k: v for k, v in shape.items() if k not in others}}


@torch.no_grad()
def start_from(network: CrystalNetwork, targets: Targets, model: TrainedModel) -> None:
    """Copy the model's weights into the network.

    The last layer is copied when both predict the same targets (names, units and transforms), rescaled so
    that predictions in units stay the same; otherwise it keeps its random weights, with a warning if only
    units or transforms differ. Raises CrystalliteError for a network of another shape.
    """
    ours, theirs = network.config.to_dict(), model.config.to_dict()
    names = [name for name in ours if name not in ("task", "n_outputs", "dropout")]
    other = [f"{name} = {theirs[name]}, not {ours[name]}" for name in names if ours[name] != theirs[name]]
    if other:
        raise CrystalliteError(f"the model to start from has {', '.join(other)}; leave these settings out")
    _copy_weights(network, targets, model)


def _copy_weights(network: CrystalNetwork, targets: Targets, model: TrainedModel) -> None:
    state = model.network.state_dict()
    theirs = model.targets
    same = _same_targets(targets, theirs)
    for name in ("output.weight", "output.bias"):
        if not same:
            state[name] = network.state_dict()[name]
    network.load_state_dict(state)
    if same and targets.task == "regression":
        scales = (targets.mean, targets.std, theirs.mean, theirs.std)
        mean, std, their_mean, their_std = (
            network.output.bias.new_tensor(scale, dtype=torch.float64) for scale in scales
        )
        network.output.weight.mul_((their_std / std).unsqueeze(1))
        network.output.bias.mul_(their_std / std).add_((their_mean - mean) / std)


def _same_targets(ours: Targets, theirs: Targets) -> bool:
    """Return whether the last layer fits; warn if the names do and units or transforms do not."""
    if (ours.names, ours.task) != (theirs.names, theirs.task):
        return False
    if ours.task == "classification":
        return True
    scales = [list(zip(targets.units, targets.transforms, strict=True)) for targets in (ours, theirs)]
    for name, (unit, transform), (their_unit, their_transform) in zip(ours.names, *scales, strict=True):
        if (unit, transform) != (their_unit, their_transform):
            warnings.warn(
                f"the last layer is initialised anew: {name} is {_scale(unit, transform)} here and "
                f"{_scale(their_unit, their_transform)} in the model to start from",
                stacklevel=2,
            )
    return scales[0] == scales[1]


def _scale(unit: str, transform: str) -> str:
    named = f"in {unit}" if unit else "without a unit"
    return named if transform == "standard" else f"{named}, learned as {transform}"


def freeze(network: CrystalNetwork, parts: Sequence[str]) -> None:
    """Keep the parameters of the named parts (and of what they contain) as they are.

    Batch norms still follow the new data with their running statistics. Raises CrystalliteError for a name
    that matches nothing, or if nothing is left to train.
    """
    for part in parts:
        frozen = [p for name, p in network.named_parameters() if f"{name}.".startswith(f"{part}.")]
        if not frozen:
            known = sorted({name.rpartition(".")[0] for name, _ in network.named_parameters()})
            raise CrystalliteError(f"the network has no part {part!r}; parts: {', '.join(known)}")
        for parameter in frozen:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise CrystalliteError("every part of the network is frozen, nothing is left to train")
