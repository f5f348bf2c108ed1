"""Unit cell and sites of a data block, as they are listed."""

from __future__ import annotations

from itertools import compress
from math import acos, cos, inf, radians, sin

import numpy as np
from numpy.typing import NDArray

from .blocks import UNKNOWN, Block, UnreadableError, number
from .labels import atomic_number

LENGTH_TAGS = ("_cell_length_a", "_cell_length_b", "_cell_length_c")
CELL_TAGS = (*LENGTH_TAGS, "_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma")
FRACTIONAL_TAGS = tuple(f"_atom_site_fract_{axis}" for axis in "xyz")
CARTESIAN_TAGS = tuple(f"_atom_site_cartn_{axis}" for axis in "xyz")
_FULL_OCCUPANCY = {"1", "1.0", "1.00", "1.000", "1.0000", "1.00000000", "?", "."}
_OCCUPANCY_TOLERANCE = 1e-3
_SMALLEST_ANGLE = 0.1  # degrees; a cell with a smaller one is flat


def read_cell(block: Block) -> list[float]:
    """Return the cell's a, b, c in Å and α, β, γ in degrees."""
    cell = []
    for tag in CELL_TAGS:
        value = block.value(tag)
        if value in UNKNOWN:
            raise UnreadableError(f"the unit cell is incomplete: {tag} is missing")
        cell.append(number(value, tag))
    lengths, angles = cell[:3], cell[3:]
    possible = all(0 < length < inf for length in lengths) and all(
        _SMALLEST_ANGLE <= angle <= 180 - _SMALLEST_ANGLE for angle in angles
    )
    if not possible:
        raise UnreadableError(f"the unit cell is impossible: {', '.join(f'{value:g}' for value in cell)}")
    return cell


def lattice_of(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> NDArray[np.float64]:
    """Return lattice vectors as rows, Å: c along z, a in the xz plane."""
    alpha, beta, gamma = radians(alpha), radians(beta), radians(gamma)
    cosine = (cos(alpha) * cos(beta) - cos(gamma)) / (sin(alpha) * sin(beta))
    gamma_star = acos(max(-1.0, min(1.0, cosine)))  # angles no cell can have leave it flat: no volume
    b_plane, b_height = -b * sin(alpha) * cos(gamma_star), b * sin(alpha) * sin(gamma_star)
    return np.array([[a * sin(beta), 0.0, a * cos(beta)], [b_plane, b_height, b * cos(alpha)], [0.0, 0.0, c]])


def read_sites(
    block: Block, lattice: NDArray[np.float64], formula: frozenset[str]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return atomic numbers (n,) and fractional coordinates (n, 3) of the sites as listed.

    formula: the elements of the file's formula, if it has one; they settle labels that may mean two.
    """
    tags = FRACTIONAL_TAGS if FRACTIONAL_TAGS[0] in block else CARTESIAN_TAGS
    columns = _occupied(block.columns(tags[0]))
    labels = columns.get("_atom_site_label")
    symbols = columns.get("_atom_site_type_symbol")
    names = symbols if labels is None else labels
    if names is None:
        raise UnreadableError("the atoms have neither _atom_site_type_symbol nor _atom_site_label")
    numbers = np.array(_atomic_numbers(symbols or ["?"] * len(names), names, formula), np.uint8)
    coordinates = _coordinates(columns, tags, names)
    if tags is CARTESIAN_TAGS:
        coordinates = _fractional(block, coordinates, lattice)
    return numbers, coordinates


def _atomic_numbers(symbols: list[str], names: list[str], formula: frozenset[str]) -> list[int]:
    """The atomic number of each site, from its symbol, or from its name where the symbol is unknown."""
    if UNKNOWN.isdisjoint(symbols):
        known = {
            symbol: atomic_number(symbol, is_label=False, formula=formula)
            for symbol in dict.fromkeys(symbols)
        }
        return [known[symbol] for symbol in symbols]
    return [
        atomic_number(name, is_label=True, formula=formula)
        if symbol in UNKNOWN
        else atomic_number(symbol, is_label=False, formula=formula)
        for symbol, name in zip(symbols, names, strict=True)
    ]


def _coordinates(
    columns: dict[str, list[str]], tags: tuple[str, ...], names: list[str]
) -> NDArray[np.float64]:
    rows = [columns.get(tag, ["?"] * len(names)) for tag in tags]
    try:
        transposed = np.array(rows, np.float64)
    except ValueError:  # standard uncertainties, quotes or unknowns
        transposed = np.empty((3, len(names)))
        for axis, tag in enumerate(tags):
            pairs = zip(rows[axis], names, strict=True)
            transposed[axis] = [number(text, f"{tag} of {name}") for text, name in pairs]
    return np.ascontiguousarray(transposed.T)


def _fractional(
    block: Block, cartesian: NDArray[np.float64], lattice: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return fractional coordinates of Cartesian ones.

    The file's matrix tells the axes, from _atom_sites_Cartn_tran_matrix or its inverse; without one they are
    those of the Protein Data Bank, a along x and b in the xy plane.
    """
    to_cartesian = _matrix(block, "_atom_sites_cartn_tran", "_atom_sites_cartn_transf")
    if to_cartesian is not None:
        rotation, shift = to_cartesian
        if abs(np.linalg.det(rotation)) < 1e-9:
            raise UnreadableError("_atom_sites_Cartn_tran_matrix has no inverse")
        return np.ascontiguousarray(np.linalg.solve(rotation, (cartesian - shift).T).T)
    to_fractional = _matrix(block, "_atom_sites_fract_tran", "_atom_sites_fract_transf")
    if to_fractional is not None:
        rotation, shift = to_fractional
        return np.ascontiguousarray(cartesian @ rotation.T + shift)
    try:
        triangle = np.linalg.cholesky(lattice @ lattice.T)  # the lattice on those axes
    except np.linalg.LinAlgError:
        raise UnreadableError("the cell has no volume") from None
    return np.ascontiguousarray(np.linalg.solve(triangle.T, cartesian.T).T)


def _matrix(block: Block, *prefixes: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The matrix (3, 3) and vector (3,) of a change of axes; None if the file does not have it."""
    for prefix in prefixes:
        if f"{prefix}_matrix_11" in block:
            tags = [[f"{prefix}_matrix_{row}{column}" for column in "123"] for row in "123"]
            matrix = [[number(block.value(tag), tag) for tag in row] for row in tags]
            names = [f"{prefix}_vector_{row}" for row in "123"]
            vector = [number(block.value(name), name) if name in block else 0.0 for name in names]
            return np.array(matrix), np.array(vector)
    return None


def _occupied(columns: dict[str, list[str]]) -> dict[str, list[str]]:
    """The columns without dummy and empty sites; an occupancy other than 0 and 1 is an error."""
    flags = columns.get("_atom_site_calc_flag", [])
    if "dum" in flags:
        columns = _rows(columns, [flag != "dum" for flag in flags])
    occupancies = columns.get("_atom_site_occupancy", [])
    if _FULL_OCCUPANCY.issuperset(occupancies):
        return columns
    labels = columns.get("_atom_site_label") or columns.get("_atom_site_type_symbol") or occupancies
    keep = []
    for text, label in zip(occupancies, labels, strict=True):
        occupancy = 1.0 if text in UNKNOWN else number(text, f"the occupancy of {label}")
        if not (occupancy <= 0 or abs(occupancy - 1) <= _OCCUPANCY_TOLERANCE):
            kind = "partial" if occupancy < 1 else "impossible"
            raise UnreadableError(f"{kind} occupancy: {label} has {occupancy:g}, and every site must have 1")
        keep.append(occupancy > 0)
    return columns if all(keep) else _rows(columns, keep)


def _rows(columns: dict[str, list[str]], keep: list[bool]) -> dict[str, list[str]]:
    return {tag: list(compress(column, keep)) for tag, column in columns.items()}
