"""Symmetry is taken from whatever a CIF says about it, and must fit the cell."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from cif_texts import cif_text, listed

from crystallite.crystals.cif import parse_cif
from crystallite.errors import CrystalError

ROCK_SALT = "Na 0 0 0\nCl .5 .5 .5"
CUBE = (5.64, 5.64, 5.64, 90, 90, 90)
SPINEL = "Mg .125 .125 .125\nAl .5 .5 .5\nO .2624 .2624 .2624"
SPINEL_CUBE = (8.08, 8.08, 8.08, 90, 90, 90)
ORIGIN_2 = {12: 8, 13: 16, 8: 32}
GENERAL = "Ca .1 .2 .3"
ALPHA, BETA, GAMMA = (7, 8, 5, 101, 90, 90), (7, 8, 5, 90, 101, 90), (7, 8, 5, 90, 90, 101)
BOX, HEXAGON = (10, 12, 14, 90, 90, 90), (10, 10, 14, 90, 90, 120)
NAME = "_symmetry_space_group_name_H-M"


@pytest.mark.parametrize(
    "item",
    [
        *[
            f"{tag} 'F m -3 m'"
            for tag in (
                "_symmetry.space_group_name_H-M",
                "_space_group.name_H-M_alt",
                "_space_group_name_H-M_full",
                "_space_group_name_H-M_ref",
                "_symmetry_space_group_name_H_M",
                "_SPACE_GROUP_NAME_H-M",
                "_space_group_name_h-m_alt_",
            )
        ],
        *[
            f"{NAME} {name}"
            for name in (
                "'F 4/m -3 2/m'",
                "F4/m-32/m",
                "'Fm(-3)m'",
                "'F_m_-3_m'",
                "'Fm-3m (225)'",
                "'F m -3 m, No. 225'",
                "Fm3m",
                "F m -3 m",
                "\n;\nF m\n -3 m\n;",
            )
        ],
        "_space_group.IT_number 225",
        "_symmetry.Int_Tables_number '225'",
        "_space_group.name_Hall '-F 4 2 3'",
        "_space_group_name_Schoenflies Oh^5",
        "_space_group.name_Schoenflies 'O_h^5'",
    ],
)
def test_every_spelling_of_a_group(item: str) -> None:
    assert Counter(parse_cif(cif_text(ROCK_SALT, item, CUBE), "test").numbers.tolist()) == {11: 4, 17: 4}


@pytest.mark.parametrize(
    "items",
    [
        "_space_group_name_H-M_alt 'F d -3 m'\n_space_group_IT_coordinate_system_code 2",
        "_space_group.name_H-M_alt 'F d -3 m'\n_space_group.IT_coordinate_system_code '2'",
        "_space_group_IT_number 227\n_symmetry_IT_coordinate_system_code 2abc",
        "_space_group_name_H-M_full 'F 41/d -3 2/m :2'",
        "_space_group_name_H-M_alt 'F d -3 m (origin choice 2)'",
        "_space_group_name_H-M_alt 'F d -3 m'\n_space_group_name_H-M_full 'F 41/d -3 2/m :2'",
    ],
)
def test_what_settles_the_origin(items: str) -> None:
    """In origin choice 1 the same spinel has sixteen magnesium and eight aluminium atoms."""
    assert Counter(parse_cif(cif_text(SPINEL, items, SPINEL_CUBE), "test").numbers.tolist()) == ORIGIN_2


@pytest.mark.parametrize(
    ("item", "cell", "n_atoms"),
    [
        (f"{NAME} 'P 2(1)/c'", BETA, 4),
        (f"{NAME} 'P2_1/n'", BETA, 4),
        (f"{NAME} P_21/n", BETA, 4),
        (f"{NAME} 'P 21/b'", GAMMA, 4),
        (f"{NAME} 'P 2/m'", GAMMA, 4),
        (f"{NAME} 'P 2/m 1 1'", ALPHA, 4),
        (f"{NAME} 'B 2/b'", GAMMA, 8),
        ("_space_group_IT_number 10", GAMMA, 4),
        ("_space_group_IT_number 14\n_space_group_IT_coordinate_system_code c3", GAMMA, 4),
        ("_space_group_IT_number 62\n_space_group_IT_coordinate_system_code cab", BOX, 8),
        (f"{NAME} 'C 2/m 2/c 21/a'", BOX, 16),
        (f"{NAME} 'P 21/n 21/m 21/a'", BOX, 8),
        (f"{NAME} 'R -3 2/c'", HEXAGON, 36),
        (f"{NAME} 'P -3 2/m 1'", HEXAGON, 12),
        (f"{NAME} 'R -3 m'\n_space_group_IT_coordinate_system_code r", (10, 10, 10, 70, 70, 70), 12),
    ],
)
def test_short_and_full_symbols_on_the_axes_of_the_cell(item: str, cell: tuple, n_atoms: int) -> None:
    assert len(parse_cif(cif_text("Ca .11 .31 .43", item, cell), "test")) == n_atoms


def test_unique_axis_c_of_a_short_symbol() -> None:
    crystal = parse_cif(cif_text(GENERAL, f"{NAME} 'P 2/m'", (7, 3, 5, 90, 90, 81)), "test")
    images = {tuple(row) for row in crystal.frac_coords.round(6)}
    assert images == {(0.1, 0.2, 0.3), (0.9, 0.8, 0.3), (0.1, 0.2, 0.7), (0.9, 0.8, 0.7)}


@pytest.mark.parametrize("symop", ["_space_group_symop.", "_space_group_symop_", "_symmetry_equiv."])
def test_every_spelling_of_operations(symop: str) -> None:
    name = "pos_as_xyz" if "equiv" in symop else "operation_xyz"
    text = cif_text(GENERAL, f"loop_\n{symop}id\n{symop}{name}\n1 x,y,z\n2 -x,-y,-z")
    assert len(parse_cif(text, "test")) == 2


@pytest.mark.parametrize("symop", ["_space_group_symop.magn_", "_space_group_symop_magn_"])
def test_old_magnetic_tags(symop: str) -> None:
    operations = listed(["x,y,z,+1", "-x,-y,-z,-1"], f"{symop}operation_xyz")
    centrings = listed(["x,y,z,+1", "x+1/2,y+1/2,z,-1"], f"{symop}centering_xyz")
    assert len(parse_cif(cif_text(GENERAL, f"{operations}\n{centrings}"), "test")) == 4


@pytest.mark.parametrize(
    ("symmetry", "cell", "reason"),
    [
        ("_space_group_IT_number 11", ALPHA, "number 11 does not fit the cell"),
        (f"{NAME} 'C 2/m'", GAMMA, "'C 2/m' does not fit the cell"),
        (f"{NAME} 'P 1 21/c 1'", GAMMA, "does not fit the cell"),
        (f"{NAME} 'F m -3 m'", BOX, "does not fit the cell"),
        (f"{NAME} 'P 63/m m c'", (5, 5, 7, 90, 90, 60), "does not fit the cell"),
        (listed(["x,y,z", "-y,x-y,z", "-x+y,-x,z"]), (5, 5, 7, 90, 90, 90), "do not fit the cell"),
        (listed(["x,y,z", "z,x,y", "y,z,x"]), BOX, "do not fit the cell"),
        (listed(["x,y,z", "x,y,z+1/4"]), BOX, "do not form a group"),
        (listed(["-x,-y,-z"]), BOX, "do not form a group"),
        (listed(["x,y,z", "x+1/3,y+2/3,z"]), HEXAGON, "do not form a group"),
        (f"{NAME} 'F m -3 m'\n_symmetry_Int_Tables_number 221", CUBE, "ambiguous: .* are different groups"),
        (f"{NAME} 'F d -3 m :1'\n_space_group_IT_coordinate_system_code 2", CUBE, "contradict each other"),
        ("_symmetry_group_of_space 225", CUBE, "unknown space group 225"),
        ('_space_group_magn.name_BNS "P n\'ma"', CUBE, "unknown space group"),
        ("_cell_modulation_dimension 1", CUBE, "modulated structure"),
        ("_space_group_ssg_name 'P-1(abg)0'", CUBE, "modulated structure"),
        (listed(["x1,x2,x3,x4"], "_space_group_symop_ssg_operation_algebraic"), CUBE, "modulated structure"),
        (listed(["x,y,z", "x+1e9999999999,y,z"]), CUBE, "cannot read the symmetry operation"),
        (listed(["x,y,z", "x+1e400,y,z"]), CUBE, "cannot read the symmetry operation"),
        (listed(["x,y,z", "x" + "+1/2" * 99 + ",y,z"]), CUBE, "cannot read the symmetry operation"),
        (listed(f"x+{n}/1000,y,z" for n in range(1000)), CUBE, "more than 768 symmetry operations"),
    ],
)
def test_symmetry_that_cannot_be(symmetry: str, cell: tuple, reason: str) -> None:
    with pytest.raises(CrystalError, match=reason):
        parse_cif(cif_text(GENERAL, symmetry, cell), "test")


@pytest.mark.parametrize(("z", "n_atoms"), [(0.2, 2), (0.01, 1)])
def test_images_around_a_special_position_are_one_atom_on_it(z: float, n_atoms: int) -> None:
    """Two digits in a cell of 14 Å: three images 0.17 Å apart; near z = 0 six."""
    symmetry = f"{NAME} 'P -3 m 1'\n_chemical_formula_sum Al"
    sites = f"Al 0.33 0.67 {z}"
    if n_atoms == 1:
        sites = f"Al 0.01 0.01 {z}"
    crystal = parse_cif(cif_text(sites, symmetry, (14, 14, 7, 90, 90, 120)), "test")
    assert len(crystal) == n_atoms
    expected = [1 / 3, 2 / 3, z] if n_atoms == 2 else [0, 0, 0]
    delta = crystal.frac_coords[0] - expected
    np.testing.assert_allclose(delta - np.rint(delta), 0, atol=1e-12)
