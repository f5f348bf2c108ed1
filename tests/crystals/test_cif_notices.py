"""What a CIF says twice is compared: formula and atoms, named group and listed operations."""

from __future__ import annotations

import warnings

import pytest
from cif_texts import cif_text, listed

from crystallite.crystals.cif import parse_cif
from crystallite.crystals.notices import CrystalNotice, gathered, summary
from crystallite.errors import CrystalError

CUBE = (5.6, 5.6, 5.6, 90, 90, 90)
ROCK_SALT = "Na 0 0 0\nCl .5 .5 .5"
FACES = listed(["x,y,z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "x+1/2,y+1/2,z"])
GROUP = "_symmetry_space_group_name_H-M"


def formula(text: str, units: int | str = "?") -> str:
    return f"_chemical_formula_sum '{text}'\n_cell_formula_units_Z {units}"


def notices(text: str) -> list[CrystalNotice]:
    with gathered() as found:
        parse_cif(text, "some.cif")
    return found


@pytest.mark.parametrize(
    "items",
    [
        "",
        formula("?"),
        formula("Na Cl"),
        formula("Cl1 Na1", 4),
        formula("Na4 Cl4"),
        formula("Na4 Cl4", 4),  # that of the cell, as pymatgen writes it
        formula("Na4 Cl4", 1),
        formula("Na0.999 Cl", 4),
        formula("not a formula!", 3),
        f"{GROUP} 'F m m m'\n" + formula("Na Cl", 4),
    ],
)
def test_what_agrees_is_not_told(items: str) -> None:
    operations = "" if GROUP in items else FACES
    cell = (5.6, 5.7, 5.8, 90, 90, 90)
    assert notices(cif_text(ROCK_SALT, f"{items}\n{operations}", cell)) == []


@pytest.mark.parametrize(
    ("items", "told"),
    [
        (formula("H Na O", 1), "the atoms are Na4 Cl4, the formula is H Na O, Z = 1"),
        (formula("Na Cl", 8), "the formula is Na Cl, Z = 8"),
        (formula("Na2 Cl", 4), "the formula is Na2 Cl, Z = 4"),
        (formula("Na8 Cl8"), "the formula is Na8 Cl8"),
    ],
)
def test_atoms_and_formula_differ(items: str, told: str) -> None:
    (notice,) = notices(cif_text(ROCK_SALT, f"{items}\n{FACES}", CUBE))
    assert (notice.source, notice.kind) == ("some.cif", "atoms and formula differ")
    assert notice.detail.endswith(told)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (f"{GROUP} 'F m -3 m'", "named 'F m -3 m' with 192 operations, but 4"),
        ("_space_group_IT_number 47", "named number 47 with 8 operations, but 4"),
        (f"{GROUP} 'P 2 2 2'", "named 'P 2 2 2' with 4 operations, but 4"),
        (f"{GROUP} 'P 1'\n_space_group_IT_number 2", "'P 1', number 2 are different groups"),
    ],
)
def test_named_group_and_listed_operations_differ(name: str, told: str) -> None:
    (notice,) = notices(cif_text(ROCK_SALT, f"{name}\n{FACES}", CUBE))
    assert notice.kind == "symmetry"
    assert told in notice.detail


def test_operations_of_another_setting_agree_with_the_name() -> None:
    operations = listed(["x,y,z", "x+1/2,-y+1/4,-z"])
    text = cif_text("Ca .1 .2 .3", f"{GROUP} 'P 21'\n{operations}", (5, 6, 7, 90, 90, 90))
    assert notices(text) == []


@pytest.mark.parametrize("said", [formula("Na4 Cl4"), formula("Na Cl", 4)])
def test_lost_operations_are_an_error_where_the_formula_says_so_too(said: str) -> None:
    text = cif_text(ROCK_SALT, f"{said}\n{GROUP} 'F m -3 m'\n{listed(['x,y,z'])}", CUBE)
    with pytest.raises(CrystalError, match=r"with 192 operations, but 1 .*; the atoms are Na1 Cl1") as caught:
        parse_cif(text, "some.cif")
    assert caught.value.source == "some.cif"


def test_a_crystal_system_without_a_group_is_told() -> None:
    (notice,) = notices(cif_text(ROCK_SALT, "_symmetry_cell_setting cubic", CUBE))
    assert notice.detail == "cubic, but no group is named: read as P1"


def test_merged_images_are_told_unless_the_formula_agrees() -> None:
    cell, group = (14, 14, 7, 90, 90, 120), f"{GROUP} 'P -3 m 1'"
    (notice,) = notices(cif_text("Al .33 .67 .2", group, cell))
    assert notice.detail.startswith("2 atoms instead of 6, as two atoms are 0.")
    assert notices(cif_text("Al .33 .67 .2", f"{group}\n{formula('Al', 2)}", cell)) == []


def test_many_notices_become_one_line() -> None:
    def read(count: int) -> None:
        for k in range(count):
            parse_cif(cif_text(ROCK_SALT, formula("Na Cl H", 1), CUBE), f"{k}.cif")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with gathered() as many:
            read(1000)
            warnings.warn("another", stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["another"]
    (line,) = summary(many)
    assert line.startswith("1,000 files: atoms and formula differ: 0.cif (the atoms are Na1 Cl1")
    assert line.endswith("and 997 more")
    with gathered() as one:
        read(1)
    assert summary(one) == [str(one[0])]
