"""What Predictor.predict takes: anything that holds crystals one after another, and files of any format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from training_runs import energies

from crystallite.errors import CrystalError
from crystallite.sources.exporters.published_layout import cif_text
from crystallite.sources.formats import export_dataset


@pytest.fixture(scope="module")
def few():
    return energies(6)


def test_series_arrays_and_other_iterables_are_lists(energy_predictor, few, tmp_path):
    pandas, pymatgen = pytest.importorskip("pandas"), pytest.importorskip("pymatgen.core")
    expected = energy_predictor.predict(few)
    crystals = list(few)
    array = np.empty(6, dtype=object)
    array[:] = crystals
    structures = [pymatgen.Structure(c.lattice, c.numbers, c.frac_coords) for c in crystals]
    files = [str(tmp_path / f"{name}.cif") for name in few.ids]
    for name, file, crystal in zip(few.ids, files, crystals, strict=True):
        Path(file).write_text(cif_text(crystal, name))
    series = pandas.Series(structures, index=few.ids)
    for same in (array, pandas.Series(crystals, index=few.ids), dict(enumerate(crystals)).values()):
        np.testing.assert_array_equal(energy_predictor.predict(same), expected)
    for same in (series, series.to_numpy(), pandas.Series(files)):
        np.testing.assert_allclose(energy_predictor.predict(same), expected, atol=1e-5)
    assert energy_predictor.predict(pandas.Series([], dtype=object)).shape == (0,)
    for no_list in (
        dict(enumerate(crystals)),
        pandas.DataFrame({"structure": crystals}),
        np.array(1.0),
        None,
    ):
        with pytest.raises(CrystalError, match=r"crystal 0: .* is not a Crystal"):
            energy_predictor.predict(no_list)


def test_paths_of_other_formats(energy_predictor, few, tmp_path):
    for name in ("x.json", "x.extxyz"):
        export_dataset(few.select([0]), tmp_path / name)
        np.testing.assert_allclose(
            energy_predictor.predict(tmp_path / name), energy_predictor.predict(few)[:1], atol=1e-5
        )
    export_dataset(few, tmp_path / "six.json")
    with pytest.raises(CrystalError, match=r"six\.json: has several crystals"):
        energy_predictor.predict(str(tmp_path / "six.json"))
