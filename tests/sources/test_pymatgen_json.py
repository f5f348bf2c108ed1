"""Crystals as pymatgen's dictionaries: alone, in lists, as the Materials Project and Matbench have them."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from archive_files import read
from pymatgen.core import Lattice, Species, Structure

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError
from crystallite.sources.reading.pymatgen_json import crystal_of, structure_dict


def test_structures_are_those_of_pymatgen():
    for crystal in Dataset.read("elastic").select(range(0, 1181, 60)):
        ours = structure_dict(crystal)
        symbols = [site["label"] for site in ours["sites"]]
        theirs = Structure(Lattice(crystal.lattice), symbols, crystal.frac_coords).as_dict()
        assert ours.keys() == theirs.keys()
        assert ours["sites"][0].keys() == theirs["sites"][0].keys()
        assert ours["lattice"].keys() == theirs["lattice"].keys()
        for key, value in theirs["lattice"].items():
            np.testing.assert_allclose(ours["lattice"][key], value, rtol=1e-12)
        for form in (theirs, json.dumps(theirs), Structure.from_dict(ours).to(fmt="cif")):
            assert crystal_of(form, "x").numbers.tolist() == crystal.numbers.tolist()


def test_species_with_charge_and_spin_are_elements():
    structure = Structure(Lattice.cubic(3), [Species("Fe", 3, spin=5), "D"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert crystal_of(structure.as_dict(), "x").numbers.tolist() == [26, 1]


def broken(**changes):
    return {**Structure(Lattice.cubic(3), ["Fe"], [[0, 0, 0]]).as_dict(), **changes}


@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        (Structure(Lattice.cubic(3), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]]).as_dict(), "partial occupancy"),
        (broken(sites=[{"species": [{"element": "X", "occu": 1}], "abc": [0, 0, 0]}]), "unknown element X"),
        (
            broken(sites=[{"species": [{"element": ["X"], "occu": 1}], "abc": [0, 0, 0]}]),
            "as pymatgen writes",
        ),
        (broken(sites=[{"species": [{"element": "Fe", "occu": 1}], "xyz": [0, 0, 0]}]), "has no 'abc'"),
        (broken(sites=[{"species": [{"element": "Fe", "occu": 1}], "abc": [0, 0]}]), "three coordinates"),
        (broken(sites=[]), "no atoms"),
        (broken(sites=3), "as pymatgen writes"),
        (broken(lattice={"matrix": [[1, 0, 0], [0, 1, 0], [1, 1, 0]]}), "no volume"),
        (broken(lattice={"matrix": np.eye(3).tolist(), "pbc": [True, True, False]}), "not periodic"),
        (broken(lattice={"matrix": np.eye(3).tolist(), "pbc": 0}), "as pymatgen writes"),
        (broken(lattice={"a": 3}), "has no 'matrix'"),
        (broken(lattice=None), "as pymatgen writes"),
        (None, "no structure"),
        ("{", "not JSON"),
        ("data_x", "no atoms"),
    ],
)
def test_what_is_no_crystal(structure, reason):
    with pytest.raises(CrystalError, match=reason) as caught:
        crystal_of(structure, "the source")
    assert caught.value.source == "the source"


def test_lists_of_bare_structures_and_one_structure(tmp_path):
    crystal = Dataset.read("elastic").crystal(3)
    (tmp_path / "bare.json").write_text(json.dumps([structure_dict(crystal)] * 2))
    (tmp_path / "one.json").write_text(json.dumps(structure_dict(crystal)))
    assert read(tmp_path / "bare.json").dataset.ids == ["0", "1"]
    assert read(tmp_path / "one.json").dataset.ids == ["one"]


def test_lists_as_the_materials_project_gives_them(tmp_path):
    """Names are ours, values that are no number are told of, the key of the ids can be chosen."""
    structure = structure_dict(Dataset.read("elastic").crystal(0))
    records = [
        {"task_id": "mp-1", "structure": structure, "efermi": 1.5, "symmetry": {"number": 1}},
        {"task_id": "mp-2", "structure": structure, "band_gap": 0, "lattice": 3},
    ]
    (tmp_path / "list.json").write_text(json.dumps(records))
    imported = read(tmp_path / "list.json", id_column="task_id")
    assert imported.dataset.ids == ["mp-1", "mp-2"]
    np.testing.assert_array_equal(imported.dataset.values("fermi_energy"), [1.5, np.nan])
    assert imported.dataset.units == {"fermi_energy": "eV", "band_gap": "eV"}
    assert imported.notices == [
        "left out, not one number or text per crystal: symmetry, lattice",
        "efermi is now fermi_energy",
    ]


@pytest.mark.parametrize("order", [("columns", "index", "data"), ("data", "index", "columns")])
def test_a_matbench_task_gets_our_names_and_units(tmp_path, order):
    """The file as matminer's store_dataframe_as_json makes it of pymatgen Structures."""
    structures = [Structure(Lattice.cubic(3 + i), ["Fe"], [[0, 0, 0]]).as_dict() for i in range(2)]
    task = {
        "index": [0, 1],
        "columns": ["structure", "log10(K_VRH)"],
        "data": [[structures[0], 1.5], [structures[1], 2.0]],
    }
    with gzip.open(tmp_path / "matbench_log_kvrh.json.gz", "wt") as file:
        json.dump({key: task[key] for key in order}, file)
    dataset = read(tmp_path / "matbench_log_kvrh.json.gz").dataset
    assert (dataset.ids, dataset.units) == (["0", "1"], {"log10_bulk_modulus": "log10(GPa)"})
    np.testing.assert_array_equal(dataset.values("log10_bulk_modulus"), [1.5, 2.0])
    assert dataset.crystal(1).lattice[0, 0] == 4
