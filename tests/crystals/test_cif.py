"""CIF reading agrees with pymatgen, except where crystallite.crystals.cif's docstring says it should not."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Sequence
from pathlib import Path

import gemmi
import numpy as np
import pytest
from cif_texts import CELLS, SITE_LOOP, TYPED_LOOP, cif_text, listed
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter

from crystallite.crystals.cif import parse_cif, read_cif
from crystallite.crystals.crystal import Crystal
from crystallite.errors import CrystalError

pytestmark = pytest.mark.filterwarnings("ignore")  # pymatgen warns about most files

FILES = Path(__file__).parents[1] / "data" / "cif"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "rcgcnn"


def cell_of(group: gemmi.SpaceGroup) -> tuple[float, ...]:
    """A cell that the setting of a space group allows."""
    if group.ext == "R":
        return (9.6, 9.6, 9.6, 70, 70, 70)
    if group.crystal_system_str() != "monoclinic":
        return CELLS[group.crystal_system_str()]
    unique = "abc".index(group.qualifier.lstrip("-")[0]) if group.qualifier else 1
    return (9.6, 11.2, 12.8, *(103 if axis == unique else 90 for axis in range(3)))


def pymatgen_structure(text: str) -> Structure:
    return CifParser.from_str(text).parse_structures(primitive=False)[0]


def assert_same_atoms(crystal: Crystal, numbers: Sequence[int], frac_coords: np.ndarray, name: str) -> None:
    """Every atom of the crystal has a partner of its element within 0.001 Å, and no partner is shared."""
    assert len(crystal) == len(numbers), name
    delta = crystal.frac_coords[:, None] - np.asarray(frac_coords)[None]
    distances = np.linalg.norm((delta - np.round(delta)) @ crystal.lattice, axis=-1)
    distances[crystal.numbers[:, None] != np.asarray(numbers)[None]] = np.inf
    assert distances.min(axis=1).max() < 1e-3, name
    assert len(set(distances.argmin(axis=1))) == len(crystal), name


def assert_same(crystal: Crystal, structure: Structure, name: str = "") -> None:
    np.testing.assert_allclose(crystal.lattice, structure.lattice.matrix, atol=1e-6, err_msg=name)
    assert crystal.frac_coords.min() >= 0, name
    assert crystal.frac_coords.max() <= 1, name
    assert_same_atoms(crystal, [site.specie.Z for site in structure], structure.frac_coords, name)


def assert_like_pymatgen(text: str, name: str = "test") -> None:
    assert_same(parse_cif(text, name), pymatgen_structure(text), name)


# --- agreement over files and structures -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["heavy_water_isotopes", "magnetite_charged", "quartz_measured"])
def test_small_files(name: str) -> None:
    path = FILES / f"{name}.cif"
    assert_same(read_cif(path), Structure.from_file(path))


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data are not here")
@pytest.mark.parametrize("folder", ["sample-regression", "sample-classification"])
def test_files_of_the_crystallography_open_database(folder: str) -> None:
    paths = sorted((SHARED / folder).glob("*.cif"))
    assert len(paths) == 10
    for path in paths:
        assert_same(read_cif(str(path)), Structure.from_file(path), path.name)


def structure_of_group(number: int, seed: int) -> Structure:
    """A random structure of a space group on its standard axes, on a general and a special position."""
    generator = random.Random(seed)
    species, positions = (
        ["Na", "Cl"],
        [[0.0, 0.0, 0.0], [x + generator.uniform(0, 0.01) for x in (0.9232, 0.526, 0.3751)]],
    )
    lattice = Lattice.from_parameters(*cell_of(gemmi.get_spacegroup_reference_setting(number)))
    return Structure.from_spacegroup(number, lattice, species, positions)


@pytest.mark.parametrize("first", range(1, 6))
def test_symmetrised_by_pymatgen(first: int) -> None:
    for number in range(first, 231, 15):
        structure = structure_of_group(number, seed=number)
        text = str(CifWriter(structure, symprec=0.01))
        assert_like_pymatgen(text, f"group {number}")
        assert_same(parse_cif(str(CifWriter(structure)), "test"), structure, f"group {number} as P1")


@pytest.mark.parametrize("decimals", [3, 4, 5, 6])
def test_rounded_coordinates_on_special_positions(decimals: int) -> None:
    """Positions such as (1/3, 2/3, z) or (x, 2x, z) survive rounding, down to a number of decimals."""
    x = 0.156782
    rows = [("Fe", 1 / 3, 2 / 3, 0.25), ("O", x, 2 * x, 0.42), ("Ti", 2 / 3, 1 / 3, 0.1), ("B", x, -x, 0.7)]
    sites = "\n".join(f"{label} {a:.{decimals}f} {b:.{decimals}f} {c}" for label, a, b, c in rows)
    operations = [operation.triplet() for operation in gemmi.SpaceGroup("P 63/m m c").operations()]
    text = cif_text(sites, listed(operations), CELLS["hexagonal"])
    crystal = parse_cif(text, "test")
    assert np.bincount(crystal.numbers)[[5, 8, 22, 26]].tolist() == [12, 12, 4, 2]
    if decimals > 4:  # with fewer, pymatgen keeps images a rounding error apart
        assert_same(crystal, pymatgen_structure(text))


def test_p1_coordinates_near_thirds_become_thirds() -> None:
    text = cif_text("Fe 0.3333 0.66667 0.33334\nO 0.3331 0.6665 0.0001")
    assert_like_pymatgen(text)
    assert sorted(parse_cif(text, "test").frac_coords.ravel())[2:4] == [1 / 3, 1 / 3]


# --- space groups ------------------------------------------------------------------------------------------

SITES = "Fe 0.9282 0.531 0.3801\nO 0.3333 0.6667 0.5305\nH 0 0 0"  # no image of another is nearer than 0.5 Å


@pytest.mark.parametrize("quarter", range(4))
def test_every_setting_by_operations_symbol_and_hall(quarter: int) -> None:
    """All settings of all groups: both origins, all monoclinic cells, R groups on both axes."""
    for group in list(gemmi.spacegroup_table())[quarter::4]:
        operations = [operation.triplet() for operation in group.operations()]
        reference = cif_text(SITES, listed(operations), cell_of(group))
        structure = pymatgen_structure(reference)
        assert_same(parse_cif(reference, "test"), structure, group.xhm())
        for symmetry in (
            listed(operations, "_space_group_symop_operation_xyz"),
            f"_symmetry_space_group_name_H-M '{group.xhm()}'",
            f"_space_group_name_Hall '{group.hall}'",
        ):
            assert_same(parse_cif(cif_text(SITES, symmetry, cell_of(group)), "test"), structure, group.xhm())


def test_every_third_group_by_number_or_plain_symbol() -> None:
    """Without a setting: the choice of pymatgen, which is origin 1 and hexagonal axes."""
    for number in range(1, 231, 3):  # pymatgen takes its time over each
        cell = cell_of(gemmi.get_spacegroup_reference_setting(number))
        text = cif_text(SITES, f"_space_group_IT_number {number}", cell)
        structure = pymatgen_structure(text)
        assert_same(parse_cif(text, "test"), structure, f"group {number}")
        symbol = gemmi.find_spacegroup_by_number(number).hm
        text = cif_text(SITES, f"_space_group_name_H-M_alt '{symbol}'", cell)
        assert_same(parse_cif(text, "test"), structure, symbol)


@pytest.mark.parametrize(
    ("symbol", "full"),
    [
        ("F d -3 m S", "F d -3 m:1"),
        ("F d -3 m Z", "F d -3 m:2"),
        ("R-3mR", "R -3 m:R"),
        ("R -3 m :H", "R -3 m:H"),
        ("I2/a", "I 1 2/a 1"),
        ("P_n_m_a", "P n m a"),
        ("P 1 21/n 1", "P 1 21/n 1"),
        ("p 63/m m c", "P 63/m m c"),
    ],
)
def test_spellings_of_symbols(symbol: str, full: str) -> None:
    group = gemmi.SpaceGroup(full)
    cell = cell_of(group)
    operations = listed(operation.triplet() for operation in group.operations())
    crystal = parse_cif(cif_text(SITES, f"_symmetry_space_group_name_H-M '{symbol}'", cell), "test")
    assert_same(crystal, pymatgen_structure(cif_text(SITES, operations, cell)))


def test_rhombohedral_cell_tells_the_axes() -> None:
    """pymatgen takes hexagonal axes here, and returns 60 atoms."""
    crystal = read_cif(FILES / "calcite_rhombohedral.cif")
    assert np.bincount(crystal.numbers)[[6, 8, 20]].tolist() == [2, 6, 2]
    text = (FILES / "calcite_rhombohedral.cif").read_text()
    for symmetry in ("_space_group_name_H-M_alt 'R -3 c'", "_symmetry_Int_Tables_number 167"):
        unsaid = re.sub(r"_space_group_name_H-M_alt .*\n_space_group_IT_number 167", symmetry, text)
        assert_same_atoms(parse_cif(unsaid, "test"), crystal.numbers, crystal.frac_coords, symmetry)


@pytest.mark.parametrize(
    ("system", "operations"),
    [
        ("orthorhombic", ["X,Y,Z", "-X,Y+1/2,-Z+1/2"]),
        ("orthorhombic", ["x, y, z", "1/2-x, .5+y, -z"]),
        ("triclinic", ["x,y,z", "x+0.3333,y+0.6667,z", "x+0.6667,y+0.3333,z"]),
        ("triclinic", ["x,y,z", "x+1/5,y,z", "x+2/5,y,z", "x+3/5,y,z", "x+4/5,y,z"]),
        ("hexagonal", ["x,y,z", "-y,x-y,z+0.33333", "-x+y,-x,z+0.66667"]),
        ("orthorhombic", ["x, y, z", "x+1, -y, z-3/2"]),
    ],
)
def test_spellings_of_operations(system: str, operations: list[str]) -> None:
    assert_like_pymatgen(cif_text("Fe 0.11 0.23 0.37\nO 0.6 0.7 0.9", listed(operations), CELLS[system]))


def test_operation_outside_a_loop_and_unknown_symmetry() -> None:
    for symmetry in ("_symmetry_equiv_pos_as_xyz 'x, y, z'", "_space_group_name_H-M_alt ?", ""):
        assert_like_pymatgen(cif_text("Fe 0.1 0.2 0.3\nO 0 0 0", symmetry))


def test_magnetic_operations() -> None:
    symmetry = "\n".join(
        [
            listed(["x,y,z,+1", "-x,-y,-z,-1"], "_space_group_symop_magn_operation.xyz"),
            listed(["x,y,z,+1", "x+1/2,y+1/2,z,-1"], "_space_group_symop_magn_centering.xyz"),
        ]
    )
    assert_like_pymatgen(cif_text("Fe 0.1 0.2 0.3\nO 0 0 0", symmetry))


# --- the loop of atoms -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "number"),
    [
        *[("Fe", 26), ("FE", 26), ("fe", 26), ("Fe1", 26), ("Fe3+", 26), ("Fe+3", 26), ("Fe(1)", 26)],
        *[("O_a", 8), ("O2-", 8), ("O1A", 8), ("OW1", 8), ("Wat1", 8), ("Na+1", 11), ("Cl1-", 17)],
        *[
            ("C1A", 6),
            ("CA", 20),
            ("D", 1),
            ("D2", 1),
            ("H1B", 1),
            ("W1", 74),
            ("U", 92),
            ("Fm", 100),
        ],
    ],
)
def test_elements_from_labels_and_symbols(label: str, number: int) -> None:
    for sites in (f"{label} 0 0 0\nSi1 .5 .5 .5", f"{TYPED_LOOP}{label} X1 0 0 0\nSi4+ Xe .5 .5 .5"):
        text = cif_text(sites)
        assert parse_cif(text, "test").numbers.tolist() == [number, 14]
        if label != "Wat1" and number < 100:  # pymatgen has no water or fermium outside its own tables
            assert_like_pymatgen(text, label)


def test_unknown_symbol_falls_back_to_the_label() -> None:
    crystal = parse_cif(cif_text(f"{TYPED_LOOP}? Fe1 0 0 0\nO2- O1 .5 .5 .5\n. Mg .2 .2 .2"), "test")
    assert crystal.numbers.tolist() == [26, 8, 12]


def test_uncertainties_quotes_and_order_of_columns() -> None:
    names = ("fract_z", "occupancy", "FRACT_X", "fract_y", "label")
    loop = " ".join(["loop_", *(f"_atom_site_{name}" for name in names), ""])
    crystal = parse_cif(cif_text(loop + "0.25(1) 1.0 '0.1' -.3 Fe1\n+1.75 1 2e-1 0.4(12) 'O 1'"), "test")
    assert crystal.numbers.tolist() == [26, 8]
    np.testing.assert_allclose(crystal.frac_coords, [[0.1, 0.7, 0.25], [0.2, 0.4, 0.75]])


def test_occupancy_full_unknown_or_zero() -> None:
    loop = TYPED_LOOP + "_atom_site_occupancy\n"
    sites = "Fe Fe1 0 0 0 1.000(3)\nO O1 .5 .5 .5 ?\nMn Mn1 .2 .2 .2 0\nO O2 .3 .3 .3 0.9995\nS S1 .7 .7 .7 ."
    assert parse_cif(cif_text(loop + sites), "test").numbers.tolist() == [26, 8, 8, 16]


def test_dummy_atoms_are_left_out() -> None:
    sites = TYPED_LOOP + "_atom_site_calc_flag\nFe Fe1 0 0 0 d\nX Cg1 . . . dum\nH H1 .5 .5 .5 calc"
    assert parse_cif(cif_text(sites), "test").numbers.tolist() == [26, 1]


# --- files -------------------------------------------------------------------------------------------------

GOOD = cif_text("Fe 0.1 0.2 0.3\nO 0.6 0.7 0.8")


@pytest.mark.parametrize(
    "data",
    [
        ("# Émile Doré\n_author 'Müller, Jürgen'\n").encode("latin-1") + b"# \xff\n",
        "# Émile – Å\n_author 'Müller, Jürgen'\n".encode(),
        b"_journal 'a'\n_journal 'b'\n",
        b"_journal_page\n_journal_year 1999\n",
        b"loop_\n_author\n'a'\n'b'\ndata_next\n_other 1\ndata_next\n_other 2\n",
    ],
    ids=["latin-1", "utf-8", "repeated tag", "tag without value", "repeated block"],
)
def test_harmless_faults_are_forgiven(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "fault.cif"
    path.write_bytes(GOOD.encode() + data)
    assert len(read_cif(path)) == 2
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert len(read_cif(path)) == 2


def test_first_block_with_a_structure_counts() -> None:
    other = cif_text("Si 0 0 0").replace("data_test", "data_other")
    assert parse_cif("data_global\n_journal 'x'\n" + GOOD + other, "test").numbers.tolist() == [26, 8]
    assert parse_cif(SITE_LOOP.join(["data_nocell\n", "Ge 0 0 0\n"]) + other, "test").numbers.tolist() == [14]


def test_unreadable_files(tmp_path: Path) -> None:
    def reason(data: bytes) -> str:
        path = tmp_path / "bad.cif"
        path.write_bytes(data)
        with pytest.raises(CrystalError) as caught:
            read_cif(path)
        assert caught.value.source == str(path)
        return caught.value.reason

    assert reason(b"") == reason(b" \n\n") == "the file is empty"
    assert "not a text file" in reason(GOOD.encode("utf-16"))
    assert "not a text file" in reason(GOOD.encode("utf-16-le"))
    assert "not a" in reason(bytes(range(255, 0, -1)))
    assert "line 1" in reason(b"<html>not found</html>")
    with pytest.raises(CrystalError, match="cannot read the file: No such file"):
        read_cif(tmp_path / "missing.cif")
    with pytest.raises(CrystalError, match="cannot read the file"):
        read_cif(tmp_path)


def test_truncated_anywhere_is_a_crystal_or_an_error() -> None:
    text = (FILES / "quartz_measured.cif").read_text()
    in_loop = text.index("O1 O2- 0.0150(3) 0.4133(2)") + 20
    with pytest.raises(CrystalError, match=r"not a valid CIF, line \d+: Wrong number of values in loop"):
        parse_cif(text[:in_loop], "test")
    for end in range(0, len(text), 7):
        with contextlib.suppress(CrystalError):  # nothing else may be raised
            assert len(parse_cif(text[:end], "test")) > 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD.replace("_cell_length_b 7\n", ""), "the unit cell is incomplete: _cell_length_b is missing"),
        (GOOD.replace("_cell_angle_beta 95", "_cell_angle_beta ?"), "incomplete: _cell_angle_beta"),
        (re.sub(r"_cell_.*\n", "", GOOD), "no unit cell"),
        (GOOD.replace("_cell_length_b 7", "_cell_length_b wide"), "_cell_length_b is not a number: wide"),
        (GOOD + "_cell_length_b 9\n", "duplicate tag _cell_length_b"),
        (cif_text("Fe 0 0 0", cell=(3, 0, 3, 90, 90, 90)), "the unit cell is impossible: 3, 0, 3"),
        (cif_text("Fe 0 0 0", cell=(3, 3, 3, 90, 90, 180)), "the unit cell is impossible"),
        (cif_text("Fe 0 0 0", cell=(3, 3, 3, "nan", "-inf", 90)), "the unit cell is impossible"),
        (cif_text("Fe 0 0 0", cell=("nan", 3, 3, 90, 90, 90)), "the unit cell is impossible"),
        (cif_text("Fe 0 0 0", cell=(3, 3, 3, 60, 60, 120)), "the cell has no volume"),
        (GOOD.partition("loop_")[0], "no atoms"),
        (cif_text(SITE_LOOP), "no atoms"),
        (cif_text("Xy1 0 0 0"), "unknown element Xy1"),
        (cif_text("? 0 0 0"), r"unknown element \?"),
        (cif_text("Lr1 0 0 0"), "element Lr is beyond the table, which ends at 100"),
        (cif_text("Fe,Mn 0 0 0"), "partial occupancy: Fe,Mn means several species"),
        (cif_text(TYPED_LOOP + "'0.8Nb + 0.2Zr' Nb1 0 0 0"), "partial occupancy"),
        (
            cif_text(TYPED_LOOP + "_atom_site_occupancy\nFe Fe1 0 0 0 0.5(1)"),
            "partial occupancy: Fe1 has 0.5",
        ),
        (
            cif_text(TYPED_LOOP + "_atom_site_occupancy\nFe Fe1 0 0 0 1.2"),
            "impossible occupancy: Fe1 has 1.2",
        ),
        (cif_text(TYPED_LOOP + "_atom_site_occupancy\nFe Fe1 0 0 0 0"), "no atoms"),
        (cif_text(TYPED_LOOP + "_atom_site_occupancy\nFe Fe1 0 0 0 nan"), "occupancy: Fe1 has nan"),
        (cif_text("Fe 0.1 0.2 0.3\nMn 0.1 0.2 0.3"), "two atoms are 0.000 Å apart"),
        (cif_text("Fe 0.99999 0.2 0.3\nMn 0 0.2 0.3"), "two atoms are 0.000 Å apart"),
        (cif_text("Fe .1 .2 .3\nFe -.1 -.2 -.3", listed(["x,y,z", "-x,-y,-z"])), "two atoms are 0.000 Å"),
        (cif_text("Fe 0 0 0", cell=(0.05, 3, 3, 90, 90, 90)), "two atoms are 0.050 Å apart"),
        (cif_text("Fe ? 0 0"), "_atom_site_fract_x of Fe is unknown"),
        (cif_text("Fe 0 0 0\nO1 0.5 . 0"), "_atom_site_fract_y of O1 is unknown"),
        (cif_text("Fe 0 0 1/2"), "_atom_site_fract_z of Fe is not a number: 1/2"),
        (cif_text("Fe 0 0 inf"), "not finite"),
        (
            cif_text(SITE_LOOP.replace("_atom_site_label\n", "") + "0 0 0"),
            "neither _atom_site_type_symbol nor",
        ),
        (cif_text("Fe 0 0 0", listed(["x,y,z", "x,y"])), "cannot read the symmetry operation 'x,y'"),
        (cif_text("Fe 0 0 0", listed(["x,y,z", "x,x,z"])), "cannot read the symmetry operation 'x,x,z'"),
        (cif_text("Fe 0 0 0", listed(["x,y,z", "x+1/0,y,z"])), "cannot read the symmetry operation"),
        (cif_text("Fe 0 0 0", "_symmetry_space_group_name_H-M 'Q 7'"), "unknown space group 'Q 7'"),
        (cif_text("Fe 0 0 0", "_space_group_magn.number_BNS 62.448"), "unknown space group 62.448"),
        (cif_text("Fe 0 0 0", "_space_group_IT_number 231"), "there is no space group number 231"),
        (GOOD.replace("Fe 0.1", "'Fe 0.1"), "not a valid CIF, line 14: unterminated 'string'"),
    ],
)
def test_errors_say_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(CrystalError, match=reason) as caught:
        parse_cif(text, "some.cif")
    assert caught.value.source == "some.cif"
    assert "\n" not in caught.value.reason
