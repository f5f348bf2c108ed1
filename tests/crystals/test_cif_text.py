"""What is wrong with a CIF far from its structure is forgiven, and several structures are all read."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from cif_texts import CELLS, TYPED_LOOP, cif_text

from crystallite.crystals.cif import parse_cif, parse_cifs, read_cif, read_cifs
from crystallite.crystals.crystal import Crystal
from crystallite.crystals.notices import CrystalNotice
from crystallite.errors import CrystalError

TEXT = cif_text("Na 0 0 0\nCl .5 .5 .5")


def with_line(line: str) -> str:
    return TEXT.replace("data_test\n", f"data_test\n{line}\n")


@pytest.mark.parametrize(
    "text",
    [
        with_line("_exptl_crystal_colour hellgrün"),
        with_line("_größe 5"),
        with_line("_chemical_name_common sodium chloride"),
        with_line("_title 'unterminated"),
        with_line("_chemical_formula_sum 'ü Grünß"),
        with_line("_chemical_formula_sum 'Na Clß"),
        with_line("loop_\n_pd_proc_point_id\n_pd_proc_2theta\n1 10.0\n2"),
        with_line("loop_\n_pd_proc_point_id\n_pd_proc_2theta"),
        TEXT + "loop_\n_atom_site_aniso_label\n_atom_site_aniso_U_11\nNa 0.1\nCl",
        TEXT + "_note\n;\nno end",
        TEXT + "\x1a",
        TEXT.replace("data_test", "data_NaCl_β"),
        TEXT.replace("data_test", "data_sodium chloride"),
        f"Downloaded from somewhere\nat noon: 'x\n{TEXT}",
        "#\\#CIF_2.0\n" + with_line("_a.list [1 [2 'a ]b'] 3]\n_b.table {'a':1 'b':[2 3]}"),
        "#\\#CIF_2.0\n" + with_line("_a.text '''it's\n_cell_length_a 3\n'''"),
        "#\\#CIF_2.0\n" + with_line('loop_\n_a.b\n_a.c\n[1 2] """x"""\n[4 5] 6'),
    ],
)
def test_what_is_far_from_the_structure_is_forgiven(text: str) -> None:
    crystal = parse_cif(text, "test")
    assert crystal.numbers.tolist() == [11, 17]
    np.testing.assert_array_equal(crystal.lattice, parse_cif(TEXT, "test").lattice)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TEXT.rstrip()[:-2], "Wrong number of values in loop"),
        (TEXT.replace("Na 0 0 0", "Na 0 'ü 0 0"), "not a valid CIF"),
        (with_line("_cell_length_a 7"), "duplicate tag _cell_length_a"),
        (with_line("_cell.length_a 7"), "duplicate tag _cell_length_a"),
        (with_line("_symmetry_space_group_name_H-M 'F m -3 m"), "unterminated 'string'"),
        ("#\\#CIF_2.0\n" + with_line("_a [1\n_symmetry_Int_Tables_number 225\n2]"), "not a valid CIF"),
    ],
)
def test_what_the_structure_hangs_on_is_not(text: str, reason: str) -> None:
    with pytest.raises(CrystalError, match=reason):
        parse_cif(text, "test")


def test_a_reason_is_one_line_that_fits() -> None:
    with pytest.raises(CrystalError) as caught:
        parse_cif(cif_text("X\x1b[31m" + "y" * 100_000 + " 0 0 0"), "test")
    assert len(caught.value.reason) < 400
    assert caught.value.reason.isprintable()


def test_all_structures_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "three.cif"
    other = cif_text("Mg 0 0 0\nO .5 .5 .5").replace("data_test", "data_b")
    path.write_text(f"data_global\n_a b\n{TEXT}{other}{cif_text('Xx 0 0 0')}")
    found = dict(read_cifs(path))
    assert list(found) == ["test", "b", "test-2"]
    assert isinstance(found["b"], Crystal)
    assert found["b"].numbers.tolist() == [12, 8]
    assert isinstance(found["test-2"], CrystalError)
    assert str(found["test-2"]) == f"{path}, block test-2: unknown element Xx"
    with pytest.warns(CrystalNotice, match="several structures, only the first is read: test, b, test"):
        assert read_cif(path).numbers.tolist() == [11, 17]
    assert [name for name, _ in parse_cifs(TEXT, "one")] == ["test"]


# --- Cartesian coordinates ---------------------------------------------------------------------------------

CARTESIAN = TYPED_LOOP.replace("fract", "Cartn")


def test_cartesian_sites_on_standard_axes() -> None:
    """a along x and b in the xy plane, as in the Protein Data Bank."""
    a, b, c, *angles = CELLS["triclinic"]
    cosines = np.cos(np.radians(angles))
    metric = np.outer([a, b, c], [a, b, c]) * [
        [1, cosines[2], cosines[1]],
        [cosines[2], 1, cosines[0]],
        [cosines[1], cosines[0], 1],
    ]
    x, y, z = np.array([0.1, 0.2, 0.3]) @ np.linalg.cholesky(metric)
    crystal = parse_cif(cif_text(f"{CARTESIAN}Na Na1 0 0 0\nCl Cl1 {x} {y} {z}"), "test")
    np.testing.assert_allclose(crystal.frac_coords, [[0, 0, 0], [0.1, 0.2, 0.3]], atol=1e-9)


@pytest.mark.parametrize("kind", ["Cartn", "fract"])
def test_cartesian_sites_with_the_matrix_of_the_file(kind: str) -> None:
    matrix = np.array([[0, 7.0, 0], [0, 0, 8], [6, 0, 0]])  # columns: a along z, b along x, c along y
    shift = np.array([1, 2, 3.0])
    given = (matrix, shift) if kind == "Cartn" else (np.linalg.inv(matrix), -np.linalg.inv(matrix) @ shift)
    items = [f"_atom_sites_{kind}_tran_vector_{row + 1} {value}" for row, value in enumerate(given[1])]
    for (row, column), value in np.ndenumerate(given[0]):
        items.append(f"_atom_sites_{kind}_tran_matrix_{row + 1}{column + 1} {value}")
    x, y, z = matrix @ [0.1, 0.2, 0.3] + shift
    text = cif_text(f"{CARTESIAN}Na Na1 {x} {y} {z}", "\n".join(items), (6, 7, 8, 90, 90, 90))
    np.testing.assert_allclose(parse_cif(text, "test").frac_coords, [[0.1, 0.2, 0.3]], atol=1e-9)


# --- labels without type symbols ---------------------------------------------------------------------------


NO_ELEMENTS = [
    "Vac1",
    "VAC1",
    "Du1",
    "T1",
    "Uiso",
    "UISO",
    "M1",
    "X1",
    "Q1",
    "A1",
    "Cg1",
    "LP1",
    "REE1",
    "Va",
]


@pytest.mark.parametrize("label", NO_ELEMENTS)
def test_a_label_that_names_no_element(label: str) -> None:
    with pytest.raises(CrystalError, match=f"unknown element {label}"):
        parse_cif(cif_text(f"{label} 0 0 0"), "test")


@pytest.mark.parametrize(
    ("label", "number"),
    [
        ("O1W", 8),
        ("Ow1", 8),
        ("OhA", 8),
        ("Hw2", 1),
        ("SiT1", 14),
        ("AlT1o", 13),
        ("CaM2", 20),
        ("O1'", 8),
        ("fe2", 26),
    ],
)
def test_a_label_with_the_name_of_a_site(label: str, number: int) -> None:
    assert parse_cif(cif_text(f"{label} 0 0 0"), "test").numbers.tolist() == [number]


def test_the_formula_settles_labels_of_two_meanings() -> None:
    for formula, numbers in (("C H O", [6, 1]), ("Ca Ho", [20, 67]), ("?", [20, 67])):
        text = cif_text("CA1 0 0 0\nHO1 .5 .5 .5", f"_chemical_formula_sum '{formula}'")
        with pytest.warns(CrystalNotice) if formula == "C H O" else nullcontext():
            assert parse_cif(text, "test").numbers.tolist() == numbers


def test_tritium_and_water_are_type_symbols() -> None:
    text = cif_text(f"{TYPED_LOOP}T T1 0 0 0\nH2O W1 .5 .5 .5")
    assert parse_cif(text, "test").numbers.tolist() == [1, 8]
    with pytest.raises(CrystalError, match="H2O may be water or a hydrogen atom"):
        parse_cif(cif_text("H2O 0 0 0"), "test")
    with pytest.raises(CrystalError, match="FeMn1 means several species"):
        parse_cif(cif_text("FeMn1 0 0 0"), "test")
