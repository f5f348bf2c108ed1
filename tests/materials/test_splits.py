"""Parts have the sizes asked for, and no material is in two of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallite.errors import CrystalliteError
from crystallite.materials.splits import Parts, Split, column_split, fold_split, parse_parts, random_split


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
    assert sum(sizes(split)) == len(groups)  # the parts add up to all
    fraction = parts[1] / sum(parts)
    for part in split[1:]:
        assert len(part) <= round(fraction * len(groups))
        if np.bincount(groups).max() == 1:
            assert len(part) == round(fraction * len(groups))


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
    assert parse_parts(text) == Parts(*parts)


@pytest.mark.parametrize("text", ["", "80", "80/20", "80/10/5/5", "a/b/c", "-1/50/50", "0/50/50", "80:10:10"])
def test_parse_parts_errors(text: str) -> None:
    with pytest.raises(CrystalliteError, match="80/10/10"):
        parse_parts(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("70/15/10 %", (827, 177, 118)),
        ("70/15/10 crystals", (70, 15, 10)),
        ("0.7/0.15/0.1", (827, 177, 118)),
        ("7/3/1 crystals", (7, 3, 1)),
    ],
)
def test_a_unit_tells_what_numbers_mean(text: str, expected) -> None:
    assert sizes(random_split(np.arange(1181), parse_parts(text), seed=0)) == expected


@pytest.mark.parametrize("text", ["70/15/10", "80/10/9", "2/1/1", "50/0/0"])
def test_numbers_that_may_mean_two_things_are_refused_with_both(text: str) -> None:
    with pytest.raises(CrystalliteError) as error:
        random_split(np.arange(1181), parse_parts(text), seed=0)
    assert f"'{text} %'" in str(error.value)
    assert f"'{text} crystals'" in str(error.value)


def test_numbers_of_all_crystals_mean_one_thing() -> None:
    assert sizes(random_split(np.arange(20), parse_parts("18/1/1"), seed=0)) == (18, 1, 1)
    with pytest.raises(CrystalliteError, match="110 %"):
        random_split(np.arange(20), parse_parts("80/20/10 %"), seed=0)


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
    labels = ["train", "Test", None, "val", "validation", " training ", "testing", "valid", "unused", ""]
    split = column_split(labels)
    assert [part.tolist() for part in split] == [[0, 5], [3, 4, 7], [1, 6]]
    with pytest.raises(CrystalliteError, match="no row that says 'train'"):
        column_split(["test", "val", None])


def test_unknown_words_of_a_column_are_named() -> None:
    with pytest.raises(CrystalliteError, match=r"'validaton' \(2 rows\), 'holdout' \(1 rows\)"):
        column_split(["train", "validaton", "test", "holdout", "validaton"])
