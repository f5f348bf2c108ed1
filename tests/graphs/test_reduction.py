"""Colour refinement finds the atoms that look alike, and merges exactly their bonds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from pymatgen.core import Element, Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from strategies import (
    SUPERCELLS,
    crystals,
    diamond,
    in_cell,
    made,
    perovskite,
    reordered,
    rock_salt,
    rotated,
)

from crystallite.crystals.crystal import Crystal
from crystallite.crystals.neighbors import find_bonds
from crystallite.graphs.packed import build_graph
from crystallite.graphs.reduction import ORDER_WIDTH, Graph, reduce_graph
from crystallite.settings.config import GraphConfig

CONFIG = GraphConfig()
WIDTH = 1.0000037e-4  # Å, of a distance bin
SPREAD = 1.1e-4  # Å: distances in one bin differ by less


def slow_bins(distances: np.ndarray, width: float = WIDTH) -> np.ndarray:
    """A bin starts at the shortest distance that lies beyond the last bin."""
    starts: list[float] = []
    for distance in sorted(distances):
        if not starts or distance - starts[-1] > width:
            starts.append(distance)
    return np.searchsorted(starts, distances, side="right") - 1


def slow_classes(crystal: Crystal) -> tuple[list[int], np.ndarray]:
    """Refinement with plain tuples in place of hashes: the class of each atom, and the bin of each bond."""
    bonds = find_bonds(crystal, CONFIG)
    bins = slow_bins(bonds.distances)
    colors = [int(number) for number in crystal.numbers]
    while True:
        surroundings = [
            tuple(sorted((colors[bonds.neighbors[b]], int(bins[b]), round(bonds.weights[b], 9)) for b in own))
            for own in (range(*bonds.offsets[atom : atom + 2]) for atom in range(len(crystal)))
        ]
        keys = list(zip(colors, surroundings, strict=True))
        numbering = {key: number for number, key in enumerate(sorted(set(keys)))}
        refined = [numbering[key] for key in keys]
        if len(set(refined)) == len(set(colors)):
            refined = slow_split(refined, bonds.orders)
            if len(set(refined)) == len(set(colors)):
                return refined, bins
        colors = refined


def slow_split(classes: list[int], orders: np.ndarray) -> list[int]:
    """Atoms of one class whose orders lie in different bins, 0.001 wide, become different classes."""
    numbers = np.zeros(orders.shape, int)
    for own in (np.flatnonzero(np.array(classes) == one) for one in set(classes)):
        for column in range(orders.shape[1]):
            numbers[own, column] = slow_bins(orders[own, column], ORDER_WIDTH)
    keys = [(one, *row) for one, row in zip(classes, numbers.tolist(), strict=True)]
    numbering = {key: number for number, key in enumerate(sorted(set(keys)))}
    return [numbering[key] for key in keys]


def described(graph: Graph) -> list[tuple]:
    """Nodes as (number, multiplicity, edges as (neighbour's number, distance, weight)), sorted."""
    nodes = []
    for node, (start, stop) in enumerate(zip(graph.offsets, graph.offsets[1:], strict=False)):
        edges = [
            (
                int(graph.numbers[graph.neighbors[e]]),
                round(float(graph.distances[e]), 4),
                float(graph.weights[e]),
            )
            for e in range(start, stop)
        ]
        nodes.append((int(graph.numbers[node]), int(graph.multiplicities[node]), sorted(edges)))
    return sorted(nodes)


def check_against_slow(crystal: Crystal) -> None:
    graph = build_graph(crystal, CONFIG)
    classes, bins = slow_classes(crystal)
    bonds = find_bonds(crystal, CONFIG)
    sizes = np.bincount(classes)
    expected_sizes = sorted(
        zip(sizes, crystal.numbers[np.unique(classes, return_index=True)[1]], strict=True)
    )
    assert sorted(zip(graph.multiplicities, graph.numbers, strict=True)) == expected_sizes
    sources = np.repeat(classes, np.diff(bonds.offsets))
    merged: dict[tuple, list[float]] = {}
    for source, neighbor, bin_number, distance, weight in zip(
        sources, bonds.neighbors, bins, bonds.distances, bonds.weights, strict=True
    ):
        entry = merged.setdefault((source, classes[neighbor], bin_number), [0.0, 0.0])
        entry[0] += weight
        entry[1] += weight * distance
    expected = sorted((moment / weight, weight / sizes[key[0]]) for key, (weight, moment) in merged.items())
    found = sorted(zip(graph.distances.tolist(), graph.weights.tolist(), strict=True))
    # Float32 keeps 24 bits: half a step is 2.4e-7 below 8 Å and 4.8e-7 below 16 Å. Edges of the same rounded
    # length may come in another order, so lengths and weights are compared in sorted order each.
    assert len(found) == len(expected)
    np.testing.assert_allclose([f[0] for f in found], [e[0] for e in expected], rtol=1e-7)
    np.testing.assert_allclose(sorted(f[1] for f in found), sorted(e[1] for e in expected), rtol=1e-6)


def test_real_crystals_against_slow_refinement(formation, elastic) -> None:
    for crystal in [*formation.select(range(5, 3938, 40)), *elastic.select(range(5, 1181, 30))]:
        check_against_slow(crystal)


@given(crystals())
def test_made_up_crystals_against_slow_refinement(crystal: Crystal) -> None:
    check_against_slow(crystal)


def test_rock_salt_by_hand() -> None:
    near, far = 2.82, round(5.64 / 2**0.5, 4)
    assert described(build_graph(rock_salt(5.64), CONFIG)) == [
        (11, 4, [(11, far, 6.0), (17, near, 6.0)]),
        (17, 4, [(11, near, 6.0), (17, far, 6.0)]),
    ]


def test_diamond_by_hand() -> None:
    a = 5.43
    near, far = round(a * 3**0.5 / 4, 4), round(a / 2**0.5, 4)
    assert described(build_graph(diamond(a), CONFIG)) == [(14, 8, [(14, near, 4.0), (14, far, 8.0)])]


def test_perovskite_by_hand() -> None:
    """An oxygen has 2 Ti at a/2, then 4 Ca and 8 O at a/√2, 12 tied for 10 places."""
    graph = build_graph(perovskite(3.84), CONFIG)
    assert described(graph)[0][:2] == (8, 3)
    (oxygen,) = [edges for number, _, edges in described(graph) if number == 8]
    assert [(number, round(weight, 4)) for number, _, weight in oxygen] == [
        (8, 6.6667),
        (20, 3.3333),
        (22, 2),
    ]


def test_sums_are_kept(formation) -> None:
    for crystal in formation.select(range(9, 3938, 40)):
        graph = build_graph(crystal, CONFIG)
        assert graph.multiplicities.sum() == len(crystal)
        np.testing.assert_allclose(np.add.reduceat(graph.weights, graph.offsets[:-1]), 12, rtol=1e-6)
        bonds = find_bonds(crystal, CONFIG)
        lengths = graph.weights * graph.distances * np.repeat(graph.multiplicities, np.diff(graph.offsets))
        np.testing.assert_allclose(lengths.sum(), (bonds.weights * bonds.distances).sum(), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(SUPERCELLS))
def test_supercell_has_the_graph_of_the_cell(name: str, formation) -> None:
    matrix = SUPERCELLS[name]
    n_cells = round(abs(np.linalg.det(matrix)))
    for crystal in formation.select(range(len(name), 3938, 40)):
        check_same_graph(build_graph(crystal, CONFIG), build_graph(in_cell(crystal, matrix), CONFIG), n_cells)


def check_same_graph(small: Graph, large: Graph, n_cells: int) -> None:
    np.testing.assert_array_equal(large.numbers, small.numbers)
    np.testing.assert_array_equal(large.multiplicities, n_cells * small.multiplicities)
    np.testing.assert_array_equal(large.offsets, small.offsets)
    np.testing.assert_array_equal(large.neighbors, small.neighbors)
    # Means over other numbers of bonds, then rounded to float32
    np.testing.assert_allclose(large.distances, small.distances, rtol=0, atol=1e-5)
    np.testing.assert_allclose(large.weights, small.weights, rtol=1e-6)


@given(crystals())
def test_order_and_orientation_change_nothing(crystal: Crystal) -> None:
    rng = np.random.default_rng(0)
    graph = build_graph(crystal, CONFIG)
    for other in (reordered(crystal, rng), rotated(crystal, rng), rotated(crystal, rng, mirrored=True)):
        check_same_graph(graph, build_graph(other, CONFIG), 1)


def test_symmetry_never_finds_more_than_refinement(elastic) -> None:
    """Atoms that a space group maps on each other are one node: no more nodes than orbits."""
    for crystal in elastic.select(range(0, 1181, 20)):
        species = [Element.from_Z(int(number)) for number in crystal.numbers]
        structure = Structure(Lattice(crystal.lattice), species, crystal.frac_coords)
        # The files' coordinates have 6 decimals, so a symmetry holds to some 1e-5 Å, far below a bin's width.
        orbits = SpacegroupAnalyzer(structure, symprec=1e-4).get_symmetry_dataset().equivalent_atoms
        assert len(build_graph(crystal, CONFIG).numbers) <= len(set(orbits))


def test_a_gap_of_exactly_a_bin_does_not_hang_on_rounding() -> None:
    """2.5001 - 2.5 is the bin's width of 0.0001, give or take a bit that depends on the orientation."""
    crystal = made([2.5, 2.5001, 2.5001], [29], [0, 0, 0])
    rng = np.random.default_rng(0)
    assert {len(build_graph(rotated(crystal, rng), CONFIG).distances) for _ in range(50)} == {2}


def test_merged_distances_stay_within_the_bin(formation) -> None:
    """No edge of a reduced graph is further than a bin's width from a bond of the full graph."""
    for crystal in formation.select(range(3, 3938, 80)):
        bonds = find_bonds(crystal, CONFIG)
        lengths = np.sort(bonds.distances)
        for distance in build_graph(crystal, CONFIG).distances:
            assert np.abs(lengths - distance).min() < SPREAD


def test_wider_bins_merge_more() -> None:
    crystal = made([2.5, 2.55, 2.6], [29], [0, 0, 0])
    bonds = find_bonds(crystal, CONFIG)
    n_edges = [len(reduce_graph(crystal.numbers, bonds, width).distances) for width in (1e-4, 0.06, 10)]
    assert n_edges[0] > n_edges[1] > n_edges[2] == 1
