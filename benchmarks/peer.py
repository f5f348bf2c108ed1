"""The published algorithm's side, as the package cgcnn2 implements it; inside a worker.

Its functions are used as they are: CIFData, collate_pool and CrystalGraphConvNet, in the loop of its own
training command.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

try:
    from cgcnn2.data import CIFData, collate_pool
    from cgcnn2.model import CrystalGraphConvNet
    from cgcnn2.utils import Normalizer
except ImportError as error:
    raise SystemExit(
        f"{error}; the benchmarks need: pip install -r benchmarks/requirements.txt 'crystallite[test]'"
    ) from None

Measure = Callable[[], float]
warnings.filterwarnings("ignore", module="cgcnn2|pymatgen")


def graphs_from_cifs(folder: str) -> Measure:
    """Seconds per crystal from CIF files to graphs, nothing cached."""
    dataset = CIFData(folder, cache_size=0)
    dataset[0]

    def measure() -> float:
        started = time.perf_counter()
        for index in range(len(dataset)):
            dataset[index]
        return (time.perf_counter() - started) / len(dataset)

    return measure


def prepare_graphs(folder: str, file: str) -> Callable[[], int]:
    """Build all graphs once, as its cache holds them, and write them for the training measurements."""
    dataset = CIFData(folder, cache_size=0)
    graphs = [dataset[index] for index in range(len(dataset))]
    torch.save(graphs, file)
    return lambda: len(graphs)


def training_epoch(graphs: str) -> Measure:
    """Seconds of one epoch (SGD, batches of 256, mean square error), graphs cached, collating included."""
    return epoch_of(Training(torch.load(graphs)))


class Training:
    """The published network with its loader and optimiser; calling it trains one epoch."""

    def __init__(self, dataset: Any) -> None:
        (atom_features, bond_features, _), _, _ = dataset[0]
        self.model = CrystalGraphConvNet(atom_features.shape[-1], bond_features.shape[-1]).train()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.loader = DataLoader(dataset, batch_size=256, shuffle=True, collate_fn=collate_pool)
        _, targets, _ = collate_pool([dataset[index] for index in range(min(500, len(dataset)))])
        self.normalizer = Normalizer(targets)

    def __call__(self) -> None:
        for inputs, targets, _ in self.loader:
            outputs, _ = self.model(*inputs)
            loss = nn.functional.mse_loss(outputs, self.normalizer.norm(targets))
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            loss.item()


def epoch_of(training: Callable[[], None]) -> Measure:
    """Return a function that times one epoch, after one that is not timed."""
    training()

    def measure() -> float:
        started = time.perf_counter()
        training()
        return time.perf_counter() - started

    return measure
