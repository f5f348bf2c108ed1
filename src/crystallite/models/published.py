"""Checkpoints of the published code (github txie-93/cgcnn): the only module that uses its names.

They are pickles; only tensors and plain numbers are read from them, never code.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..crystals.elements import feature_table
from ..errors import CrystalliteError, one_line
from ..files.writing import refuse_unreadable
from ..network.targets import Targets
from ..network.weights import Weights, checked_weights
from ..settings.config import GraphConfig, ModelConfig, Task
from .checkpoint import PUBLISHED, TrainedModel

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
        weights = checked_weights(_translated(state, config), config)
        name, unit = _target(arguments, Path(path), task)
        scale = (
            (0.0, 1.0) if task == "classification" else (float(normalizer["mean"]), float(normalizer["std"]))
        )
        graph = GraphConfig(
            n_neighbors=int(arguments.get("max_num_nbr", 12)), cutoff=float(arguments.get("radius", 8.0))
        )
        targets = Targets((name,), (unit,), task, (scale[0],), (scale[1],))
    except _NOT_PUBLISHED as error:
        reason = one_line(error)
        raise CrystalliteError(f"{path} is not a checkpoint of the published code: {reason}") from error
    return TrainedModel(config, weights, graph, targets, {"source": PUBLISHED})


def _read(path: Path) -> dict[str, Any]:
    refuse_unreadable(path)
    _check_records(path)
    scalar = np.float64(0).__reduce__()[0]  # the function that rebuilds a NumPy number
    safe: list[Any] = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        type(np.dtype(np.float64)),
    ]
    try:
        with torch.serialization.safe_globals(safe), warnings.catch_warnings(action="ignore"):
            contents: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises whatever its last bytes make of the reader
        # PyTorch's own words advise to load it nevertheless, which would run a stranger's code.
        raise CrystalliteError(
            f"{path} is damaged or holds more than numbers, so it is not loaded"
        ) from error
    state = contents.get("state_dict") if isinstance(contents, dict) else None
    if not isinstance(state, dict) or not all(map(_has_its_numbers, state.values())):
        raise CrystalliteError(f"{path} is not a checkpoint of the published code: it has no weights")
    return dict(contents)


def _check_records(path: Path) -> None:
    """Raise CrystalliteError for a zip archive that is damaged or unpacks to more than it is.

    PyTorch never compresses. Early versions of it wrote no zip archives, and no checksums.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            is_stored = all(record.compress_type == zipfile.ZIP_STORED for record in records)
            if not is_stored or sum(record.file_size for record in records) > path.stat().st_size:
                raise CrystalliteError(
                    f"{path} is not a checkpoint of the published code: it would unpack to more"
                )
            damaged = archive.testzip()
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise CrystalliteError(
            f"{path} is damaged or holds more than numbers, so it is not loaded: {one_line(error)}"
        ) from error
    if damaged is not None:
        raise CrystalliteError(f"{path} is damaged: {damaged} in it is not what was written")


def _has_its_numbers(tensor: Any) -> bool:
    """Whether a value is a tensor with memory of its own for every number, not one that repeats a few."""
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    return tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()


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
        convolution="gated",
    )


def _translated(state: dict[str, Tensor], config: ModelConfig) -> Weights:
    """Rename the weights; a convolution's bias moves into the running mean of the norm that follows it."""
    translated: Weights = {"element_features": feature_table()}
    for name, tensor in state.items():
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        name = re.sub(r"^fcs\.(\d+)\.", lambda match: f"hidden.{int(match[1]) + 1}.", name)
        translated[name] = tensor.numpy()
    for name in [name for name in translated if name.endswith(".linear.bias")]:
        norm = name.replace("linear.bias", "message_norm.running_mean")
        translated[norm] = translated[norm] - translated.pop(name)
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
