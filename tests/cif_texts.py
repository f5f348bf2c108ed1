"""Texts of CIFs for the tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

SITE_LOOP = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
TYPED_LOOP = SITE_LOOP.replace("_atom_site_label", "_atom_site_type_symbol\n_atom_site_label")
CELLS = {
    "triclinic": (6, 7, 8, 80, 95, 103),
    "orthorhombic": (9.6, 11.2, 12.8, 90, 90, 90),
    "tetragonal": (9.6, 9.6, 11.2, 90, 90, 90),
    "trigonal": (9.6, 9.6, 11.2, 90, 90, 120),
    "hexagonal": (9.6, 9.6, 11.2, 90, 90, 120),
    "cubic": (9.6, 9.6, 9.6, 90, 90, 90),
}


def cif_text(sites: str, symmetry: str = "", cell: Sequence[float] = CELLS["triclinic"]) -> str:
    """A CIF with the given cell, symmetry items and rows of label, x, y, z (or a whole loop)."""
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [f"_cell_{tag} {value}" for tag, value in zip(tags, cell, strict=True)]
    return "\n".join(["data_test", *lines, symmetry, sites if "loop_" in sites else SITE_LOOP + sites, ""])


def listed(operations: Iterable[str], tag: str = "_symmetry_equiv_pos_as_xyz") -> str:
    return "\n".join(["loop_", tag, *(f"'{operation}'" for operation in operations)])
