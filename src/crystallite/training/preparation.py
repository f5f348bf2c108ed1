"""From settings and data to a trainer before its first step: split, graphs, targets, network."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..computing.devices import usable_device
from ..datasets.dataset import Dataset
from ..graphs.packed import PackedGraphs
from ..graphs.store import dataset_graphs
from ..materials.groups import Seen, groups_of, material_hashes
from ..materials.signatures import Signatures, material_signatures
from ..materials.splits import Split
from ..models.checkpoint import TrainedModel
from ..models.loading import read_any_model
from ..network.model import CrystalNetwork
from ..network.targets import Targets
from ..runs.folder import RunConfig
from ..settings.config import GraphConfig
from .fine_tuning import freeze, start_from
from .kernel_learner import KernelLearner
from .learner import Learner
from .run_data import (
    check_sample_weights,
    checked_values,
    fitted_targets,
    sample_weights,
    target_values,
    usable_crystals,
)
from .run_split import draw_split, split_fingerprint, write_split
from .trainer import Trainer


def prepare(
    dataset: Dataset,
    config: RunConfig,
    *,
    split: Split | None = None,
    given: Split | None = None,
    workers: int = 1,
    device: str = "cpu",
    progress: bool = False,
) -> Learner:
    """Return a trainer before its first step.

    split: of a run that has one, else it is made of `given` parts or drawn from the settings.
    """
    device = usable_device(device)
    base = read_any_model(config.training.start_from) if config.training.start_from else None
    values, weights = target_values(dataset, config.data), sample_weights(dataset, config.data)
    graphs, signatures = _graphs(dataset, config.graph, workers, progress)
    if split is None:
        split = _split(dataset, config, signatures, usable_crystals(values, weights), base, given)
    values = checked_values(dataset, config, values, split)
    check_sample_weights(dataset, config.data.weight_column, weights, split)
    targets = fitted_targets(dataset, config, values, split)
    seen = _seen(dataset, signatures, split, base)
    facts = (graphs, values, split, targets, config.training, weights, seen)
    if config.model.method == "kernel":
        return KernelLearner(config.model, groups_of(dataset.ids, signatures), *facts)
    return Trainer(_network(config, targets, base, device), *facts)


def start_folder(
    folder: Path, dataset: Dataset, config: RunConfig, split: Split, device: str = "cpu"
) -> None:
    """Write what a run folder holds before the first step: the split, and the settings, which name it."""
    ids = dataset.ids
    data = replace(config.data, split_fingerprint=split_fingerprint(ids, split))
    write_split(folder, ids, split)
    replace(config, data=data).write(folder, device)


def _graphs(
    dataset: Dataset, config: GraphConfig, workers: int, progress: bool
) -> tuple[PackedGraphs, Signatures]:
    """Return the graphs, and what tells materials apart.

    One graph setting tells materials apart, so that the split depends on the seed alone.
    """
    graphs = dataset_graphs(dataset, config, workers=workers, progress=progress)
    usual = config.effective() == GraphConfig()
    same = graphs if usual else dataset_graphs(dataset, GraphConfig(), workers=workers)
    return graphs, material_signatures(same)


def _split(
    dataset: Dataset,
    config: RunConfig,
    signatures: Signatures,
    usable: NDArray[np.bool_],
    base: TrainedModel | None,
    given: Split | None,
) -> Split:
    """Return a new split; warns of a base model that does not say which crystals it was trained on."""
    split = draw_split(dataset, signatures, usable, config.data, base.seen if base else None, given)
    if base is not None and base.seen is None:
        warnings.warn(
            f"{config.training.start_from} does not say which crystals it was trained on; if test "
            "crystals are among them, the test error is too small",
            stacklevel=3,
        )
    return split


def _network(config: RunConfig, targets: Targets, base: TrainedModel | None, device: str) -> CrystalNetwork:
    """Return the network with its first weights: random ones of the seed, or those of the base model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        network = CrystalNetwork(config.model)
    if base is not None:
        start_from(network, targets, base)
    freeze(network, config.training.frozen)
    return network.to(device)


def _seen(dataset: Dataset, signatures: Signatures, split: Split, base: TrainedModel | None) -> Seen | None:
    """Return the materials the network will have met, with those of the base model; None if it cannot say."""
    hashes = material_hashes(dataset.ids, signatures)
    seen = Seen(hashes[split.train].ravel(), hashes[split.validation].ravel())
    if base is None:
        return seen
    if base.seen is None:
        return None
    return Seen(*(np.union1d(ours, theirs) for ours, theirs in zip(seen, base.seen, strict=True)))
