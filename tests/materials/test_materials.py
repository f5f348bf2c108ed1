"""Which crystals are the same material: however they are written, slightly moved, and under which id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    SUPERCELLS,
    crystals,
    diamond,
    face_centered,
    in_cell,
    made,
    perovskite,
    reordered,
    rock_salt,
    rotated,
    shifted,
)

from crystallite.crystals.crystal import Crystal, CrystalArrays
from crystallite.graphs.packed import build_graph, build_graphs
from crystallite.materials import groups as groups_module
from crystallite.materials import signatures as signatures_module
from crystallite.materials.groups import are_known, material_groups, material_hashes
from crystallite.materials.signatures import N_NEIGHBORS, SAME_DISTANCE, material_signatures
from crystallite.settings.config import GraphConfig

SHARED = Path(__file__).parents[3] / "shared" / "data"


def signatures_of(crystals: list[Crystal]):
    return material_signatures(build_graphs(crystals, GraphConfig()))


def groups_of(crystals: list[Crystal], ids: list[str] | None = None) -> np.ndarray:
    names = ids or [f"mp-{k}" for k in range(len(crystals))]
    return material_groups(names, build_graphs(crystals, GraphConfig()))


def test_planted_duplicates_of_real_crystals(formation) -> None:
    """Every crystal written in four other ways is in the group of the first; groups are otherwise kept."""
    rng = np.random.default_rng(0)
    chosen = list(formation.select(range(0, 3938, 40)))
    copies = [
        chosen,
        [in_cell(crystal, SUPERCELLS["2x1x1"]) for crystal in chosen],
        [rotated(crystal, rng, mirrored=True) for crystal in chosen],
        [reordered(shifted(crystal, rng), rng) for crystal in chosen],
        [in_cell(crystal, SUPERCELLS["turned x2"]) for crystal in chosen],
        [Crystal(c.numbers, c.lattice * 1.001, c.frac_coords) for c in chosen],  # relaxed a little more
    ]
    alone = groups_of(chosen)
    together = groups_of([crystal for copy in copies for crystal in copy]).reshape(len(copies), -1)
    assert (together == together[0]).all()
    assert len(np.unique(together[0])) == len(np.unique(alone))


def strained(crystals: list[Crystal], n_copies: int) -> list[Crystal]:
    """Copies of crystals, each stretched or pressed by at most 2 % in all directions."""
    rng = np.random.default_rng(1)
    stretched = [1 + 0.02 * rng.uniform(-1, 1) for _ in range(n_copies)]
    return [Crystal(c.numbers, c.lattice * factor, c.frac_coords) for factor in stretched for c in crystals]


def in_plain_words(crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
    """Return the (elements, 12) sorted bond lengths and (elements, elements) depths, atom by atom."""
    graph = build_graph(crystal, GraphConfig(), reduced=False)
    elements = np.unique(graph.numbers)
    lengths, depths = np.zeros((len(elements), N_NEIGHBORS)), np.zeros((len(elements), len(elements)))
    for atom, number in enumerate(graph.numbers):
        bonds = slice(graph.offsets[atom], graph.offsets[atom + 1])
        order = np.argsort(graph.distances[bonds], kind="stable")
        distances, weights = graph.distances[bonds][order], graph.weights[bonds][order].astype(float)
        reached, row = np.cumsum(weights), np.searchsorted(elements, number)
        mine = [distances[np.argmax(reached >= k + 0.5)] for k in range(N_NEIGHBORS)]
        share = 1 / (graph.numbers == number).sum()
        lengths[row] += share * np.array(mine)
        others = np.searchsorted(elements, graph.numbers[graph.neighbors[bonds][order]])
        np.add.at(depths[row], others, share * weights * np.maximum(mine[-1] - distances, 0))
    return lengths, depths


@pytest.mark.parametrize("chunk", [3, 4096])
def test_groups_are_what_they_are_said_to_be(chunk, elastic, monkeypatch) -> None:
    """Every pair of crystals compared in plain words; and chunks do not matter."""
    monkeypatch.setattr(signatures_module, "_CHUNK", chunk)
    monkeypatch.setattr(groups_module, "_CHUNK", chunk)
    chosen = strained([crystal for crystal in elastic if len(crystal) < 12][::100], 12)
    words = [in_plain_words(crystal) for crystal in chosen]
    parents = list(range(len(chosen)))
    for a, (lengths, depths) in enumerate(words):
        for b in range(a):
            if chosen[a].formula == chosen[b].formula:
                near = np.abs(lengths - words[b][0]).mean() <= SAME_DISTANCE
                if near and (np.abs(depths - words[b][1]) <= 2 * N_NEIGHBORS * SAME_DISTANCE).all():
                    old, new = sorted((parents[a], parents[b]))
                    parents = [old if parent == new else parent for parent in parents]
    expected = np.unique(parents, return_inverse=True)[1]
    assert 20 < len(set(expected.tolist())) < len(chosen) - 20
    np.testing.assert_array_equal(groups_of(chosen), expected)


def test_few_real_crystals_are_alike(formation) -> None:
    """Ids are unique here; what is grouped (1.1 %) are mirror images and polytypes such as those of CdI2."""
    groups = material_groups(formation.ids, build_graphs(formation.arrays, GraphConfig()))
    assert 0 < len(formation) - len(np.unique(groups)) < 0.015 * len(formation)


def test_same_id_is_the_same_material() -> None:
    crystals = [rock_salt(5.0), diamond(5.4), rock_salt(6.0), diamond(3.6, 6)]
    assert groups_of(crystals, ["a", "b", "a", "c"]).tolist() == [0, 1, 0, 2]
    assert groups_of(crystals).tolist() == [0, 1, 2, 3]


def test_other_elements_and_lengths_are_other_materials() -> None:
    crystals = [
        rock_salt(5.64),
        rock_salt(5.64, 19),
        rock_salt(5.64, 17, 11),
        rock_salt(5.70),
        rock_salt(5.645),
    ]
    assert groups_of(crystals).tolist() == [0, 1, 0, 2, 0]


def test_groups_are_transitive() -> None:
    """A chain of crystals, each within the tolerance of the next, is one group; ids join chains too."""
    chain = [rock_salt(5.64 + 0.01 * k) for k in range(5)]
    assert len(set(groups_of(chain))) == 1
    assert (
        len(set(groups_of([rock_salt(5), rock_salt(5.001), rock_salt(6), rock_salt(6.001)], list("abbc"))))
        == 1
    )


# ---- crystals that moved a little


def moved(crystal: Crystal, length: float, rng: np.random.Generator) -> Crystal:
    """The crystal with every atom displaced by `length` Å in a direction of its own."""
    directions = rng.normal(size=(len(crystal), 3))
    shifts = length * directions / np.linalg.norm(directions, axis=1)[:, None]
    coords = crystal.frac_coords + shifts @ np.linalg.inv(crystal.lattice)
    return Crystal(crystal.numbers, crystal.lattice, coords)


@pytest.mark.parametrize("length", [0.0004, 0.002, 0.0049])
def test_no_copy_of_a_real_crystal_that_moved_is_missed(formation, length) -> None:
    """Atoms that move by less than half of 0.01 Å change no bond by more, wherever a shell is cut."""
    rng = np.random.default_rng(0)
    chosen = list(formation.select(range(0, 3938, 16)))
    groups = groups_of([*chosen, *(moved(crystal, length, rng) for crystal in chosen)])
    np.testing.assert_array_equal(*groups.reshape(2, -1))


@given(crystals(), st.integers(0, 2**32 - 1))
def test_no_copy_of_a_made_up_crystal_that_moved_is_missed(crystal, seed) -> None:
    rng = np.random.default_rng(seed)
    copy = moved(in_cell(crystal, SUPERCELLS["2x1x1"]), 0.0049, rng)
    assert len(set(groups_of([crystal, rotated(copy, rng)]))) == 1


@pytest.mark.parametrize("strain", [0.0, 1e-4, 5e-4])
def test_a_cut_shell_of_two_elements_is_no_difference(strain: float) -> None:
    """Of the next six neighbours in CsCl four count; which, no longer matters when they come apart."""
    ideal = made([3, 3, 3], [29, 30], [(0, 0, 0), (0.5, 0.5, 0.5)])
    strained = made([3, 3 * (1 + strain), 3 * (1 - strain)], [29, 30], [(0, 0, 0), (0.5, 0.5, 0.5)])
    assert len(set(groups_of([ideal, strained]))) == 1


def test_twins_of_the_materials_project() -> None:
    """Reported twins whose bond lengths differ by less than 0.007 Å, with shells cut differently."""
    file = SHARED / "mp36k_crysxpp" / "structures.npz"
    if not file.is_file():
        pytest.skip("needs the development data")
    data = np.load(file, allow_pickle=False)
    ids = data["ids"].astype(str).tolist()
    arrays = CrystalArrays(data["lattice"], data["offsets"], data["numbers"], data["frac"])
    names = ["mp-715558", "mp-715811", "mp-542833", "mp-559949"]
    chosen = [arrays.crystal(ids.index(name)) for name in names]
    assert groups_of(chosen, names).tolist() == [0, 0, 1, 1]


def test_one_lattice_with_other_neighbors_is_another_material() -> None:
    """CuZn as CsCl and as NaTl: one set of sites and distances, other neighbours."""
    corners = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    sites = np.array([*corners, *(np.array(corners) + 0.5)]) / 2
    ordered = [29] * 8 + [30] * 8
    parity = 2 * sites.sum(axis=1) - np.where(np.arange(16) < 8, 0, 1.5)
    natl = np.where(np.round(parity).astype(int) % 2 == 0, 29, 30).tolist()
    assert sorted(natl) == sorted(ordered)
    assert groups_of([made([6, 6, 6], ordered, sites), made([6, 6, 6], natl, sites)]).tolist() == [0, 1]


# ---- found again by their hashes


@given(crystals(), st.integers(0, 2**32 - 1))
def test_known_crystals_are_found_however_they_are_written(crystal, seed) -> None:
    rng = np.random.default_rng(seed)
    hashes = material_hashes(["a"], signatures_of([crystal]))
    copies = [
        crystal,
        in_cell(crystal, SUPERCELLS["turned x2"]),
        rotated(shifted(crystal, rng), rng, mirrored=True),
        moved(reordered(crystal, rng), 0.0049, rng),
    ]
    assert are_known([f"other-{k}" for k in range(4)], signatures_of(copies), hashes).all()


def test_hashes_know_ids_of_one_composition() -> None:
    known = [rock_salt(5.64), perovskite(3.9), face_centered(3.6)]
    hashes = material_hashes(["a", "b", "c"], signatures_of(known))
    others = [rock_salt(5.8), rock_salt(5.8), diamond(3.6, 29), face_centered(3.6), face_centered(3.7)]
    found = are_known(["a", "d", "a", "e", "e"], signatures_of(others), hashes)
    assert found.tolist() == [True, False, False, True, False]


def test_few_others_are_taken_for_known(formation) -> None:
    """Hashes are coarser than groups, on the safe side: half of a set has few lookalikes in the other."""
    groups = groups_of(list(formation))
    signatures = signatures_of(list(formation))
    half = np.arange(len(formation)) % 2 == 0
    hashes = material_hashes(formation.ids, signatures)[half]
    found = are_known(formation.ids, signatures, hashes)
    twins = np.isin(groups, groups[half])
    assert (found >= twins).all()
    assert (found & ~twins).sum() < 0.02 * len(formation)


def test_no_crystals() -> None:
    assert material_groups([], build_graphs([], GraphConfig())).tolist() == []
    assert 0 < SAME_DISTANCE < 0.1
