"""Parts have the sizes asked for, and no material is in two of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SUPERCELLS, diamond, in_cell, reordered, rock_salt, rotated, shifted

from crystallite.config import GraphConfig
from crystallite.crystal import Crystal
from crystallite.errors import CrystalliteError
from crystallite.graphs import build_graphs
from crystallite.materials import material_groups
from crystallite.splits import Parts, Split, column_split, fold_split, parse_parts, random_split


def sizes(split: Split) -> tuple[int, ...]:
    return tuple(len(part) for part in split)


def check_disjoint(split: Split, groups: np.ndarray) -> None:
    """No row twice, no group in two parts."""
    rows = np.concatenate(split)
    assert len(np.unique(rows)) == len(rows)
    in_parts = [set(groups[part]) for part in split]
    assert len(set.union(*in_parts)) == sum(map(len, in_parts))


ALONE = np.arange(3938)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((3150, 394, 394), (3150, 394, 394)),
        ((100, 0, 10), (100, 0, 10)),
        ((60, 20, 20), (2362, 788, 788)),
        ((80, 10, 10), (3150, 394, 394)),
        ((80.5, 10.5, 9), (3171, 413, 354)),
        ((0.8, 0.1, 0.1), (3150, 394, 394)),
        ((0.1, 0.1, 0.1), (394, 394, 394)),
        ((1, 0, 0), (3938, 0, 0)),
    ],
)
def test_sizes_are_exact_without_duplicates(parts, expected) -> None:
    split = random_split(ALONE, parts, seed=0)
    assert sizes(split) == expected
    check_disjoint(split, ALONE)


def test_seed_decides() -> None:
    first, again, other = (random_split(ALONE, (80, 10, 10), seed) for seed in (0, 0, 1))
    for part, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(part, same)
        assert set(part) != set(different)
    assert not (np.diff(first.train) > 0).all()  # in random order


GROUPS = st.lists(st.integers(0, 15), min_size=16, max_size=60).map(
    lambda g: np.unique(g, return_inverse=True)[1]
)


@given(GROUPS, st.sampled_from([(80, 10, 10), (0.6, 0.2, 0.2), (34, 33, 33)]), st.integers(0, 9))
def test_groups_stay_together_and_nothing_is_lost(groups, parts, seed) -> None:
    split = random_split(groups, parts, seed)
    check_disjoint(split, groups)
    assert sum(sizes(split)) == len(groups)  # the shares add up to all
    share = parts[1] / sum(parts)
    for part in split[1:]:
        assert len(part) <= round(share * len(groups))
        if np.bincount(groups).max() == 1:
            assert len(part) == round(share * len(groups))


@given(GROUPS, st.integers(0, 9))
def test_counts_are_never_exceeded(groups, seed) -> None:
    """Numbers that leave some crystals unused are upper bounds for every part, whole groups kept together."""
    wanted = Parts(len(groups) // 2, len(groups) // 8, len(groups) // 8, "crystals")
    split = random_split(groups, wanted, seed)
    check_disjoint(split, groups)
    assert all(size <= limit for size, limit in zip(sizes(split), wanted[:3], strict=True))


@pytest.mark.parametrize("parts", [(4000, 0, 0), (3000, 500, 439), (0.8, 0.8, 0.1), (50.5, 20, 20)])
def test_impossible_parts(parts) -> None:
    with pytest.raises(CrystalliteError):
        random_split(ALONE, parts, seed=0)


@pytest.mark.parametrize(
    ("text", "parts"),
    [("80/10/10", (80, 10, 10)), ("0.8/0.1/0.1", (0.8, 0.1, 0.1)), ("3150/394/394", (3150, 394, 394))],
)
def test_parse_parts(text: str, parts) -> None:
    assert parse_parts(text) == parts


@pytest.mark.parametrize("text", ["", "80", "80/20", "80/10/5/5", "a/b/c", "-1/50/50", "0/50/50", "80:10:10"])
def test_parse_parts_errors(text: str) -> None:
    with pytest.raises(CrystalliteError, match="80/10/10"):
        parse_parts(text)


# ---- folds


@given(GROUPS, st.integers(3, 6), st.integers(0, 9))
def test_every_row_is_tested_once(groups, n_folds, seed) -> None:
    if groups.max() + 1 < n_folds:
        with pytest.raises(CrystalliteError, match="folds"):
            fold_split(groups, 1, n_folds, seed)
        return
    folds = [fold_split(groups, fold, n_folds, seed) for fold in range(1, n_folds + 1)]
    for split in folds:
        check_disjoint(split, groups)
        assert sum(sizes(split)) == len(groups)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([split.test for split in folds])), np.arange(len(groups))
    )
    for split, following in zip(folds, [*folds[1:], folds[0]], strict=True):
        assert set(split.validation) == set(following.test)
    tested = [len(split.test) for split in folds]
    assert max(tested) - min(tested) <= np.bincount(groups).max()


@pytest.mark.parametrize(("fold", "n_folds"), [(0, 5), (6, 5), (1, 2), (1, 1)])
def test_impossible_folds(fold: int, n_folds: int) -> None:
    with pytest.raises(CrystalliteError, match="fold"):
        fold_split(ALONE, fold, n_folds, seed=0)


# ---- a column


def test_column_split() -> None:
    labels = ["train", "Test", None, "val", "validation", " training ", "testing", "valid", "other"]
    split = column_split(labels)
    assert [part.tolist() for part in split] == [[0, 5], [3, 4, 7], [1, 6]]
    with pytest.raises(CrystalliteError, match="no row that says 'train'"):
        column_split(["test", "val", None])


# ---- which crystals are the same material


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
    near = together[:-1]
    assert (near == near[0]).all()
    assert len(np.unique(near[0])) == len(np.unique(alone))
    assert (together[-1] == near[0]).mean() > 0.9  # a cut shell may change which elements are bonded


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
