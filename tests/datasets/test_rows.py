"""Parts of a dataset: by integers, slices, truth values and ids; and what a notebook shows of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallite.crystals.crystal import Crystal
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError

FEW = Dataset.read("dielectric").select(range(6))


@given(st.integers(-6, 5))
def test_an_integer_gives_a_crystal(index):
    crystal = FEW[index]
    assert isinstance(crystal, Crystal)
    np.testing.assert_array_equal(crystal.frac_coords, list(FEW)[index].frac_coords)
    np.testing.assert_array_equal(FEW[np.int64(index)].lattice, crystal.lattice)


@given(st.slices(6))
def test_a_slice_gives_what_it_gives_of_a_list(part):
    chosen = FEW[part]
    assert chosen.ids == FEW.ids[part]
    assert chosen.values("band_gap").tolist() == FEW.values("band_gap").tolist()[part]
    assert [len(crystal) for crystal in chosen] == [len(crystal) for crystal in list(FEW)[part]]


@given(st.lists(st.integers(0, 5)))
def test_integers_ids_and_truth_values_say_the_same(rows):
    names = [FEW.ids[row] for row in rows]
    for same in (rows, np.array(rows, int), [row - 6 for row in rows], names, pd.Series(names, dtype=str)):
        assert FEW.select(same).ids == names
        assert FEW[same].table.equals(FEW.select(rows).table)
    mask = np.isin(np.arange(6), rows)
    for same in (mask, mask.tolist(), pd.Series(mask)):
        assert FEW[same].ids == [name for name, chosen in zip(FEW.ids, mask, strict=True) if chosen]


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ([True] * 5, "5 truth values for 6 crystals of dielectric; give one for each"),
        (np.zeros(0, bool), "0 truth values for 6 crystals"),
        (["mp-22882"], r"dielectric has no crystal mp-22882 \(did you mean mp-22881"),
        (["mp-441", "x", "y"], r"dielectric has no crystal x, y$"),
        ([0.5], r"a list of integers or a truth value for each, not by \[0.5\]"),
        ([[0, 1]], "not by "),
        ({0, 1}, "not by "),
        (None, "not by None"),
        (True, "not by True"),
    ],
)
def test_what_selects_nothing_is_refused(which, message):
    for call in (FEW.select, FEW.__getitem__):
        with pytest.raises(CrystalliteError, match=message):
            call(which)


def test_a_text_is_neither_id_nor_property():
    with pytest.raises(CrystalliteError, match=r"values\('band_gap'\).*select\(\['band_gap'\]\)"):
        FEW["band_gap"]


@pytest.mark.parametrize("which", [6, -7, [0, 6], [-7]])
def test_a_row_that_is_not_there(which):
    with pytest.raises(IndexError, match=r"no crystal (6|-7): dielectric has 6 crystals"):
        FEW[which]


def test_an_id_of_two_crystals_selects_neither():
    twice = FEW[[0, 1, 0]]
    assert twice.select([FEW.ids[1]]).ids == [FEW.ids[1]]
    with pytest.raises(CrystalliteError, match=f"2 crystals with the id {FEW.ids[0]}; select them by"):
        twice.select([FEW.ids[0]])


class Cells(HTMLParser):
    """The texts of the caption and of the rows of an HTML table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.caption = ""
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.inside = tag
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.inside == "caption":
            self.caption += data.strip()
        elif self.inside in ("td", "th"):
            self.rows[-1][-1] += data.strip()


def test_a_notebook_shows_the_first_crystals_with_properties_and_units():
    shown = Cells(FEW.with_property("gapless", [False, None, True, *[False] * 3])._repr_html_())
    assert shown.caption == "dielectric: the first 5 of 6 crystals"
    assert shown.rows[0] == [
        "material_id", "formula", "atoms", "band_gap (eV)", "refractive_index", "gapless"
    ]  # fmt: skip
    assert shown.rows[1] == ["mp-441", "Rb2Te", "3", "1.88", "1.86", "False"]
    assert [row[0] for row in shown.rows[1:]] == FEW.ids[:5]
    assert [row[-1] for row in shown.rows[1:]] == ["False", "", "True", "False", "False"]


@pytest.mark.parametrize("n_crystals", [0, 5])
def test_a_notebook_shows_small_datasets_whole(n_crystals):
    shown = Cells(FEW[:n_crystals]._repr_html_())
    assert shown.caption == f"dielectric: {n_crystals} crystals"
    assert len(shown.rows) == n_crystals + 1


def test_texts_are_shown_and_not_taken_for_html():
    evil = '<script>alert("&amp;")</script>'
    dataset = Dataset.from_crystals(
        list(FEW[:1]), [evil], {evil: [1.0], "b": [evil]}, {evil: evil}, name=evil
    )
    html = dataset._repr_html_()
    assert not re.search(r"<script", html)
    shown = Cells(html)
    assert shown.caption == f"{evil}: 1 crystals"
    assert shown.rows == [
        ["material_id", "formula", "atoms", f"{evil} ({evil})", "b"],
        [evil, "Rb2Te", "3", "1", evil],
    ]
