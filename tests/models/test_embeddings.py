"""Vectors of crystals and of atoms: one mean, one order, whatever is embedded beside them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from grouped_runs import Said

import crystallite


def test_a_crystal_is_the_mean_of_its_atoms() -> None:
    data = crystallite.read_dataset("dielectric").select(range(30))
    model = crystallite.load_model("band_gap")
    crystals, atoms = model.embed(data), model.embed(data, atoms=True)
    offsets = data.arrays.offsets
    assert atoms.shape == (offsets[-1], crystals.shape[1])
    means = [atoms[first:last].mean(axis=0) for first, last in pairwise(offsets)]
    np.testing.assert_allclose(
        crystals, means, rtol=0, atol=2e-5
    )  # float32, reduced graphs against full ones
    for row in (0, 7):
        np.testing.assert_array_equal(model.embed(data.crystal(row))[0], crystals[row])
        alone = model.embed(data.crystal(row), atoms=True)
        np.testing.assert_array_equal(alone, atoms[offsets[row] : offsets[row + 1]])
    assert model.embed([]).shape == model.embed([], atoms=True).shape == (0, 64)


def test_tables(tmp_path, capsys) -> None:
    data = crystallite.read_dataset("dielectric").select(range(5))
    data.write(tmp_path / "data.parquet")
    model = crystallite.load_model("band_gap")
    for words, expected in (([], model.embed(data)), (["--atoms"], model.embed(data, atoms=True))):
        output = tmp_path / "table.parquet"
        said = Said(capsys, "embed", "band_gap", tmp_path / "data.parquet", *words, "-o", output)
        assert said.status == 0, said.err
        assert "5 crystals in" in said.err
        table = pd.read_parquet(output)
        columns = [name for name in table.columns if name.startswith("embedding_")]
        np.testing.assert_array_equal(table[columns].to_numpy(np.float32), expected)
    assert table["atom"].dtype == np.int64
    assert table["material_id"].nunique() == 5
    counts = np.diff(data.arrays.offsets)
    assert table["atom"].tolist() == [atom for count in counts for atom in range(count)]
