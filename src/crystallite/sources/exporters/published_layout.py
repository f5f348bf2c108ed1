"""Exporting a dataset to the layout of the published CGCNN code."""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...computing.progress import progress_bar
from ...crystals.crystal import Crystal
from ...crystals.elements import feature_table, symbols
from ...datasets.dataset import Dataset
from ...errors import CrystalliteError, shortened
from ...files.writing import atomic_folder

UNSAFE = set('<>:"/\\|?*') | {chr(code) for code in range(32)}  # in a file name, on one system or another
OTHER_SEPARATORS = set(";\t")  # of columns, in tables of other programs
UNUSUAL = re.compile("[^A-Za-z0-9_.+-]")  # in the name of a CIF's block
LISTING = "id_prop.csv"
LONGEST_ID = 200  # characters; file names end at 255 bytes


def export_published(dataset: Dataset, folder: str | Path, target: str | None = None) -> int:
    """Write id_prop.csv, ID.cif and atom_init.json to a new `folder`; return how many crystals were written.

    target: the property to write; it may be left out if there is only one. Crystals whose value is missing
    are left out. The folder, or id_prop.csv in one that is there already, appears when everything is written.
    Raises CrystalliteError if the folder is not empty, or if ids are there twice or cannot be names of files.
    """
    folder = Path(folder)
    target = _target(dataset, target)
    values = dataset.values(target)
    chosen = np.flatnonzero(~np.isnan(values))
    if len(chosen) == 0:
        raise CrystalliteError(f"{target}: all values are missing, nothing to export")
    ids = [dataset.ids[index] for index in chosen]
    _check_ids(ids)
    with atomic_folder(folder, last=LISTING) as unfinished:  # the listing makes a dataset of the folder
        _write_all(dataset, ids, chosen, values, unfinished)
    return len(ids)


def cif_text(crystal: Crystal, name: str, coordinates: Sequence[str] | None = None) -> str:
    """Return a CIF of the crystal with all atoms listed and no symmetry (P1), exact to 1e-10.

    The cell's orientation is not kept. A coordinate within 1e-4 of 1/3 or 2/3 is written one cell further
    (1.333333), since readers take 0.333333 for 1/3 and would move the atom. coordinates: what
    `coordinate_texts` makes of the crystal's, where they are known already.
    """
    lines = [f"data_{UNUSUAL.sub('_', name)}", "_symmetry_space_group_name_H-M 'P 1'"]
    lines += [f"_cell_{tag} {value:.12g}" for tag, value in _cell_parameters(crystal.lattice.tolist())]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz", "'x, y, z'", "loop_", "_atom_site_label"]
    lines += ["_atom_site_type_symbol", *(f"_atom_site_fract_{axis}" for axis in "xyz")]
    lines.append("_atom_site_occupancy")
    elements = map(symbols().__getitem__, crystal.numbers.tolist())
    places = enumerate(coordinates or coordinate_texts(crystal.frac_coords), start=1)
    lines += [
        f"{element}{k} {element} {place} 1" for element, (k, place) in zip(elements, places, strict=True)
    ]
    return "\n".join(lines) + "\n"


def coordinate_texts(frac_coords: NDArray[np.float64]) -> list[str]:
    """Return the coordinates of n atoms, (n, 3), as a CIF has them."""
    coords = frac_coords - np.floor(frac_coords)
    near_third = (np.abs(coords * 3 - 1) < 2e-4) | (np.abs(coords * 1.5 - 1) < 2e-4)
    exact_third = (coords == 1 / 3) | (coords == 2 / 3)
    coords = coords + (near_third & ~exact_third)
    return [f"{x:.12f} {y:.12f} {z:.12f}" for x, y, z in coords.tolist()]


def _write_all(
    dataset: Dataset, ids: list[str], chosen: NDArray[np.int64], values: NDArray[np.float64], folder: Path
) -> None:
    with (folder / LISTING).open("w", encoding="utf-8", newline="") as file:
        plain = csv.writer(file, lineterminator="\n")
        quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for name, index in zip(ids, chosen, strict=True):
            writer = quoted if set(name) & OTHER_SEPARATORS else plain
            writer.writerow([name, repr(float(values[index]))])
    table = {str(number): row.tolist() for number, row in enumerate(feature_table()) if number}
    (folder / "atom_init.json").write_text(json.dumps(table), encoding="utf-8")
    pairs = zip(ids, chosen, strict=True)
    for name, index in progress_bar(pairs, doing="writing", unit="CIFs", total=len(ids)):
        text = cif_text(dataset.crystal(int(index)), name)
        (folder / f"{name}.cif").write_text(text, encoding="utf-8")


def _target(dataset: Dataset, target: str | None) -> str:
    if target is not None:
        return target
    if len(dataset.properties) != 1:
        names = ", ".join(dataset.properties) or "none"
        raise CrystalliteError(f"id_prop.csv has one property: choose it with --target (there are: {names})")
    return dataset.properties[0]


def _check_ids(ids: list[str]) -> None:
    twice = [name for name, count in Counter(name.casefold() for name in ids).items() if count > 1]
    if twice:
        raise CrystalliteError(f"repeated ids would share a file: {shortened(twice)}")
    unsafe = [name for name in ids if not _is_safe(name)]
    if unsafe:
        shown = shortened([repr(name) for name in unsafe])
        raise CrystalliteError(f"ids that cannot be names of files; rename them before exporting: {shown}")


def _is_safe(name: str) -> bool:
    """Whether NAME.cif is a file inside its folder on every system, and its id can be read back."""
    if not name or name[0] == "." or name != name.strip() or len(name.encode()) > LONGEST_ID:
        return False
    return not UNSAFE & set(name)


def _cell_parameters(lattice: Sequence[Sequence[float]]) -> Iterator[tuple[str, float]]:
    """Yield lengths (Å) and angles (degrees) of a cell; in plain numbers, as this runs for every CIF."""
    for axis, vector in zip("abc", lattice, strict=True):
        yield f"length_{axis}", math.hypot(*vector)
    for angle, first, second in (("alpha", 1, 2), ("beta", 0, 2), ("gamma", 0, 1)):
        (a, b, c), (x, y, z) = lattice[first], lattice[second]
        cross = math.hypot(b * z - c * y, c * x - a * z, a * y - b * x)
        yield f"angle_{angle}", math.degrees(math.atan2(cross, a * x + b * y + c * z))
