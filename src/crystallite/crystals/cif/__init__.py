"""Reads crystals from CIF files, symmetry expanded, as pymatgen's CifParser reads them but much faster.

What counts as a crystal: a data block with a cell and a loop of fractional or Cartesian coordinates.
Symmetry comes from the listed operations, else the Hall or Hermann-Mauguin symbol, else the number, else P1
if the file says nothing about it. A symbol without a setting means origin choice 1 and the axes that keep
the cell's metric.

Where this differs from pymatgen on purpose:
- Images of one site closer than MIN_DISTANCE are one atom; pymatgen merges within 1e-4 of a cell edge and
  otherwise returns the atom twice (x, 2x sites with rounded coordinates).
- Without listed operations, Hall symbols, settings (":2", ":R", coordinate system codes), full and short
  symbols and rhombohedral cells are understood; pymatgen falls back to P1 or hexagonal axes. It takes origin
  choice 2 for the older names of Ccce.
- An unknown group, operation or coordinate is an error, and so are operations that are no group or do not fit
  the cell; pymatgen may read P1, zeros or the next block.
- Partial occupancy and atoms closer than MIN_DISTANCE are errors, also where halves of one element add up.
- What the file says twice is compared: formula and atoms, named group and operations. A difference is a
  notice (notices.CrystalNotice).
- Sites flagged as dummies are left out; an occupancy of "." means 1; hydroxyl sites "OH" are O.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import CrystalError
from ...files.distinct_names import DistinctNames
from ...files.writing import not_regular
from ..crystal import MAX_ATOMS, Crystal, OverlapError, check_crystal
from ..notices import CrystalNotice, notify
from .blocks import Block, UnreadableError
from .composition import compare, read_formula
from .images import expanded, on_special_positions, snap_to_thirds
from .operations import Group
from .sites import CARTESIAN_TAGS, FRACTIONAL_TAGS, LENGTH_TAGS, lattice_of, read_cell, read_sites
from .symmetry import find_group
from .text import read_blocks

MAX_BYTES = 100_000_000  # of a file; those of proteins have a tenth of this
_CHUNK = 1 << 14  # bytes read at once: most CIFs are smaller
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # on Windows alone there is another way to read

__all__ = ["each_cif", "parse_cif", "parse_cifs", "read_cif", "read_cifs"]


def read_cif(path: str | Path) -> Crystal:
    """Read the crystal of a CIF file; of several the first, with a notice.

    Args:
        path: a file in UTF-8 or, as old files are, Latin-1.

    Returns:
        All atoms of the cell, symmetry expanded. Fractional coordinates lie in [0, 1); the lattice, in Å, has
        c along z and a in the xz plane, as in pymatgen. D and T are read as H.

    Raises:
        CrystalError: naming the path, if the file cannot be read, is no CIF, lacks a cell or atoms, or has
            partial occupancies, unknown elements, symmetry or coordinates, no volume, or atoms closer than
            0.5 Å.
    """
    source = str(path)
    return parse_cif(_text(source), source)


def read_cifs(path: str | Path) -> list[tuple[str, Crystal | CrystalError]]:
    """Read all crystals of a CIF file; see `parse_cifs`."""
    source = str(path)
    return parse_cifs(_text(source), source)


def parse_cif(text: str, source: str) -> Crystal:
    """Return the crystal that the text of a CIF describes, with all atoms of the cell.

    frac_coords lie in [0, 1); lattice has c along z and a in the xz plane, as in pymatgen. D and T are read
    as H. What is odd but no error is told as a CrystalNotice. Raises CrystalError naming `source` if the text
    is no CIF, lacks a cell or atoms, has partial occupancies, unknown elements, symmetry or coordinates, no
    volume, or atoms closer than MIN_DISTANCE.
    """
    blocks, reason = _structure_blocks(text, source)
    crystal, notices = _crystal(blocks[0], source, reason)
    if len(blocks) > 1:
        names = ", ".join(block.name for block in blocks)
        notices.append(CrystalNotice(source, "several structures, only the first is read", names))
    notify(notices)
    return crystal


def parse_cifs(text: str, source: str) -> list[tuple[str, Crystal | CrystalError]]:
    """Return every structure of the text of a CIF: the name of its block, and the crystal or why it is none.

    Names are there once: of several blocks of one name the later ones get a number. Raises CrystalError
    naming `source` if the text is no CIF or has no structure.
    """
    return list(_each(*_structure_blocks(text, source), source))


def each_cif(text: str, source: str) -> Iterator[tuple[str, Crystal | CrystalError]]:
    """Yield what `parse_cifs` returns, one after another; of a single structure the name is ""."""
    blocks, reason = _structure_blocks(text, source)
    for name, crystal in _each(blocks, reason, source):
        yield (name if len(blocks) > 1 else ""), crystal


def _each(blocks: list[Block], reason: str, source: str) -> Iterator[tuple[str, Crystal | CrystalError]]:
    distinct = DistinctNames()
    for block in blocks:
        name = distinct.of(block.name)
        place = source if len(blocks) == 1 else f"{source}, block {name}"
        try:
            crystal, notices = _crystal(block, place, reason)
        except CrystalError as error:
            yield name, error
            continue
        notify(notices)
        yield name, crystal


def _text(path: str) -> str:
    reason = not_regular(path)
    if reason:
        raise CrystalError(path, f"cannot read the file: {reason}")
    try:
        data = _bytes(path)
    except OSError as error:
        raise CrystalError(path, f"cannot read the file: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise CrystalError(path, f"larger than any CIF: more than {MAX_BYTES:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _bytes(path: str) -> bytes:
    """The bytes of a file, more than MAX_BYTES if it has more; in few calls: it runs for every file."""
    descriptor = os.open(path, _READ)
    try:
        chunks = [os.read(descriptor, _CHUNK)]
        room = MAX_BYTES - len(chunks[0])
        while chunks[-1] and room >= 0:
            chunks.append(os.read(descriptor, _CHUNK))
            room -= len(chunks[-1])
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def _structure_blocks(text: str, source: str) -> tuple[list[Block], str]:
    """The data blocks with a cell and atoms, and why gemmi refuses the text ("" if it does not)."""
    try:
        blocks, reason = read_blocks(text)
    except UnreadableError as problem:
        raise CrystalError(source, str(problem)) from None
    with_atoms = [block for block in blocks if FRACTIONAL_TAGS[0] in block or CARTESIAN_TAGS[0] in block]
    found = [block for block in with_atoms if not block.isdisjoint(LENGTH_TAGS)]
    if not found:
        missing = "no unit cell" if with_atoms else "no atoms (no loop of _atom_site_fract_x)"
        raise CrystalError(source, reason or missing)
    return found, reason


def _crystal(block: Block, source: str, reason: str) -> tuple[Crystal, list[CrystalNotice]]:
    """The crystal of a block, and what is odd about it."""
    try:
        block.check()
        lattice = lattice_of(*read_cell(block))
        formula = read_formula(block)
        numbers, sites = read_sites(block, lattice, formula.elements)
        if len(sites) > MAX_ATOMS:
            raise UnreadableError(f"more than {MAX_ATOMS:,} atoms")
        group, doubt = find_group(block, lattice)
        snap_to_thirds(sites)
        crystal, merged = _checked(numbers, sites, group, lattice, source)
        difference = compare(formula, crystal.numbers)
        if difference and difference.factor != 1 and doubt:
            raise UnreadableError(f"{doubt}; {difference.text}")
    except UnreadableError as problem:
        raise CrystalError(source, str(problem)) from None
    odd = {"symmetry": doubt, "atoms and formula differ": difference.text if difference else ""}
    if difference or not formula.counts:
        odd["images of one site are one atom"] = merged
    return crystal, [CrystalNotice(source, kind, detail) for kind, detail in odd.items() if detail]


def _checked(
    numbers: NDArray[np.uint8],
    sites: NDArray[np.float64],
    group: Group,
    lattice: NDArray[np.float64],
    source: str,
) -> tuple[Crystal, str]:
    """The crystal, and which atoms were closer than MIN_DISTANCE to their images and are one now."""
    crystal = _filled(numbers, sites, group, lattice)
    try:
        check_crystal(crystal, source)
    except OverlapError as error:
        moved = on_special_positions(sites, group, lattice) if len(group) > 1 else sites
        if np.array_equal(moved, sites):
            raise
        n_before = len(crystal)
        crystal = _filled(numbers, moved, group, lattice)
        check_crystal(crystal, source)
        return crystal, f"{len(crystal):,} atoms instead of {n_before:,}, as {error.reason.partition(';')[0]}"
    return crystal, ""


def _filled(
    numbers: NDArray[np.uint8], sites: NDArray[np.float64], group: Group, lattice: NDArray[np.float64]
) -> Crystal:
    """The crystal with the images of all sites, in [0, 1)."""
    if len(group) == 1:
        return Crystal(numbers, lattice, sites - np.floor(sites))
    frac_coords, site_of = expanded(sites, group, lattice)
    frac_coords -= np.floor(frac_coords)
    return Crystal(numbers[site_of], lattice, frac_coords)
