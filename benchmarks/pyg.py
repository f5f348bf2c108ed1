"""PyTorch Geometric's side: its CGConv layers as a network of the same widths; inside a worker.

CGConv is a lighter convolution than the published one: no batch norm of the messages, no softplus after the
sum. The graphs are the published ones: 12 neighbours, 41 Gaussians, every atom.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from peer import Measure, epoch_of
from torch import Tensor, nn

try:
    from torch_geometric.data import Batch, Data
    from torch_geometric.loader import DataLoader
    from torch_geometric.nn import CGConv, global_mean_pool
except ImportError as error:
    raise SystemExit(f"{error}; the benchmarks need: pip install -r benchmarks/requirements.txt") from None


class Network(nn.Module):
    """Embedding, three CGConv with batch norm, mean pooling, one hidden layer."""

    def __init__(self, n_features: int, n_centers: int, width: int = 64, hidden: int = 128) -> None:
        super().__init__()
        self.embedding = nn.Linear(n_features, width)
        self.convolutions = nn.ModuleList(CGConv(width, n_centers, batch_norm=True) for _ in range(3))
        self.readout = nn.Sequential(
            nn.Softplus(), nn.Linear(width, hidden), nn.Softplus(), nn.Linear(hidden, 1)
        )

    def forward(self, batch: Batch) -> Tensor:
        x = self.embedding(batch.x)
        for convolution in self.convolutions:
            x = convolution(x, batch.edge_index, batch.edge_attr)
        predicted: Tensor = self.readout(global_mean_pool(x, batch.batch, batch.num_graphs))
        return predicted


def training_epoch(graphs: str) -> Measure:
    """Seconds of one epoch (SGD, batches of 256, mean square error), graphs cached, batching included."""
    items = torch.load(graphs)
    crystals = [_data(*graph) for graph, _, _ in items]
    targets = torch.cat([target for _, target, _ in items])
    for crystal, target in zip(crystals, (targets - targets.mean()) / targets.std(), strict=True):
        crystal.y = target.reshape(1, 1)
    return epoch_of(_training(crystals))


def _data(atom_features: Tensor, bond_features: Tensor, neighbors: Tensor) -> Data:
    n_atoms, n_neighbors = neighbors.shape
    sources = torch.arange(n_atoms).repeat_interleave(n_neighbors)
    edges = torch.stack([neighbors.reshape(-1), sources])  # messages flow from neighbour to atom
    return Data(x=atom_features, edge_index=edges, edge_attr=bond_features.flatten(0, 1))


def _training(crystals: list[Data]) -> Callable[[], None]:
    model = Network(crystals[0].x.shape[1], crystals[0].edge_attr.shape[1]).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loader = DataLoader(crystals, batch_size=256, shuffle=True)

    def epoch() -> None:
        for batch in loader:
            loss = nn.functional.mse_loss(model(batch), batch.y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss.item()

    return epoch
