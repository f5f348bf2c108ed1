"""Checkpoints of the published code (github txie-93/cgcnn): the one file that speaks its names.

They are pickles; only tensors and plain numbers are read from them, never code.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .checkpoint import TrainedModel
from .config import GraphConfig, ModelConfig, Task
from .errors import CrystalliteError
from .model import CrystalNetwork
from .targets import Targets

SOURCE = "github txie-93/cgcnn"  # in `info` of the models that come from there
# The names of the properties the eight published models predict, and ours.
_TARGETS = {
    "formation_energy_per_atom": ("formation_energy_per_atom", "eV/atom"),
    "final_energy_per_atom": ("uncorrected_energy_per_atom", "eV/atom"),
    "band_gap": ("band_gap", "eV"),
    "efermi": ("fermi_energy", "eV"),
    "bulk_moduli": ("log10_bulk_modulus", "log10(GPa)"),
    "shear_moduli": ("log10_shear_modulus", "log10(GPa)"),
    "poisson_ratio": ("poisson_ratio", ""),
    "semi_metal": ("is_metal", "probability"),
}
_RENAMED = [
    (r"^convs\.(\d+)\.fc_full\.", r"convolutions.\1.linear."),
    (r"^convs\.(\d+)\.bn1\.", r"convolutions.\1.message_norm."),
    (r"^convs\.(\d+)\.bn2\.", r"convolutions.\1.node_norm."),
    (r"^conv_to_fc\.", "hidden.0."),
    (r"^fc_out\.", "output."),
]
_NOT_PUBLISHED = (
    LookupError, TypeError, ValueError, OverflowError, AttributeError, RuntimeError, CrystalliteError,
)  # fmt: skip


def load_published(path: str | Path) -> TrainedModel:
    """Load a .pth.tar of the published code with the settings its results were made with, shared ties aside.

    Raises CrystalliteError when the file holds anything but numbers, or is not such a checkpoint.
    """
    contents = _read(Path(path))
    try:
        state, arguments = contents["state_dict"], dict(contents["args"])
        normalizer = contents["normalizer"]
        task: Task = "classification" if arguments["task"] == "classification" else "regression"
        config = _model_config(state, task)
        network = CrystalNetwork(config)
        network.load_state_dict(_translated(state, network), strict=True)
        name, unit = _target(arguments, Path(path), task)
        scale = (
            (0.0, 1.0) if task == "classification" else (float(normalizer["mean"]), float(normalizer["std"]))
        )
        graph = GraphConfig(
            n_neighbors=int(arguments.get("max_num_nbr", 12)), cutoff=float(arguments.get("radius", 8.0))
        )
    except _NOT_PUBLISHED as error:
        raise CrystalliteError(f"{path} is not a checkpoint of the published code: {error!r}") from error
    targets = Targets((name,), (unit,), task, (scale[0],), (scale[1],))
    return TrainedModel(network.eval(), graph, targets, {"source": SOURCE})


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CrystalliteError(f"{path}: no such file")
    scalar = np.float64(0).__reduce__()[0]  # the function that rebuilds a NumPy number
    safe: list[Any] = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        type(np.dtype(np.float64)),
    ]
    try:
        with torch.serialization.safe_globals(safe):
            contents: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises whatever its last bytes make of the reader
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CrystalliteError(
            f"{path} is damaged or holds more than numbers, so it is not loaded: {reason}"
        ) from error
    if not isinstance(contents, dict):
        raise CrystalliteError(f"{path} is not a checkpoint of the published code")
    return contents


def _model_config(state: dict[str, Tensor], task: Task) -> ModelConfig:
    """Read the network's shape off its weights."""
    width = state["embedding.weight"].shape[0]
    n_centers = state["convs.0.fc_full.weight"].shape[1] - 2 * width
    return ModelConfig(
        atom_width=width,
        n_convolutions=len({name.split(".")[1] for name in state if name.startswith("convs.")}),
        hidden_width=state["conv_to_fc.weight"].shape[0],
        n_hidden=1 + len({name.split(".")[1] for name in state if name.startswith("fcs.")}),
        n_outputs=state["fc_out.weight"].shape[0],
        task=task,
        gaussian_stop=(n_centers - 1) * 0.2,
    )


def _translated(state: dict[str, Tensor], network: CrystalNetwork) -> dict[str, Tensor]:
    """Rename the weights; a convolution's bias moves into the running mean of the norm that follows it."""
    translated = {"element_features": network.element_features}
    for name, tensor in state.items():
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        name = re.sub(r"^fcs\.(\d+)\.", lambda match: f"hidden.{int(match[1]) + 1}.", name)
        translated[name] = tensor
    for name in [name for name in translated if name.endswith(".linear.bias")]:
        norm = name.replace("linear.bias", "message_norm.running_mean")
        translated[norm] = translated[norm] - translated.pop(name)
    for name in network.state_dict():
        if name.endswith("num_batches_tracked"):
            translated.setdefault(name, torch.tensor(0, device="cpu"))
    return translated


def _target(arguments: dict[str, Any], path: Path, task: Task) -> tuple[str, str]:
    """Return the target's name and unit: known ones by name, else named after the file."""
    options = [str(option) for option in arguments.get("data_options", [])]
    for option in reversed(options):
        if option in _TARGETS:
            return _TARGETS[option]
    if task == "classification" and any("semi" in option or "metal" in option for option in options):
        return _TARGETS["semi_metal"]
    return path.name.removesuffix(".tar").removesuffix(".pth"), ""
