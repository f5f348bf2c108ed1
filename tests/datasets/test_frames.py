"""pandas DataFrames: `from_pandas` takes what `to_pandas` returns, and frames with a column of structures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError, CrystalliteError

FEW = Dataset.read("dielectric").select(range(4))
SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])

missing_or = lambda values: st.lists(st.one_of(st.none(), values), min_size=4, max_size=4)  # noqa: E731


@given(
    numbers=missing_or(st.floats(-1e9, 1e9)),
    flags=missing_or(st.booleans()),
    texts=missing_or(st.text()),
    whole=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4),
    ids=st.lists(st.text(), min_size=4, max_size=4),
)
def test_there_and_back(numbers, flags, texts, whole, ids):
    properties = {"x": numbers, "flag": flags, "text": texts, "whole": whole}
    dataset = Dataset.from_crystals(list(FEW), ids, properties, {"x": "eV/atom"}, name="few")
    again = Dataset.from_pandas(dataset.to_pandas(), dataset.units, name="few")
    assert again.ids == ids
    assert again.fingerprint == dataset.fingerprint
    assert again.units == dataset.units
    for name in properties:
        assert again.labels(name) == dataset.labels(name)


def test_a_whole_set_there_and_back(elastic):
    again = Dataset.from_pandas(elastic.to_pandas(), elastic.units, metadata=elastic.metadata)
    assert again.table.equals(elastic.table, check_metadata=True)


def test_rows_that_pandas_chose():
    frame = FEW.to_pandas()
    wide = Dataset.from_pandas(frame[frame["band_gap"] > 1.5].sort_values("band_gap"))
    gaps = FEW.values("band_gap")
    assert wide.ids == [FEW.ids[row] for row in np.argsort(gaps) if gaps[row] > 1.5]
    assert len(Dataset.from_pandas(frame[:0])) == 0


@pytest.mark.parametrize("column", ["structure", "initial"])
def test_a_column_of_structures(column):
    frame = pd.DataFrame({column: [SALT, bulk("Cu"), FEW[0]], "gap": [5.0, None, 1.9], 7: ["a", "b", None]})
    frame.index = ["salt", "copper", "telluride"]
    dataset = Dataset.from_pandas(frame, {"gap": "eV"}, structures=column)
    assert dataset.ids == ["salt", "copper", "telluride"]
    assert [crystal.formula for crystal in dataset] == ["NaCl", "Cu", "Rb2Te"]
    np.testing.assert_array_equal(dataset.values("gap"), [5.0, np.nan, 1.9])
    assert dataset.labels("7") == ["a", "b", None]
    assert dataset.units == {"gap": "eV"}
    named = Dataset.from_pandas(frame.assign(material_id=["a", "b", "c"]), structures=column)
    assert named.ids == ["a", "b", "c"]
    assert named.properties == ["gap"]


def frame(**changes):
    return FEW.to_pandas().assign(**changes)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (frame().drop(columns=["numbers"]), r"no column structure of structures \(.*no numbers in"),
        (frame(lattice=[np.eye(3)] * 4), "column lattice of the DataFrame.*needs a flat list of numbers"),
        (frame(lattice=[np.zeros(9)] * 4), "DataFrame: column lattice, row 1 .*: the cell has no volume"),
        (frame(numbers=[[1, 2]] * 4), r"column frac_coords, row 1 \(mp-441\): three coordinates"),
        (frame(x=["a", 1, 2, 3]), "property x: .*all numbers or all text"),
        (frame(material_id=["a", None, "b", "c"]), r"crystal 1 \(counted from 0\) has no id"),
        (frame(structure=list(FEW)), "lattice describes the crystal itself"),
        (pd.concat([frame(), frame()[["band_gap"]]], axis=1), "several columns band_gap; rename or drop"),
    ],
)  # fmt: skip
def test_mistakes_are_named(made, message):
    with pytest.raises(CrystalliteError, match=message):
        Dataset.from_pandas(made)


def test_a_structure_that_is_none_is_named_by_its_id():
    with pytest.raises(CrystalError, match="b: str is not a Crystal"):
        Dataset.from_pandas(pd.DataFrame({"structure": [SALT, "NaCl"]}, index=["a", "b"]))
    with pytest.raises(CrystalliteError, match="a unit is given for gap"):
        Dataset.from_pandas(pd.DataFrame({"structure": [SALT]}), {"gap": "eV"})
