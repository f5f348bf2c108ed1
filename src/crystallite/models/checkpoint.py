"""Trained models on disk: one safetensors file with weights and a JSON header that says all the rest.

Loading reads numbers and JSON only and cannot execute anything.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import CrystalliteError, one_line
from ..files.writing import atomic_path, refuse_unreadable
from ..materials.groups import Seen
from ..network.model import CrystalNetwork
from ..network.targets import Targets
from ..settings.config import GraphConfig, ModelConfig

FORMAT = 2  # 1: without the materials that were seen (crystallite 0.1.0)
_HEADER, _CHECKSUM = "crystallite", "crystallite.crc32"  # keys of the file's metadata
_SEEN = "seen."  # beginning of the names of the tensors that are not the network's


@dataclass
class TrainedModel:
    """A network with everything needed to predict: graph settings, targets with units and scale.

    network is in evaluation mode; element features are part of its weights. info: free-form facts such as the
    training history and the fingerprint of the data. seen: hashes of the materials it was trained on and
    chosen by; None if it cannot say.
    """

    network: CrystalNetwork
    graph: GraphConfig
    targets: Targets
    info: dict[str, Any] = field(default_factory=dict)
    seen: Seen | None = None


def save_model(path: str | Path, model: TrainedModel) -> None:
    """Write a model to a .safetensors file, atomically."""
    header = {
        "format": FORMAT,
        "graph": model.graph.to_dict(),
        "model": model.network.config.to_dict(),
        "targets": model.targets.to_dict(),
        "info": model.info,
    }
    seen = {} if model.seen is None else model.seen._asdict()
    tensors = {f"{_SEEN}{part}": torch.from_numpy(hashes) for part, hashes in seen.items()}
    write_tensors(path, model.network.state_dict() | tensors, header)


def read_model(path: str | Path) -> TrainedModel:
    """Read a model that `save_model` wrote.

    Raises CrystalliteError when the file is missing, damaged or not one of ours.
    """
    tensors, header = read_tensors(path)
    hashes = [tensors[_SEEN + part].numpy() for part in Seen._fields if _SEEN + part in tensors]
    try:
        newer, info = header["format"] > FORMAT, dict(header.get("info", {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CrystalliteError(f"{path} is not a Crystallite model: {one_line(error)}") from error
    if newer:
        raise CrystalliteError(f"{path} was written by a newer version; update crystallite to read it")
    try:
        network = network_with(_weights(tensors), ModelConfig.from_dict(header["model"]))
        graph, targets = GraphConfig.from_dict(header["graph"]), Targets.from_dict(header["targets"])
        if (targets.task, targets.n_outputs) != (network.config.task, network.config.n_outputs):
            raise CrystalliteError(f"its network does not have the outputs of its targets {targets.names}")
    except (KeyError, TypeError, RuntimeError, CrystalliteError) as error:
        raise CrystalliteError(f"{path} is not a Crystallite model: {one_line(error)}") from error
    seen = Seen(*hashes) if len(hashes) == len(Seen._fields) else None
    return TrainedModel(network, graph, targets, info, seen)


def network_with(weights: dict[str, Tensor], config: ModelConfig) -> CrystalNetwork:
    """Return a network of these weights, in evaluation mode.

    Raises CrystalliteError or RuntimeError for weights that are too few, before there is room for them, that
    do not fit, or that are not finite.
    """
    if config.n_weights > sum(map(Tensor.numel, weights.values())):
        raise CrystalliteError(
            f"it has fewer than the {config.n_weights:,} weights of a network of its shape"
        )
    with torch.random.fork_rng(devices=[]):  # its first, random weights are none of the caller's
        network = CrystalNetwork(config)
    network.load_state_dict(weights)
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all() or (name.endswith("running_var") and (tensor < 0).any()):
            raise CrystalliteError(f"its weights are not finite ({name})")
    return network.eval()


def write_tensors(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write named tensors and a JSON header to a safetensors file, atomically."""
    contiguous = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        text = json.dumps(header)
        metadata = {_HEADER: text, _CHECKSUM: _checksum(contiguous, text)}
        temporary.write_bytes(save(contiguous, metadata=metadata))


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote; files of earlier versions have no checksum.

    Raises CrystalliteError when the file is missing, damaged or not one of ours.
    """
    refuse_unreadable(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            header = json.loads(metadata[_HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except KeyError as error:
        raise CrystalliteError(f"{path} is not a Crystallite model: it has no header") from error
    except (SafetensorError, ValueError, OSError, RecursionError, MemoryError, OverflowError) as error:
        raise CrystalliteError(f"{path} is damaged or not a safetensors file: {one_line(error)}") from error
    if metadata.keys() - {_HEADER, _CHECKSUM, "format"} or (
        metadata.get(_CHECKSUM, "") not in ("", _checksum(tensors, metadata[_HEADER]))
    ):
        raise CrystalliteError(f"{path} is damaged: it does not hold the numbers that were written")
    return tensors, header


def _checksum(tensors: dict[str, Tensor], header: str) -> str:
    """CRC-32 of the header and of names, kinds, shapes and numbers of all tensors."""
    digest = zlib.crc32(header.encode())
    for name, tensor in sorted(tensors.items()):
        digest = zlib.crc32(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode(), digest)
        digest = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, digest)
    return f"{digest:08x}"


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of a model's network alone, as they are in the file, and the header."""
    tensors, header = read_tensors(path)
    return _weights(tensors), header


def _weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that are the network's."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(_SEEN)}


def same_tensors(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two sets of named tensors are equal, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
