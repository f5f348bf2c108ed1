"""Trained models on disk: one safetensors file with weights and a JSON header that says all the rest.

Loading reads numbers and JSON only and cannot execute anything.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..errors import CrystalliteError, one_line
from ..extras import needed
from ..features.kernel_machine import KernelMachine, checked_machine
from ..files.writing import atomic_path, refuse_unreadable
from ..materials.groups import Seen
from ..network.targets import Targets
from ..network.weights import Weights, checked_weights
from ..settings.config import GraphConfig, ModelConfig
from .reliability import Reliability

if TYPE_CHECKING:
    from ..network.evaluation import EvaluationNetwork
    from ..network.model import CrystalNetwork

# 1: without the materials that were seen (crystallite 0.1.0); 2: without reliability; 3: without angles
FORMAT = 4
_HEADER, _CHECKSUM = "crystallite", "crystallite.crc32"  # keys of the file's metadata
_SEEN, _RELIABILITY = "seen.", "reliability."  # beginnings of names of arrays that are not the network's
PUBLISHED = "github txie-93/cgcnn"  # in `info` of models that come from there, as "source"
Arrays = Mapping[str, NDArray[Any]]


@dataclass
class TrainedModel:
    """A network with everything needed to predict: graph settings, targets with units and scale.

    config: shape of the network. weights: by name, element features included. info: free-form facts such as
    the training history and the fingerprint of the data. seen: hashes of the materials it was trained on and
    chosen by; None if it cannot say. reliability: what intervals and distances to the training data are made
    of; None where no crystals were held out, and before the training run has ended. device: where it
    predicts.
    """

    config: ModelConfig
    weights: Weights
    graph: GraphConfig
    targets: Targets
    info: dict[str, Any] = field(default_factory=dict)
    seen: Seen | None = None
    reliability: Reliability | None = None
    device: str = "cpu"

    @classmethod
    def of(
        cls,
        network: CrystalNetwork,
        graph: GraphConfig,
        targets: Targets,
        info: dict[str, Any] | None = None,
        seen: Seen | None = None,
    ) -> Self:
        """Return the model of a PyTorch network; on the CPU both have their weights in the same memory."""
        from .torch_networks import weights_of

        return cls(network.config, weights_of(network), graph, targets, info or {}, seen)

    def of_targets(self, columns: Sequence[int]) -> Self:
        """Return the model that predicts some of the targets alone, with the same numbers."""
        rows = [0, 1] if self.targets.task == "classification" else list(columns)
        of_outputs: tuple[str, ...] = ("output.weight", "output.bias")
        if self.config.method == "kernel":
            of_outputs = ("coefficients", "gammas", "intercepts")
            rows = list(columns)
        output = {name: self.weights[name][rows] for name in of_outputs}
        return replace(
            self,
            config=replace(self.config, n_outputs=self.targets.of(columns).n_outputs),
            weights=self.weights | output,
            targets=self.targets.of(columns),
            reliability=self.reliability and self.reliability.of_targets(columns),
        )

    @cached_property
    def evaluator(self) -> EvaluationNetwork | KernelMachine:
        """What evaluates batches on the CPU, made when first asked for, of the weights as they are then."""
        from ..network.evaluation import EvaluationNetwork  # has compiled loops: not for reading a header

        kind = KernelMachine if self.config.method == "kernel" else EvaluationNetwork
        return kind(self.config, self.weights)

    @cached_property
    def network(self) -> CrystalNetwork:
        """The network in PyTorch, in evaluation mode, made when first asked for.

        Its tensors lie in the memory of `weights`, as long as it is not moved or converted.
        """
        if self.config.method == "kernel":
            raise CrystalliteError("a model of the recipe small is no network: it cannot be trained further")
        needed("torch", "a network in PyTorch", "crystallite[train]")
        from .torch_networks import network_of

        return network_of(self.config, self.weights)


def save_model(path: str | Path, model: TrainedModel) -> None:
    """Write a model to a .safetensors file, atomically."""
    header = {
        "format": FORMAT,
        "graph": model.graph.to_dict(),
        "model": model.config.to_dict(),
        "targets": model.targets.to_dict(),
        "info": model.info,
    }
    write_arrays(path, model.weights | attached_arrays(model.seen, model.reliability), header)


def attached_arrays(seen: Seen | None, reliability: Reliability | None) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file that are not the network's; `attached` reads them."""
    parts = {} if seen is None else {_SEEN + part: hashes for part, hashes in seen._asdict().items()}
    if reliability is not None:
        parts |= {_RELIABILITY + name: array for name, array in reliability.to_arrays().items()}
    return parts


def attached(arrays: Arrays, targets: Targets) -> tuple[Seen | None, Reliability | None]:
    """Return what `attached_arrays` made; CrystalliteError if it is damaged."""
    hashes = [arrays[_SEEN + part] for part in Seen._fields if _SEEN + part in arrays]
    seen = Seen(*hashes) if len(hashes) == len(Seen._fields) else None
    parts = {
        name.removeprefix(_RELIABILITY): array
        for name, array in arrays.items()
        if name.startswith(_RELIABILITY)
    }
    return seen, Reliability.from_arrays(parts, len(targets.names)) if parts else None


def read_model(path: str | Path) -> TrainedModel:
    """Read a model that `save_model` wrote.

    Raises CrystalliteError when the file is missing, damaged or not one of ours.
    """
    return model_of(path, *read_arrays(path))


def model_of(path: str | Path, arrays: dict[str, NDArray[Any]], header: dict[str, Any]) -> TrainedModel:
    """Return the model that is in a file's arrays and header; raises CrystalliteError if there is none."""
    try:
        newer, info = header["format"] > FORMAT, dict(header.get("info", {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CrystalliteError(f"{path} is not a Crystallite model: {one_line(error)}") from error
    if newer:
        raise CrystalliteError(f"{path} was written by a newer version; update crystallite to read it")
    try:
        config = ModelConfig.from_dict(header["model"])
        checked = checked_machine if config.method == "kernel" else checked_weights
        weights = checked(_weights(arrays), config)
        graph, targets = GraphConfig.from_dict(header["graph"]), Targets.from_dict(header["targets"])
        if (targets.task, targets.n_outputs) != (config.task, config.n_outputs):
            raise CrystalliteError(f"its network does not have the outputs of its targets {targets.names}")
        seen, reliability = attached(arrays, targets)
        if reliability is not None and len(reliability.reference.center) != config.atom_width:
            raise CrystalliteError("its training data lies in the embedding of another network")
    except (KeyError, TypeError, CrystalliteError) as error:
        raise CrystalliteError(f"{path} is not a Crystallite model: {one_line(error)}") from error
    return TrainedModel(config, weights, graph, targets, info, seen, reliability)


def save_reliability(path: str | Path, reliability: Reliability) -> None:
    """Write the reliability of an ensemble to a file of its own, atomically."""
    write_arrays(path, attached_arrays(None, reliability), {"format": FORMAT})


def read_reliability(path: str | Path, targets: Targets) -> Reliability | None:
    """Read what `save_reliability` wrote; CrystalliteError if it is damaged."""
    arrays, _ = read_arrays(path)
    try:
        return attached(arrays, targets)[1]
    except CrystalliteError as error:
        raise CrystalliteError(f"{path} is damaged: {error}") from error


def write_arrays(path: str | Path, arrays: Arrays, header: dict[str, Any]) -> None:
    """Write named arrays and a JSON header to a safetensors file, atomically."""
    with atomic_path(path) as temporary:
        text = json.dumps(header)
        metadata = {_HEADER: text, _CHECKSUM: _checksum(arrays, text)}
        temporary.write_bytes(save(dict(arrays), metadata=metadata))


def read_arrays(path: str | Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what `write_arrays` wrote; files of earlier versions have no checksum.

    Raises CrystalliteError when the file is missing, damaged or not one of ours.
    """
    refuse_unreadable(path)
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            header = json.loads(metadata[_HEADER])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except KeyError as error:
        raise CrystalliteError(f"{path} is not a Crystallite model: it has no header") from error
    except _DAMAGED as error:
        raise CrystalliteError(f"{path} is damaged or not a safetensors file: {one_line(error)}") from error
    if metadata.keys() - {_HEADER, _CHECKSUM, "format"} or (
        metadata.get(_CHECKSUM, "") not in ("", _checksum(arrays, metadata[_HEADER]))
    ):
        raise CrystalliteError(f"{path} is damaged: it does not hold the numbers that were written")
    return arrays, header


_DAMAGED = (
    SafetensorError, ValueError, TypeError, AttributeError, OSError, RecursionError, MemoryError,
    OverflowError,
)  # fmt: skip


def _checksum(arrays: Arrays, header: str) -> str:
    """CRC-32 of the header and of names, kinds, shapes and numbers of all arrays.

    Kinds have the names that PyTorch gives them, as they were written with it at first.
    """
    digest = zlib.crc32(header.encode())
    for name, array in sorted(arrays.items()):
        digest = zlib.crc32(repr((name, f"torch.{array.dtype}", array.shape)).encode(), digest)
        digest = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, digest)
    return f"{digest:08x}"


def read_header(path: str | Path) -> dict[str, Any]:
    """Read the header of what `write_arrays` wrote, without the arrays and the check of their numbers."""
    refuse_unreadable(path)
    try:
        with safe_open(path, framework="np") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})[_HEADER])
    except (KeyError, *_DAMAGED) as error:
        raise CrystalliteError(f"{path} is damaged or not a Crystallite model: {one_line(error)}") from error
    return header


def read_weights(path: str | Path) -> tuple[Weights, dict[str, Any]]:
    """Read the arrays of a model's network alone, as they are in the file, and the header."""
    arrays, header = read_arrays(path)
    return _weights(arrays), header


def _weights(arrays: dict[str, NDArray[Any]]) -> Weights:
    """Return the arrays that are the network's."""
    return {name: array for name, array in arrays.items() if not name.startswith((_SEEN, _RELIABILITY))}


def same_arrays(a: Arrays, b: Arrays) -> bool:
    """Whether two sets of named arrays are equal, bit for bit."""
    return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
