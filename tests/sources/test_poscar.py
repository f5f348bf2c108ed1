"""POSCARs of VASP 4, 5 and 6 and of other programs are read as ASE reads them; errors name the line."""

from __future__ import annotations

import io

import ase.io
import numpy as np
import pytest
from hypothesis import given
from strategies import crystals

from crystallite.errors import CrystalError
from crystallite.sources.reading.poscar import read_poscar

HEAD = "rock salt\n{scale}\n5 0 0\n0 5 0\n0 0 6\n{species}\n"
SITES = "Direct\n0 0 0\n0.5 0.5 0.5\n"


def text(species="Na Cl\n1 1", sites=SITES, scale="1.0"):
    return HEAD.format(scale=scale, species=species) + sites


def crystal_of(content, tmp_path):
    (tmp_path / "POSCAR").write_text(content)
    return read_poscar(tmp_path / "POSCAR")


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        (text(), [11, 17]),
        (text("Na Cl\r\n1 1", SITES.replace("\n", "\r\n")), [11, 17]),
        (text("D Cl\n1 1"), [1, 17]),
        (text("Na_pv Cl/a1b2c3\n1 1"), [11, 17]),
        (text("Na Cl\n1 1 ! x", "Selective dynamics\nDirect\n0 0 0 T T F\n.5 .5 5d-1 F F F Cl\n"), [11, 17]),
        (text(sites="Cartesian\n0 0 0\n2.5 2.5 3\n\n0.1 0.2 0.3\n"), [11, 17]),
        (text("1 1").replace("rock salt", "Na Cl"), [11, 17]),
        (text("1 1", "Direct\n0 0 0 Na\n.5 .5 .5 Cl\n"), [11, 17]),
        (text("1 0 1 0", "Direct\n0 0 0 Na\n.5 .5 .5 Cl\n"), [11, 17]),
        (text(scale="-150"), [11, 17]),
        (text(scale="1 1 1"), [11, 17]),
        (text("Na\n2"), [11, 11]),
    ],
)  # fmt: skip
def test_dialects_of_one_structure(content, numbers, tmp_path):
    crystal = crystal_of(content, tmp_path)
    assert crystal.numbers.tolist() == numbers
    np.testing.assert_allclose(crystal.frac_coords, [[0, 0, 0], [0.5] * 3], atol=1e-15)
    np.testing.assert_allclose(crystal.lattice, np.diag([5, 5, 6]), atol=1e-12)


@pytest.mark.parametrize(("scale", "edge"), [("2", 10.0), ("-1200", 10.0), ("2 2 2", 10.0)])
@pytest.mark.parametrize("mode", ["Direct\n0 0 0\n0.5 0.5 0.5\n", "Cartesian\n0 0 0\n2.5 2.5 3\n"])
def test_scales(scale, edge, mode, tmp_path):
    crystal = crystal_of(text(sites=mode, scale=scale), tmp_path)
    assert crystal.lattice[0, 0] == pytest.approx(edge)
    np.testing.assert_allclose(crystal.frac_coords[1], 0.5)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "line 1: a comment expected, the file ends"),
        ("nonsense\n", "line 2: the scale of the cell expected, the file ends"),
        (text(scale="one"), "line 2: the scale of the cell expected, one number or three, found one"),
        (text(scale="..57"), "line 2: the scale of the cell expected, one number or three, found ..57"),
        (text(scale="0"), "line 2: the scale of the cell expected"),
        (text().replace("0 5 0", "0 5"), "line 4: a lattice vector, three numbers expected, found 0 5"),
        (text().replace("0 5 0", "5 0 0"), "lines 3 to 5: the cell has no volume"),
        (text("Na Cl\n1 2"), "line 11: 3 atoms announced, 2 found"),
        (text("Na Cl\n1 2", SITES + "\n1 1 1\n"), "line 11: 3 atoms announced, 2 found"),
        (text("Na Cl\n2"), "line 7: 1 numbers of atoms for 2 names of elements"),
        (text("Na Cl\nx"), "line 7: numbers of atoms expected, found x"),
        (text("Na Cl\n9¹9 1"), "line 7: numbers of atoms expected, found 9¹9 1"),
        (text("Na Cl\n1 99999999999"), "line 7: 100,000,000,000 atoms"),
        (text("Na Xx\n1 1"), "line 6: unknown element Xx"),
        (text("1 1"), "line 6: no names of elements (VASP 4)"),
        (text(sites="Direct\n0 0 0\n0.5 0.5\n"), "line 10: three coordinates expected, found 0.5 0.5"),
        (text(sites="Direct\n0 0 0\n0.5 a 0.5\n"), "line 10: three coordinates expected, found 0.5 a 0.5"),
        (text(sites="Direct\n0 0 0\nnan 0 0\n"), "not finite numbers"),
    ],
)
def test_errors_name_the_line(content, reason, tmp_path):
    with pytest.raises(CrystalError) as caught:
        crystal_of(content, tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'POSCAR'}: ")
    assert reason in str(caught.value)


@given(crystals())
def test_what_ase_writes_is_read_as_ase_reads_it(tmp_path_factory, crystal):
    atoms = ase.Atoms(crystal.numbers, cell=crystal.lattice, scaled_positions=crystal.frac_coords, pbc=True)
    written = io.StringIO()
    ase.io.write(written, atoms, format="vasp")
    found = crystal_of(written.getvalue(), tmp_path_factory.mktemp("poscar"))
    expected = ase.io.read(io.StringIO(written.getvalue()), format="vasp")
    assert found.numbers.tolist() == expected.numbers.tolist()
    np.testing.assert_array_equal(found.lattice, expected.cell[:])
    np.testing.assert_allclose(found.frac_coords, expected.get_scaled_positions(wrap=False), atol=1e-12)
