"""Padded batches of resident graphs are the batches they stand for: outputs, gradients and statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import furthest, random_network
from torch import Tensor

from crystallite.graphs.packed import PackedGraphs, build_graphs
from crystallite.network.batches import Inputs, batch_inputs
from crystallite.network.model import CrystalNetwork
from crystallite.network.resident import ResidentGraphs, Shape
from crystallite.settings.config import GraphConfig, ModelConfig

N_CRYSTALS = 60
# double precision, sums in another order and over more rows; moments at least 1e-12 of their scale
TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def graphs(elastic) -> PackedGraphs:
    return build_graphs(elastic.select(range(N_CRYSTALS)).arrays, GraphConfig())


def padded(graphs: PackedGraphs, rows: list[int], room: int) -> Inputs:
    resident = ResidentGraphs(graphs, torch.device("cpu"))
    size = len(rows) + room
    shape = resident.shape(np.array(rows, np.int64), size)
    with_empty = torch.tensor(rows + room * [resident.empty], dtype=torch.int64)
    return resident.inputs(with_empty, shape, torch.float64)


def computed(network: CrystalNetwork, inputs: Inputs, n_crystals: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs, and by name gradients of a loss of all crystals and the statistics after the step."""
    network.zero_grad()
    outputs = network(inputs)[:n_crystals]
    (outputs - torch.linspace(-1, 1, n_crystals).double()[:, None]).square().sum().backward()
    tensors = {name: p.grad.clone() for name, p in network.named_parameters()}
    return outputs.detach(), tensors | {
        name: tensor.clone() for name, tensor in network.state_dict().items() if "running" in name
    }


@pytest.mark.parametrize("convolution", ["edge-updating", "gated", "plain"])
@pytest.mark.parametrize("readout", ["pooled", "per-atom"])
@pytest.mark.parametrize(("rows", "room"), [([5], 0), ([3, 59, 0, 3], 1), (list(range(60)), 0), ([7, 8], 9)])
def test_a_padded_batch_computes_what_the_batch_does(graphs, convolution, readout, rows, room):
    config = ModelConfig(
        atom_width=8, hidden_width=8, n_convolutions=2, convolution=convolution, readout=readout,
        angles="orders",
    )  # fmt: skip
    ours, theirs = (random_network(config).double().train() for _ in range(2))
    inputs = padded(graphs, rows, room)
    assert len(inputs.weights) >= len(batch_inputs(theirs, graphs, np.array(rows)).weights)
    outputs, tensors = computed(ours, inputs, len(rows))
    expected, expected_tensors = computed(theirs, batch_inputs(theirs, graphs, np.array(rows)), len(rows))
    torch.testing.assert_close(outputs, expected, rtol=0, atol=TOLERANCE)
    assert furthest(tensors, expected_tensors) < TOLERANCE


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.integers(0, N_CRYSTALS - 1), min_size=1, max_size=20), room=st.integers(0, 5))
def test_every_batch_fits_its_shape_and_keeps_its_atoms_and_bonds(graphs, rows, room):
    inputs = padded(graphs, rows, room)
    plain = batch_inputs(random_network(ModelConfig(atom_width=4)).double(), graphs, np.array(rows))
    assert float(inputs.n_atoms) == plain.n_atoms
    assert float(inputs.n_bonds) == pytest.approx(plain.n_bonds, rel=1e-12)
    n_nodes, n_edges = len(plain.numbers), len(plain.weights)
    for name in ("numbers", "multiplicities", "crystals", "orders"):
        found, expected = getattr(inputs, name)[:n_nodes], getattr(plain, name)
        torch.testing.assert_close(found, expected.to(found.dtype), rtol=0, atol=0)
    for name in ("sources", "neighbors", "distances", "weights"):
        found, expected = getattr(inputs, name)[:n_edges], getattr(plain, name)
        torch.testing.assert_close(found, expected.to(found.dtype), rtol=0, atol=0)
    assert not inputs.multiplicities[n_nodes:].any()
    assert not inputs.weights[n_edges:].any()


def test_batches_of_a_size_share_few_shapes(graphs):
    resident = ResidentGraphs(graphs, torch.device("cpu"))
    random = np.random.default_rng(0)
    shapes = {resident.shape(random.permutation(N_CRYSTALS)[:16], 16) for _ in range(300)}
    assert 1 < len(shapes) < 12
    assert all(isinstance(shape, Shape) and shape.n_crystals == 16 for shape in shapes)
