"""The built-in datasets are what they say: sizes, units, values known from the source, physical sense."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from strategies import shortest_distance

from crystallite.crystals.crystal import check_crystal
from crystallite.datasets.builtin import BUILTIN, builtin_path
from crystallite.datasets.dataset import Dataset

SHARED = Path(__file__).parents[3] / "shared" / "data"

EXPECTED = {
    "elastic": (
        1181,
        {
            "bulk_modulus": "GPa",
            "shear_modulus": "GPa",
            "log10_bulk_modulus": "log10(GPa)",
            "log10_shear_modulus": "log10(GPa)",
        },
    ),
    "formation": (3938, {"formation_energy_per_atom": "eV/atom"}),
    "dielectric": (1056, {"band_gap": "eV"}),
}


@pytest.mark.parametrize("name", BUILTIN)
def test_sizes_units_and_metadata(name):
    dataset = Dataset.read(name)
    size, units = EXPECTED[name]
    assert len(dataset) == size == len(set(dataset.ids)) == int(dataset.metadata["crystals"])
    assert dataset.units == units
    assert dataset.name == name
    assert f"{size:,}" in BUILTIN[name]
    assert {"title", "source", "citation", "doi", "licence", "description"} <= set(dataset.metadata)
    assert "CC-BY-4.0" in dataset.metadata["licence"]
    for column in dataset.properties:
        assert np.isfinite(dataset.values(column)).all()


@pytest.mark.parametrize("name", BUILTIN)
def test_every_crystal_is_possible(name):
    for crystal in Dataset.read(name):
        check_crystal(crystal, name)
        assert 4 < crystal.volume / len(crystal) < 130  # Å³; caesium has 123
        assert shortest_distance(crystal) > 0.7  # Å; hydrogen molecules have 0.74


def test_the_files_are_small():
    assert sum(builtin_path(name).stat().st_size for name in BUILTIN) < 2_000_000


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError):
        builtin_path("elastic.parquet")


def test_elastic_values_are_the_source_s():
    dataset = Dataset.read("elastic")
    assert dataset.ids[0] == "mp-10003"
    assert dataset.values("bulk_modulus")[0] == 194.268884359  # K_VRH
    assert dataset.values("shear_modulus")[0] == 97.1416044794  # G_VRH
    crystal = dataset.crystal(0)
    assert crystal.numbers.tolist() == [41] * 8 + [27] * 2 + [14] * 2
    np.testing.assert_array_equal(crystal.lattice, np.diag([6.22178, 6.22178, 5.0224]))
    np.testing.assert_array_equal(crystal.frac_coords[0], [0.152391, 0.333153, 0.5])


def test_elastic_moduli_and_poisson_ratio_agree():
    dataset = Dataset.read("elastic")
    bulk, shear = dataset.values("bulk_modulus"), dataset.values("shear_modulus")
    poisson = (3 * bulk - 2 * shear) / (6 * bulk + 2 * shear)
    np.testing.assert_allclose(dataset.values("poisson_ratio"), poisson, atol=5e-4)  # some have 3 decimals
    np.testing.assert_allclose(10 ** dataset.values("log10_bulk_modulus"), bulk)
    np.testing.assert_allclose(10 ** dataset.values("log10_shear_modulus"), shear)


def test_formation_values_are_the_source_s():
    dataset = Dataset.read("formation")
    assert dataset.ids[:2] == ["mp-10", "mp-10000"]
    assert dataset.values("formation_energy_per_atom")[1] == -1.2533515846874994
    np.testing.assert_array_equal(dataset.crystal(1).frac_coords[2], [0.66666667, 0.33333333, 0.899523])


def test_dielectric_values_are_the_source_s():
    dataset = Dataset.read("dielectric")
    assert dataset.ids[0] == "mp-441"
    assert dataset.values("band_gap")[0] == 1.88
    assert dataset.values("refractive_index")[0] == 1.86
    assert dataset.crystal(0).numbers.tolist() == [37, 37, 52]
    assert dataset.values("refractive_index").min() >= 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared data are not here")
def test_elastic_has_the_crystals_of_the_published_predictions():
    with (SHARED / "oracle" / "elastic_2015_published_predictions.csv").open() as file:
        predictions = {row["material_id"]: float(row["bulk-moduli"]) for row in csv.DictReader(file)}
    dataset = Dataset.read("elastic")
    assert set(predictions) == set(dataset.ids)
    errors = dataset.values("log10_bulk_modulus") - [predictions[i] for i in dataset.ids]
    assert abs(errors).mean() == pytest.approx(0.028, abs=0.001)
