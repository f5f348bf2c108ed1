"""The network on reduced graphs is the published network on full graphs.

Bounds for real crystals: their equal distances differ by 1e-6 Å or so, and the reduction takes their mean;
that alone separates reduced from full. Seen on 1,500 crystals, in double precision, with random and with
published weights: outputs 5e-7, loss 9e-9, gradients 2e-6 and running statistics 1e-7 of the largest entry.
Distances that differ by a whole bin, 1e-4 Å, are possible though unseen, so a tenth of that is allowed.
Exactly symmetric crystals round to the same float32 distances: what is left is double precision, 1e-14 or so.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from golden_files import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Step, furthest, outputs, predictions, random_network, settled, training_step
from strategies import crystals, diamond, face_centered, in_cell, made, perovskite, rock_salt
from torch import Tensor, nn
from torch.nn.functional import softplus

from crystallite.crystals.crystal import Crystal
from crystallite.crystals.elements import feature_table
from crystallite.crystals.neighbors import Bonds, find_bonds
from crystallite.errors import CrystalliteError
from crystallite.graphs.packed import (
    Graph,
    PackedGraphs,
    build_graph,
    build_graphs,
    gather_batch,
    pack_graphs,
)
from crystallite.models.checkpoint import TrainedModel
from crystallite.models.inference import atom_contributions, network_outputs, predict_graphs
from crystallite.network.batch_norm import WeightedBatchNorm
from crystallite.network.targets import Targets
from crystallite.settings.config import GraphConfig, ModelConfig

SHARED, FIRST = GraphConfig(), GraphConfig(ties="first")
SMALL = ModelConfig(
    convolution="gated", angles="none", atom_width=16, hidden_width=24, n_convolutions=3, n_hidden=2
)
# Of sums of 18 numbers near 1, and of differences of such sums.
ROUNDING = {torch.float64: {"rtol": 1e-12, "atol": 1e-12}, torch.float32: {"rtol": 1e-5, "atol": 1e-5}}
EDGES = replace(SMALL, convolution="edge-updating", edge_width=8)
ORDERS = replace(EDGES, angles="orders")


def packed(chosen: list[Crystal], config: GraphConfig = SHARED, *, reduced: bool = True) -> PackedGraphs:
    return pack_graphs([build_graph(crystal, config, reduced=reduced) for crystal in chosen])


def assert_close(ours: Step, theirs: Step, bound: float) -> None:
    torch.testing.assert_close(ours.outputs, theirs.outputs, rtol=0, atol=bound)
    assert abs(ours.loss - theirs.loss) < bound
    assert furthest(ours.gradients, theirs.gradients) < bound
    assert furthest(ours.statistics, theirs.statistics) < bound


# ---- reduced and full graphs


def steps(chosen: list[Crystal], network) -> tuple[Step, Step]:
    """A training step on reduced and on full graphs, from the same weights."""
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    truth = torch.randn(len(chosen), 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    results = []
    for reduced in (True, False):
        network.load_state_dict(state)
        results.append(training_step(network, packed(chosen, reduced=reduced), truth))
    return results[0], results[1]


@pytest.mark.parametrize("name", ["formation", "elastic"])
def test_reduced_real_crystals(name: str, request, energy_model) -> None:
    dataset = request.getfixturevalue(name)
    rng = np.random.default_rng(0)
    configs = [
        ModelConfig(convolution="gated"),
        ModelConfig(convolution="plain"),
        ModelConfig(convolution="edge-updating", angles="none"),
        ModelConfig(convolution="gated", readout="per-atom"),
        ModelConfig(),
    ]
    networks = [*map(random_network, configs), energy_model.network]
    for network in (network.double() for network in networks):
        chosen = list(dataset.select(rng.choice(len(dataset), 32, replace=False)))
        ours, theirs = steps(chosen, network)
        assert packed(chosen).weights.size < 0.6 * packed(chosen, reduced=False).weights.size
        assert_close(ours, theirs, 1e-5)
        found, full = (predictions(network, packed(chosen, reduced=r)) for r in (True, False))
        np.testing.assert_allclose(found, full, rtol=0, atol=1e-5)


LENGTH = st.floats(3.5, 7)


@pytest.mark.parametrize("config", [SMALL, EDGES, ORDERS], ids=["gated", "edge-updating", "orders"])
@settings(max_examples=10)
@given(LENGTH, LENGTH, LENGTH)
def test_reduced_symmetric_crystals(config: ModelConfig, a: float, b: float, c: float) -> None:
    """Distances equal to the last bit but one and weights of 1 and 1/2: nothing is rounded to float32."""
    chosen = [
        face_centered(a),
        rock_salt(b),
        in_cell(made([c / 1.5] * 3, [26], [0, 0, 0]), np.eye(3, dtype=int) * 2),
    ]
    ours, theirs = steps(chosen, random_network(config).double())
    assert_close(ours, theirs, 1e-10)


@settings(max_examples=10)
@given(LENGTH, LENGTH)
def test_reduced_symmetric_crystals_with_thirds(a: float, b: float) -> None:
    """Weights of 2/3 and 5/6, in float32 on either side: 6e-8 of a weight."""
    ours, theirs = steps([diamond(a), perovskite(b), rock_salt(5)], random_network(SMALL).double())
    assert_close(ours, theirs, 1e-5)


@settings(max_examples=15)
@given(st.lists(crystals(), min_size=2, max_size=4))
def test_reduced_made_up_crystals(chosen: list[Crystal]) -> None:
    """Here hypothesis makes distances that differ by up to a bin's width, and few rows in a batch norm."""
    ours, theirs = steps(chosen, random_network(SMALL).double())
    torch.testing.assert_close(ours.outputs, theirs.outputs, rtol=0, atol=1e-3)
    assert furthest(ours.statistics, theirs.statistics) < 1e-3


# ---- the published network, written as in the paper


class PublishedConvolution(nn.Module):
    """Paper eq. 5 as published: every bond's long vector, through torch's own batch norms."""

    def __init__(self, width: int, n_centers: int) -> None:
        super().__init__()
        self.fc_full = nn.Linear(2 * width + n_centers, 2 * width)
        self.bn1 = nn.BatchNorm1d(2 * width)
        self.bn2 = nn.BatchNorm1d(width)

    def forward(self, atoms: Tensor, bonds: Tensor, neighbors: Tensor) -> Tensor:
        n_atoms, n_neighbors = neighbors.shape
        source = atoms.unsqueeze(1).expand(-1, n_neighbors, -1)
        z = self.fc_full(torch.cat([source, atoms[neighbors], bonds], dim=2))
        z = self.bn1(z.flatten(0, 1)).view(n_atoms, n_neighbors, -1)
        z_filter, z_core = z.chunk(2, dim=2)
        return softplus(atoms + self.bn2((torch.sigmoid(z_filter) * softplus(z_core)).sum(dim=1)))


class PublishedNetwork(nn.Module):
    def __init__(
        self, width: int = 64, n_convolutions: int = 4, hidden: int = 32, n_centers: int = 41
    ) -> None:
        super().__init__()
        self.embedding = nn.Linear(92, width)
        self.convs = nn.ModuleList(PublishedConvolution(width, n_centers) for _ in range(n_convolutions))
        self.conv_to_fc = nn.Linear(width, hidden)
        self.fc_out = nn.Linear(hidden, 1)

    def forward(self, graphs: list[tuple[Crystal, Bonds]]) -> Tensor:
        numbers = np.concatenate([crystal.numbers for crystal, _ in graphs])
        starts = np.cumsum([0, *(len(crystal) for crystal, _ in graphs)])
        neighbors = np.concatenate(
            [b.neighbors + start for (_, b), start in zip(graphs, starts, strict=False)]
        )
        distances = torch.from_numpy(np.concatenate([b.distances for _, b in graphs])).view(-1, 12, 1)
        atoms = self.embedding(torch.from_numpy(feature_table()[numbers]).double())
        bonds = torch.exp(-(((distances - torch.arange(41) * 0.2) / 0.2) ** 2))
        for convolution in self.convs:
            atoms = convolution(atoms, bonds, torch.from_numpy(neighbors).view(-1, 12))
        spans = [slice(a, b) for a, b in pairwise(starts)]
        pooled = torch.stack([atoms[span].mean(dim=0) for span in spans])
        return self.fc_out(softplus(self.conv_to_fc(softplus(pooled))))


def test_the_published_network(formation, energy_model) -> None:
    """Predictions, and a training step's outputs, loss, gradients and statistics, with published ties.

    Our graph keeps distances in float32, 2.4e-7 Å at 4 Å; the reduction adds its 1e-6 Å.
    """
    sparse = made([9, 9, 9], [29], [0, 0, 0])  # twelve made-up bonds to atom 0
    chosen = [*formation.select(range(7, 3938, 131)), sparse]
    graphs = [(crystal, find_bonds(crystal, FIRST)) for crystal in chosen]
    reference = PublishedNetwork().double()
    path = GOLDEN / "formation-energy-per-atom.pth.tar"
    reference.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    network = energy_model.network.double()

    with torch.no_grad():
        expected = reference.eval()(graphs)[:, 0].numpy()
    ours = predictions(network, packed(chosen, FIRST))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)

    truth = torch.zeros(len(chosen), 1, dtype=torch.float64)
    step = training_step(network, packed(chosen, FIRST), truth)
    found = reference.train()(graphs)
    found.abs().mean().backward()
    torch.testing.assert_close(step.outputs, found.detach(), rtol=0, atol=1e-5)
    for k, theirs in enumerate(reference.convs):
        pairs = {
            "linear.weight": theirs.fc_full.weight,
            "message_norm.weight": theirs.bn1.weight,
            "message_norm.bias": theirs.bn1.bias,
            "node_norm.weight": theirs.bn2.weight,
            "node_norm.bias": theirs.bn2.bias,
        }
        for name, parameter in pairs.items():
            gradient = step.gradients[f"convolutions.{k}.{name}"]
            assert float((gradient - parameter.grad).abs().max() / parameter.grad.abs().max()) < 1e-5
        statistics = {
            # the published linear map has a bias, which only moves this mean
            "message_norm.running_mean": theirs.bn1.running_mean - theirs.fc_full.bias,
            "message_norm.running_var": theirs.bn1.running_var,
            "node_norm.running_mean": theirs.bn2.running_mean,
            "node_norm.running_var": theirs.bn2.running_var,
        }
        for name, tensor in statistics.items():
            torch.testing.assert_close(
                step.statistics[f"convolutions.{k}.{name}"], tensor, rtol=1e-5, atol=1e-6
            )
    torch.testing.assert_close(
        step.gradients["embedding.weight"], reference.embedding.weight.grad, rtol=0, atol=1e-5
    )


# ---- parts


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
def test_weighted_batch_norm_is_the_plain_one_on_repeated_rows(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 5, dtype=torch.float64)
    repeats = torch.tensor([1, 3, 2, 1, 4, 6, 1])
    upstream = torch.randn(18, 5, dtype=torch.float64)
    ours, theirs = WeightedBatchNorm(5).to(dtype), nn.BatchNorm1d(5).double()
    nn.init.uniform_(ours.weight, 0.5, 2)
    theirs.load_state_dict(ours.state_dict())
    own, full = (x.detach().to(kind, copy=True).requires_grad_() for kind in (dtype, torch.float64))
    for _ in range(3):
        repeated = theirs(full.repeat_interleave(repeats, dim=0))
        found = ours(own, repeats.to(dtype), 18.0).repeat_interleave(repeats, dim=0)
        torch.testing.assert_close(found.double(), repeated, **ROUNDING[dtype])
        (found * upstream.to(dtype)).sum().backward()
        (repeated * upstream).sum().backward()
    for mine, other in (
        (own.grad, full.grad),
        (ours.weight.grad, theirs.weight.grad),
        (ours.bias.grad, theirs.bias.grad),
        (ours.running_mean, theirs.running_mean),
        (ours.running_var, theirs.running_var),
        (ours.eval()(own, repeats.to(dtype), 18.0), theirs.eval()(full)),
    ):
        torch.testing.assert_close(mine.double(), other, **ROUNDING[dtype])


def test_a_batch_norm_without_rows_adds_nothing() -> None:
    """A process can be left without a part of a batch."""
    norm = WeightedBatchNorm(3)
    rows = torch.empty(0, 3, requires_grad=True)
    norm(rows, torch.empty(0), 5.0).sum().backward()
    assert rows.grad.shape == (0, 3)
    assert not norm.weight.grad.any()
    assert norm.running_mean.isfinite().all()


@pytest.fixture(scope="module")
def graphs(elastic) -> PackedGraphs:
    return build_graphs(elastic.arrays, SHARED)


def test_predictions_do_not_depend_on_the_batch(graphs, energy_model) -> None:
    """In batches of 50,000 edges, alone, and in another order; a product's blocking may round differently."""
    rows = np.arange(graphs.n_crystals)
    expected = network_outputs(energy_model.network, graphs, rows)
    order = np.random.default_rng(0).permutation(rows)
    np.testing.assert_allclose(
        network_outputs(energy_model.network, graphs, order), expected[order], rtol=0, atol=1e-5
    )
    for row in (0, 500, 1180):
        alone = network_outputs(energy_model.network, graphs, np.array([row]))
        np.testing.assert_allclose(alone, expected[[row]], rtol=0, atol=1e-5)
    assert network_outputs(energy_model.network, graphs, rows[:0]).shape == (0, 1)
    assert not energy_model.network.training


def test_shapes_and_classes(graphs) -> None:
    several = random_network(ModelConfig(n_outputs=3)).eval()
    assert network_outputs(several, graphs, np.arange(5)).shape == (5, 3)
    classes = random_network(ModelConfig(n_outputs=2, task="classification"))
    odds = np.exp(network_outputs(classes, graphs, np.arange(5)))
    np.testing.assert_allclose(odds.sum(axis=1), 1, rtol=1e-6)
    assert classes.training  # as it was before


def test_dropout_is_for_training_classifiers_alone(graphs) -> None:
    few = pack_graphs([graph_of(graphs, row) for row in range(8)])
    for task, differs in (("classification", True), ("regression", False)):
        network = random_network(ModelConfig(n_outputs=2, task=task, dropout=0.5)).train()
        once, twice = outputs(network, few), outputs(network, few)
        assert torch.equal(once, twice) != differs


def graph_of(graphs: PackedGraphs, row: int) -> Graph:
    batch = gather_batch(graphs, np.array([row]))
    return Graph(
        batch.numbers.astype(np.uint8),
        batch.multiplicities.astype(np.int32),
        batch.edge_offsets,
        batch.neighbors,
        batch.distances,
        batch.weights,
        batch.orders,
    )


def test_contributions_of_atoms_average_to_the_prediction(elastic) -> None:
    chosen = list(elastic.select(range(5)))
    config = ModelConfig(readout="per-atom", n_outputs=2)
    network = settled(random_network(config), packed(chosen))
    targets = Targets(("a", "b"), ("eV", ""), "regression", (1.0, -3.0), (2.0, 0.5))
    model = TrainedModel.of(network, SHARED, targets)
    full, reduced = packed(chosen, reduced=False), packed(chosen)
    of_atoms = atom_contributions(model, full)
    assert len(of_atoms) == sum(map(len, chosen))
    means = [part.mean(axis=0) for part in np.split(of_atoms, full.node_offsets[1:-1])]
    np.testing.assert_allclose(means, predict_graphs(model, full), rtol=0, atol=1e-5)
    np.testing.assert_allclose(means, predict_graphs(model, reduced), rtol=0, atol=1e-4)
    pooled = TrainedModel.of(random_network(ModelConfig(n_outputs=2)), SHARED, targets)
    with pytest.raises(CrystalliteError, match="per-atom"):
        atom_contributions(pooled, full)
