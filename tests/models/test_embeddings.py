"""Vectors of crystals and of atoms: one mean, one order, whatever is embedded beside them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from grouped_runs import Said

import crystallite
from crystallite.errors import CrystalError
from crystallite.models.embeddings import embed_files


@pytest.mark.parametrize("atoms", [False, True])
def test_a_vector_that_is_not_finite_is_no_vector(atoms, tmp_path) -> None:
    """Of a model that is spoilt for oxygen; crystals without it are embedded."""
    data = crystallite.read_dataset("dielectric").select(range(40))
    data.write(tmp_path / "data.parquet")
    model = crystallite.load_model("band_gap")
    features = model.model.weights["element_features"].copy()
    features[8] = np.nan
    model.model.weights = model.model.weights | {"element_features": features}
    oxides = [name for name, crystal in zip(data.ids, data, strict=True) if 8 in crystal.numbers]
    others = [name for name in data.ids if name not in oxides]
    assert oxides
    assert others
    output = tmp_path / "vectors.parquet"
    report = embed_files(model, [str(tmp_path / "data.parquet")], output, atoms=atoms, progress=False)
    assert [name for name, _ in report.bad] == oxides
    assert "not made of finite numbers" in report.bad[0][1]
    table = pd.read_parquet(output)
    assert list(dict.fromkeys(table["material_id"])) == others
    kept = data.select([data.ids.index(name) for name in others])
    columns = [name for name in table.columns if name.startswith("embedding_")]
    np.testing.assert_array_equal(table[columns].to_numpy(np.float32), model.embed(kept, atoms=atoms))
    with pytest.raises(CrystalError, match=f"crystal {data.ids.index(oxides[0])}: its vector is not made"):
        model.embed(data, atoms=atoms)


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
