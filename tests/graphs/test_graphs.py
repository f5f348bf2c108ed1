"""Packing, batching and parallel building change nothing about single graphs."""

from __future__ import annotations

import numpy as np
import pytest
from graph_arrays import assert_same
from hypothesis import given
from hypothesis import strategies as st
from strategies import crystals, made, rock_salt

from crystallite.crystals.crystal import Crystal, pack_crystals
from crystallite.errors import CrystalError
from crystallite.graphs.packed import (
    BLOCK_EDGES,
    CHUNK,
    MAX_ATOMS,
    PackedGraphs,
    build_graph,
    build_graphs,
    full_graphs,
    gather_batch,
    graphs_of,
    pack_graphs,
)
from crystallite.settings.config import GraphConfig

CONFIG = GraphConfig()


@pytest.fixture(scope="module")
def graphs(elastic) -> PackedGraphs:
    return build_graphs(elastic.arrays, CONFIG, elastic.ids)


def packed_one_by_one(chosen: list[Crystal], config: GraphConfig) -> PackedGraphs:
    return pack_graphs([build_graph(crystal, config) for crystal in chosen], pack_crystals(chosen))


@pytest.mark.parametrize("ties", ["shared", "first"])
def test_packed_graphs_are_the_single_ones(elastic, ties) -> None:
    chosen = list(elastic.select(range(0, 1181, 7)))
    config = GraphConfig(ties=ties)
    assert_same(build_graphs(chosen, config), packed_one_by_one(chosen, config))


@given(st.lists(crystals(), min_size=1, max_size=5))
def test_packed_made_up_graphs(made_up: list[Crystal]) -> None:
    assert_same(build_graphs(made_up, CONFIG), packed_one_by_one(made_up, CONFIG))


def test_threads_change_nothing(elastic, graphs) -> None:
    assert len(elastic.arrays.numbers) > 4 * CHUNK  # more than one thread has work
    assert_same(build_graphs(elastic.arrays, CONFIG, workers=3), graphs)


def test_less_than_a_kilobyte_a_crystal(formation) -> None:
    assert build_graphs(formation.arrays, CONFIG).n_bytes < 1000 * len(formation)


def test_batch_holds_the_chosen_graphs(graphs) -> None:
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, graphs.n_crystals, 100)  # some twice
    batch = gather_batch(graphs, chosen)
    for k, crystal in enumerate(chosen):
        nodes = slice(*graphs.node_offsets[crystal : crystal + 2])
        edges = slice(graphs.edge_offsets[nodes.start], graphs.edge_offsets[nodes.stop])
        new_nodes = slice(*batch.node_offsets[k : k + 2])
        new_edges = slice(batch.edge_offsets[new_nodes.start], batch.edge_offsets[new_nodes.stop])
        np.testing.assert_array_equal(batch.numbers[new_nodes], graphs.numbers[nodes])
        np.testing.assert_array_equal(batch.multiplicities[new_nodes], graphs.multiplicities[nodes])
        np.testing.assert_array_equal(batch.distances[new_edges], graphs.distances[edges])
        np.testing.assert_array_equal(batch.weights[new_edges], graphs.weights[edges])
        np.testing.assert_array_equal(batch.neighbors[new_edges] - new_nodes.start, graphs.neighbors[edges])
        np.testing.assert_array_equal(
            np.diff(batch.edge_offsets[new_nodes.start : new_nodes.stop + 1]),
            np.diff(graphs.edge_offsets[nodes.start : nodes.stop + 1]),
        )


def test_blocks_are_runs_of_whole_crystals(graphs) -> None:
    """Every block but the last has at least BLOCK_EDGES edges, and less without its last crystal."""
    batch = gather_batch(graphs, np.arange(300))
    assert batch.blocks[0] == 0
    assert batch.blocks[-1] == len(batch.numbers)
    assert np.isin(batch.blocks, batch.node_offsets).all()
    assert len(batch.blocks) > 5
    for start, stop in zip(batch.blocks[:-2], batch.blocks[1:-1], strict=True):
        last = batch.node_offsets[np.searchsorted(batch.node_offsets, stop) - 1]
        first_edge, last_edge, end = batch.edge_offsets[[start, last, stop]]
        assert last_edge - first_edge < BLOCK_EDGES <= end - first_edge


def test_no_crystals() -> None:
    graphs = build_graphs([], CONFIG)
    assert graphs.n_crystals == 0
    assert graphs.n_bytes < 100


@pytest.mark.parametrize("ids", [None, [f"mp-{k}" for k in range(5)]])
def test_overlapping_atoms_are_named(ids) -> None:
    chosen = [rock_salt(5 + 0.1 * k) for k in range(4)]
    chosen.insert(3, made([5, 5, 5], [1, 8], [[0, 0, 0], [0.01, 0, 0.999]]))
    with pytest.raises(CrystalError, match=r"two atoms are 0\.050 Å apart") as error:
        build_graphs(chosen, CONFIG, ids)
    assert error.value.source == ("crystal 3" if ids is None else "mp-3")


def test_too_many_atoms_are_refused_at_once() -> None:
    """Multiplicities are kept in 16 bits; 65,536 equal atoms would become none."""
    n_atoms = MAX_ATOMS + 1
    crystal = made([1000, 5, 5], n_atoms * [29], np.linspace(0, 1, 3 * n_atoms))
    with pytest.raises(CrystalError, match=r"mp-1: more than 65,535 atoms"):
        build_graphs([rock_salt(5), crystal], CONFIG, ["mp-0", "mp-1"])


def test_arrays_and_crystals_are_the_same_input(elastic) -> None:
    chosen = list(elastic.select(range(10)))
    assert_same(build_graphs(chosen, CONFIG), build_graphs(pack_crystals(chosen), CONFIG))


@pytest.mark.parametrize(
    "rows", [[], [0], [1180], [5, 3, 3, 1180, 0, 5], list(range(0, 1181, 7)), list(range(1181))]
)
def test_graphs_of_some_crystals_are_those_built_of_them(rows, graphs, elastic):
    rows = np.array(rows, np.int64)
    chosen = elastic.arrays.of(rows)
    assert_same(graphs_of(graphs, rows), build_graphs([elastic.crystal(row) for row in rows], CONFIG))
    assert_same(graphs_of(graphs, rows), build_graphs(chosen, CONFIG))
    assert graphs_of(graphs._replace(crystals=None), rows).crystals is None
    assert chosen.n_crystals == len(rows)
    for place, row in enumerate(rows[:20]):
        ours, theirs = chosen.crystal(place), elastic.crystal(row)
        for name in ("numbers", "lattice", "frac_coords"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_graphs_of_crystals_of_full_graphs(elastic):
    some = [elastic.crystal(row) for row in range(6)]
    rows = np.array([4, 1, 1])
    assert_same(graphs_of(full_graphs(some, CONFIG), rows), full_graphs([some[row] for row in rows], CONFIG))
