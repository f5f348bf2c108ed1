"""Formats of ASE, extended XYZ, databases and POSCAR folders: they come back as they went."""

from __future__ import annotations

import sqlite3

import ase.db
import ase.io
import numpy as np
import pytest
from archive_files import mixed_dataset, read

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.sources.formats import export_dataset

mixed = pytest.fixture(mixed_dataset, scope="module")


def test_what_ase_databases_cannot_hold(tmp_path, mixed):
    with pytest.raises(CrystalliteError, match="007: an ASE database cannot hold it"):
        export_dataset(mixed.select([1, 2]).with_property("label", ["a", "b"]), tmp_path / "y.db")
    with pytest.raises(CrystalliteError, match="do not allow these names: energy"):
        export_dataset(mixed.with_property("energy", np.zeros(60)), tmp_path / "y.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("n_atoms", "header", "reason"),
    [
        ("99999999999999999999", "", "crystal 2: .* atoms announced, the file ends"),
        ("2", "", "crystal 2: 2 atoms announced, the file ends"),
        ("1", 'Lattice="3 0 0 3 0 0 0 0 3" Properties=species:S:1:pos:R:3', "the cell has no volume"),
        ("1", 'Lattice="3 0 0 0 3 0 0 0 3" Properties=species:S:2147483648:pos:R:3', "2147483648 columns"),
    ],
)
def test_extended_xyz_that_is_no_crystal(n_atoms, header, reason, tmp_path):
    good = '1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3 pbc="T T T"\nFe 0 0 0\n'
    (tmp_path / "x.extxyz").write_text(f'{good}{n_atoms}\n{header} pbc="T T T"\nFe 0 0 0\n')
    with pytest.raises(CrystalliteError, match=reason):
        read(tmp_path / "x.extxyz")


def test_what_ase_itself_writes(tmp_path):
    """Energies, arrays, missing ids, and data of a row, which is not touched, however broken."""
    atoms = [ase.Atoms("NaCl", [[0, 0, 0], [2.8, 0, 0]], cell=np.eye(3) * 5.6 + 0.1, pbc=True) for _ in "ab"]
    atoms[0].calc = ase.calculators.singlepoint.SinglePointCalculator(atoms[0], energy=-3.5)
    ase.io.write(tmp_path / "a.extxyz", atoms)
    with ase.db.connect(tmp_path / "a.db") as database:
        for one in atoms:
            database.write(one, gap=1.5, data={"spectrum": [1, 2]})
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE systems SET data = x'80054b2a2e'")  # a pickle
    for name, ids in (("a.extxyz", ["0", "1"]), ("a.db", ["1", "2"])):
        dataset = read(tmp_path / name).dataset
        assert dataset.ids == ids
        np.testing.assert_array_equal(dataset.values("energy"), [-3.5, np.nan])
        positions = dataset.crystal(0).frac_coords @ dataset.crystal(0).lattice
        np.testing.assert_allclose(positions, atoms[0].positions, atol=1e-14)
    assert read(tmp_path / "a.db").dataset.units == {"energy": "eV"}


def test_poscar_folders(tmp_path):
    some = list(Dataset.read("elastic").select(range(3)))
    for name, crystal in zip(("a/POSCAR", "POSCAR_b", "c.vasp"), some, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_poscar(tmp_path / name, crystal)
    (tmp_path / "a" / "CONTCAR").touch()  # a run that did not finish
    (tmp_path / "table.csv").write_text("material_id,gap\nb,1.5\na,2.5\nc,\n")
    dataset = read(tmp_path, table=tmp_path / "table.csv", units={"gap": "eV"}).dataset
    assert dataset.ids == ["b", "a", "c"]
    np.testing.assert_array_equal(dataset.values("gap"), [1.5, 2.5, np.nan])
    np.testing.assert_allclose(dataset.crystal(1).frac_coords, some[0].frac_coords, atol=1e-12)
    write_poscar(tmp_path / "a" / "CONTCAR", some[1])
    (tmp_path / "d.vasp").write_text("nonsense\n")
    with pytest.raises(CrystalliteError, match=r"d\.vasp: not a readable POSCAR"):
        read(tmp_path)
    imported = read(tmp_path, skip_bad=True)
    assert (
        imported.dataset.crystal(imported.dataset.ids.index("a")).numbers.tolist() == some[1].numbers.tolist()
    )
    assert "1 folders have POSCAR and CONTCAR" in imported.notices[0]
    write_poscar(tmp_path / "CONTCAR-c", some[2])
    ids = read(tmp_path, skip_bad=True).dataset.ids
    assert [name.removeprefix(str(tmp_path)) for name in ids] == ["/CONTCAR-c", "b", "/c.vasp", "a"]


def write_poscar(path, crystal):
    atoms = ase.Atoms(crystal.numbers, cell=crystal.lattice, scaled_positions=crystal.frac_coords, pbc=True)
    ase.io.write(path, atoms, format="vasp")
