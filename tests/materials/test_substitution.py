"""Candidates made from known crystals: what stays, what changes, in which order, and what is never made."""

from __future__ import annotations

from itertools import islice, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import any_crystals, crystals, made, perovskite, rock_salt

from crystallite.crystals.crystal import MIN_DISTANCE, check_crystal
from crystallite.crystals.elements import atomic_numbers, symbols
from crystallite.errors import CrystalliteError
from crystallite.materials.similarity import NOBLE, RADIOACTIVE, can_balance, nearest
from crystallite.materials.substitution import EVERY, ORDINARY, Rules, candidates, strains, substitutions

Z = atomic_numbers()


def made_of(crystal, **rules):
    return list(candidates(crystal, Rules(**{"number": 20, **rules}), np.random.default_rng(0)))


def names(crystal, **rules):
    return [candidate.substitutions for candidate in made_of(crystal, **rules)]


def sound(crystal):
    try:
        check_crystal(crystal, "made up")
    except CrystalliteError:
        return False
    return True


# ---- what stays


@given(crystals() | any_crystals())
def test_structure_and_shape_of_the_cell_stay(crystal):
    assume(sound(crystal))
    for candidate in made_of(crystal):
        new = candidate.crystal
        pairs = set(zip(crystal.numbers.tolist(), new.numbers.tolist(), strict=True))
        assert len(pairs) == len(set(crystal.numbers)) == len(set(new.numbers))  # one to one
        np.testing.assert_array_equal(new.frac_coords, crystal.frac_coords)
        scale = (new.volume / crystal.volume) ** (1 / 3)
        np.testing.assert_allclose(new.lattice, scale * crystal.lattice, rtol=1e-9, atol=1e-12)
        check_crystal(new, "candidate")


@given(crystals() | any_crystals())
def test_every_candidate_is_another_composition_with_a_new_element(crystal):
    assume(sound(crystal))
    present, seen = set(crystal.numbers.tolist()), set()
    for candidate in made_of(crystal, number=50):
        new, counts = np.unique(candidate.crystal.numbers, return_counts=True)
        brought = set(new.tolist()) - present
        assert brought
        assert not brought & (NOBLE | RADIOACTIVE)
        composition = tuple(new.tolist()), tuple(counts.tolist())
        assert composition not in seen
        seen.add(composition)


def test_the_space_group_stays(elastic):
    spglib = pytest.importorskip("spglib")

    def group(crystal):
        cell = (crystal.lattice, crystal.frac_coords, crystal.numbers)
        return spglib.get_symmetry_dataset(cell, symprec=0.01).number

    groups = set()
    for row in range(0, 1181, 60):
        parent = elastic.crystal(row)
        groups.add(group(parent))
        assert {group(candidate.crystal) for candidate in made_of(parent, number=4)} == {group(parent)}
    assert len(groups) > 8


def test_radioactive_elements_stay_and_do_not_come_in():
    fluorite = made([5.6, 5.6, 5.6], [90, 8, 8], [(0, 0, 0), (0.25, 0.25, 0.25), (0.75, 0.75, 0.75)])
    found = names(fluorite, number=200)
    assert "O-S" in found
    assert any(name.endswith("Th-Ce") for name in found)
    assert not any(f"-{symbols()[number]}" in name.split("+") for name in found for number in RADIOACTIVE)


# ---- which come, and in which order


def test_the_most_similar_come_first():
    assert names(rock_salt(5.7), number=6) == ["Cl-F", "Cl-Br", "Na-Li", "Na-K", "Cl-H", "Cl-I"]
    assert names(perovskite(3.9), number=3) == ["Ti-Hf", "Ti-Ta", "Ca-Sr"]


def brute_force(numbers, counts, elements):
    """All substitutions by the rules, without those of one composition that are further than another."""
    allowed = elements & (ORDINARY | set(numbers))
    distances = [{other: far for far, other in nearest(number, allowed)} for number in numbers]
    found = {}
    for new in product(sorted(allowed), repeat=len(numbers)):
        if len(set(new)) < len(new) or set(new) <= set(numbers):
            continue
        if can_balance(numbers, counts) and not can_balance(new, counts):
            continue
        total = sum(known[number] for known, number in zip(distances, new, strict=True))
        composition = frozenset(zip(new, counts, strict=True))
        found[composition] = min(total, found.get(composition, 1000))
    return found


@given(
    st.lists(st.sampled_from(["Na", "Ca", "Ti", "O", "Cl", "Fe"]), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(1, 4), min_size=3, max_size=3),
    st.sets(st.sampled_from(["Li", "Na", "K", "Sr", "Zr", "Nb", "Fe", "S", "O", "F", "Cl"]), max_size=8),
)
def test_all_that_the_rules_allow_come_sorted(parent, counts, elements):
    numbers, counts = [Z[symbol] for symbol in parent], counts[: len(parent)]
    if len(counts) == 1:
        counts = [1]
    elements = frozenset(Z[symbol] for symbol in elements)
    expected = brute_force(numbers, counts, elements)
    found = list(substitutions(numbers, counts, elements))
    compositions = [frozenset(zip(new, counts, strict=True)) for new in found]
    assert len(set(compositions)) == len(compositions)
    if np.gcd.reduce(counts) == 1:
        assert set(compositions) == set(expected)
        totals = [
            sum(dict(map(reversed, nearest(old, EVERY)))[one] for old, one in zip(numbers, new, strict=True))
            for new in found
        ]
        assert totals == sorted(totals)
        assert totals == [expected[composition] for composition in compositions]


def test_charges_can_be_balanced():
    found = names(rock_salt(5.7), number=300)
    assert "Na-Ca" not in found  # Ca and Cl could not be one to one
    assert "Na-Ca+Cl-O" in found
    alloy = made([2.9, 2.9, 2.9], [29, 30], [(0, 0, 0), (0.5, 0.5, 0.5)])  # nothing to balance: all metals
    assert {"Zn-Mg", "Cu-Ag"} <= set(names(alloy))


def test_allowed_elements_are_those_of_the_whole_candidate():
    lead = made(
        [4, 4, 4],
        [82, 22, 8, 8, 8],
        [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
    )
    free = made_of(lead, elements=EVERY - {Z["Pb"], Z["Tl"]})
    assert len(free) == 20
    assert all("Pb-" in candidate.substitutions for candidate in free)
    assert not any({82, 81} & set(candidate.crystal.numbers.tolist()) for candidate in free)
    few = frozenset(Z[symbol] for symbol in ("Ba", "Sr", "Ti", "O"))
    assert sorted(names(lead, elements=few)) == ["Pb-Ba", "Pb-Sr"]
    assert names(lead, elements=few - {Z["O"]}) == []


def test_the_search_for_what_cannot_be_ends():
    numbers, counts = [11, 20, 22, 26, 8, 9], [2, 1, 3, 1, 7, 4]
    assert can_balance(numbers, counts)
    metals = frozenset({*numbers, *range(21, 31), *range(39, 48)}) - {8, 9}
    assert list(substitutions(numbers, counts, metals)) == []


# ---- how large they are


def test_edges_follow_the_covalent_radii():
    (lithium,) = made_of(rock_salt(5.69), elements=frozenset({3, 17}))
    assert lithium.substitutions == "Na-Li"
    assert lithium.crystal.lattice[0, 0] == pytest.approx(5.69 * (1.28 + 1.02) / (1.66 + 1.02))
    assert lithium.crystal.lattice[0, 0] == pytest.approx(5.15, rel=0.06)  # of LiCl
    (potassium,) = made_of(rock_salt(5.69), elements=frozenset({19, 17}))
    assert potassium.crystal.lattice[0, 0] == pytest.approx(6.38, rel=0.06)  # of KCl


def test_atoms_that_would_overlap_are_left_out():
    molecules = made([4.0, 4.0, 4.0], [55, 1, 1], [(0, 0, 0), (0.5, 0.5, 0.5), (0.64, 0.5, 0.5)])  # 0.56 Å
    found = made_of(molecules, number=1000)
    assert "Cs-Rb" in names(molecules)
    assert "Cs-Li" not in [candidate.substitutions for candidate in found]
    assert all(0.14 * candidate.crystal.lattice[0, 0] >= MIN_DISTANCE for candidate in found)


# ---- strain


@given(st.floats(1e-4, 0.2), st.integers(0, 2**32 - 1))
def test_no_length_changes_by_more_than_the_strain(largest, seed):
    found = strains(largest, 5, np.random.default_rng(seed))
    np.testing.assert_allclose(found, found.transpose(0, 2, 1), atol=1e-15)
    principal = np.linalg.eigvalsh(found)
    assert np.abs(principal).max() <= largest * (1 + 1e-9)
    assert np.abs(principal).max() > 0.1 * largest
    assert len(np.unique(principal.round(12), axis=0)) == 5


def test_strains_have_no_preferred_direction():
    found = strains(0.1, 20_000, np.random.default_rng(0))
    directions = [*np.eye(3).tolist(), [3**-0.5] * 3]
    for direction in directions:
        along = np.einsum("kij,i,j->k", found, direction, direction)
        assert along.mean() == pytest.approx(0, abs=1e-3)
        assert (along**2).mean() == pytest.approx(0.1**2 / 3 * 3 / 5, rel=0.03)  # E[sum of n_i^4] = 3/5


def test_strained_copies():
    plain = made_of(perovskite(3.9), number=3)
    found = made_of(perovskite(3.9), number=3, strain=0.03, copies=4)
    assert [(c.substitutions, c.copy) for c in found] == [
        (one.substitutions, copy) for one in plain for copy in range(1, 5)
    ]
    for k, candidate in enumerate(found):
        unstrained = plain[k // 4].crystal
        np.testing.assert_array_equal(candidate.crystal.numbers, unstrained.numbers)
        gradient = np.linalg.solve(unstrained.lattice, candidate.crystal.lattice)
        stretches = np.linalg.svd(gradient, compute_uv=False)
        assert 0.97 - 1e-9 <= stretches.min() < stretches.max() <= 1.03 + 1e-9
    again = made_of(perovskite(3.9), number=3, strain=0.03, copies=4)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.crystal.lattice, other.crystal.lattice)


# ---- what is known of elements


def test_nearest_elements_are_chemically_alike():
    def first(symbol, count):
        return [symbols()[number] for _, number in islice(nearest(Z[symbol], ORDINARY), 1, count + 1)]

    assert set(first("Cl", 2)) == {"F", "Br"}
    assert set(first("Zr", 2)) == {"Sc", "Hf"}
    assert set(first("Fe", 2)) == {"Co", "Mn"}
    assert set(first("K", 2)) == {"Na", "Rb"}


def test_charges_of_known_crystals(formation):
    """Fluorides and oxides of metals with one state balance or do not, as they are named in textbooks."""
    assert can_balance([11, 17], [1, 1])
    assert not can_balance([11, 17], [1, 2])
    assert can_balance([26, 8], [3, 4]) is False  # Fe3O4 has two states of iron
    assert can_balance([20, 22, 8], [1, 1, 3])
    assert can_balance([29, 30], [1, 1]) is False
    fluorides = [crystal for crystal in formation if {9, 11} <= set(crystal.numbers.tolist())][:60]
    balanced = [
        can_balance(*(array.tolist() for array in np.unique(one.numbers, return_counts=True)))
        for one in fluorides
    ]
    assert np.mean(balanced) > 0.8
