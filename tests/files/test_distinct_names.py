"""Names of which no two are alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crystallite.files.distinct_names import DistinctNames

NAMES = st.lists(st.sampled_from(["a", "A", "a-2", "a-3", "A-2", "b", ""]), max_size=20)


@given(NAMES)
def test_no_two_are_alike_and_the_first_of_a_kind_is_kept(names: list[str]) -> None:
    distinct = DistinctNames()
    found = [distinct.of(name) for name in names]
    assert len(set(found)) == len(names)
    assert found[:1] == names[:1]
    again = DistinctNames()
    assert [again.of(name) for name in found] == found


@given(NAMES)
def test_no_two_differ_in_capitals_alone(names: list[str]) -> None:
    distinct = DistinctNames(ignore_case=True)
    found = [distinct.of(name, ".png").casefold() for name in names]
    assert len(set(found)) == len(names)


def test_numbers_stand_before_the_ending_and_count_on() -> None:
    distinct = DistinctNames()
    found = [distinct.of("NaCl", ".cif") for _ in range(3)] + [distinct.of("NaCl", ".xyz")]
    assert found == ["NaCl.cif", "NaCl-2.cif", "NaCl-3.cif", "NaCl.xyz"]


def test_a_number_that_is_a_name_already_is_passed_over() -> None:
    distinct = DistinctNames()
    assert [distinct.of(name) for name in ["a", "a-2", "a", "a", "a-2"]] == [
        "a",
        "a-2",
        "a-3",
        "a-4",
        "a-2-2",
    ]
