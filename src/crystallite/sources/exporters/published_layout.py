"""Exporting a dataset to the layout of the published CGCNN code."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...computing.progress import progress_bar
from ...crystals.crystal import Crystal
from ...crystals.elements import feature_table, symbols
from ...datasets.dataset import Dataset
from ...errors import CrystalliteError, shortened

UNSAFE = set('<>:"/\\|?*') | {chr(code) for code in range(32)}  # in a file name, on one system or another
OTHER_SEPARATORS = set(";\t")  # of columns, in tables of other programs
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
    try:
        _fill(folder, lambda unfinished: _write_all(dataset, ids, chosen, values, unfinished))
    except OSError as error:
        raise CrystalliteError(f"cannot write {folder}: {error.strerror or error}") from error
    return len(ids)


def cif_text(crystal: Crystal, name: str) -> str:
    """Return a CIF of the crystal with all atoms listed and no symmetry (P1), exact to 1e-10.

    The cell's orientation is not kept. A coordinate within 1e-4 of 1/3 or 2/3 is written one cell further
    (1.333333), since readers take 0.333333 for 1/3 and would move the atom.
    """
    lines = [f"data_{re.sub('[^A-Za-z0-9_.+-]', '_', name)}", "_symmetry_space_group_name_H-M 'P 1'"]
    lines += [f"_cell_{tag} {value:.12g}" for tag, value in _cell_parameters(crystal.lattice)]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz", "'x, y, z'", "loop_", "_atom_site_label"]
    lines += ["_atom_site_type_symbol", *(f"_atom_site_fract_{axis}" for axis in "xyz")]
    lines += ["_atom_site_occupancy", *_site_lines(crystal)]
    return "\n".join(lines) + "\n"


def _fill(folder: Path, write: Callable[[Path], None]) -> None:
    """Have `write` fill a new or an empty folder, or leave it as it was."""
    is_new = not folder.exists()
    unfinished = folder.with_name(f".{folder.name}-unfinished") if is_new else folder / ".unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)  # of an export that was killed
    if not is_new and not (folder.is_dir() and not any(folder.iterdir())):
        raise CrystalliteError(f"{folder}: exists and is not empty; choose a new folder")
    try:
        unfinished.mkdir(parents=True)
        write(unfinished)
        if is_new:
            unfinished.replace(folder)
            return
        for path in sorted(unfinished.iterdir(), key=lambda path: path.name == LISTING):
            path.replace(folder / path.name)  # the listing last: it makes a dataset of the folder
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


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


def _cell_parameters(lattice: NDArray[np.float64]) -> Iterator[tuple[str, float]]:
    lengths = np.linalg.norm(lattice, axis=1)
    for axis, length in zip("abc", lengths, strict=True):
        yield f"length_{axis}", length
    for angle, first, second in (("alpha", 1, 2), ("beta", 0, 2), ("gamma", 0, 1)):
        cross = np.linalg.norm(np.cross(lattice[first], lattice[second]))
        yield f"angle_{angle}", float(np.degrees(np.arctan2(cross, lattice[first] @ lattice[second])))


def _site_lines(crystal: Crystal) -> Iterator[str]:
    coords = crystal.frac_coords - np.floor(crystal.frac_coords)
    near_third = (np.abs(coords * 3 - 1) < 2e-4) | (np.abs(coords * 1.5 - 1) < 2e-4)
    exact_third = (coords == 1 / 3) | (coords == 2 / 3)
    coords = coords + (near_third & ~exact_third)
    names = symbols()
    for site, (number, (x, y, z)) in enumerate(zip(crystal.numbers.tolist(), coords.tolist(), strict=True)):
        yield f"{names[number]}{site + 1} {names[number]} {x:.12f} {y:.12f} {z:.12f} 1"
