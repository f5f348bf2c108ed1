"""Reads POSCAR and CONTCAR files of VASP (5 and later; of VASP 4 where the file says the elements somewhere).

Format: https://www.vasp.at/wiki/index.php/POSCAR. Selective dynamics, velocities and what follows are not
kept.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...crystals.crystal import MAX_ATOMS, Crystal, check_crystal, fractional
from ...crystals.elements import number_of
from ...errors import CrystalError, CrystalliteError
from .archive_stream import unpacked
from .input_file import as_crystal_error, text_of


class _PoscarError(Exception):
    """Why a file is no POSCAR, with its line."""


def read_poscar(path: Path) -> Crystal:
    """Read the crystal of a POSCAR; fractional coordinates are those of the file, if it has them.

    D and T are read as H. Raises CrystalError naming the file, and the line and what is wrong in it.
    """
    source = str(path)
    try:
        text = text_of(unpacked(path))[0]
    except CrystalliteError as error:
        raise as_crystal_error(error, source) from None
    return parse_poscar(text, source)


def parse_poscar(text: str, source: str) -> Crystal:
    """Return the crystal of the text of a POSCAR; see `read_poscar`."""
    try:
        crystal = _crystal(_Lines(text.splitlines()), source)
    except _PoscarError as error:
        raise CrystalError(source, f"not a readable POSCAR, {error}") from None
    check_crystal(crystal, source)
    return crystal


class _Lines:
    """The lines of a file, taken one after another."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self.number = 0

    def take(self, what: str) -> list[str]:
        """Return the words of the next line."""
        self.number += 1
        if self.number > len(self._lines):
            raise _PoscarError(f"line {self.number}: {what} expected, the file ends")
        return self._lines[self.number - 1].split()

    def numbers(self, count: int, what: str) -> list[float]:
        """Return the first `count` numbers of the next line."""
        words = self.take(what)
        values = _reals(words[:count])
        if len(values) < count or not np.isfinite(values).all():
            raise self.problem(f"{what} expected, found {' '.join(words) or 'nothing'}")
        return values

    def problem(self, why: str) -> _PoscarError:
        """Return an error about the line just taken."""
        return _PoscarError(f"line {self.number}: {why[:200]}")


def _real(word: str) -> float:
    """Return a number as Fortran writes it: 1.5, 1.5E-3, 1.5D-3."""
    return float(word.replace("D", "E").replace("d", "e"))


def _reals(words: list[str]) -> list[float]:
    """Return the numbers; none if one of the words is no number."""
    try:
        return [_real(word) for word in words]
    except ValueError:
        return []


def _crystal(lines: _Lines, source: str) -> Crystal:
    comment = lines.take("a comment")
    scales = _scales(lines)
    lattice = np.array([lines.numbers(3, "a lattice vector, three numbers") for _ in "abc"])
    names, counts = _species(lines, comment)
    mode = lines.take("Direct or Cartesian")
    if mode and mode[0][0] in "sS":
        mode = lines.take("Direct or Cartesian")
    cartesian = bool(mode) and mode[0][0] in "cCkK"
    coords, trailing = _sites(lines, sum(counts))
    if names is None:
        names = _names_of_sites(trailing, counts, lines)
    numbers = np.repeat([_number(name) for name in names], counts).astype(np.uint8)
    factors = _factors(scales, lattice, lines)
    lattice = lattice * factors
    if cartesian:
        coords = fractional(coords * factors, lattice, source)
    return Crystal(numbers, lattice, coords)


def _scales(lines: _Lines) -> list[float]:
    """Return one scale, negative if it is a volume, or three."""
    words = lines.take("the scale of the cell")
    scales = [] if not words else _reals(words[:3]) or _reals(words[:1])
    if len(scales) not in {1, 3} or not np.isfinite(scales).all() or 0 in scales:
        raise lines.problem(f"the scale of the cell expected, one number or three, found {' '.join(words)}")
    return scales


def _factors(scales: list[float], lattice: NDArray[np.float64], lines: _Lines) -> NDArray[np.float64]:
    """Return the factors of the Cartesian axes."""
    volume = abs(float(np.linalg.det(lattice)))
    if not volume:
        raise _PoscarError("lines 3 to 5: the cell has no volume")
    if len(scales) == 3:
        return np.array(scales)
    return np.full(3, scales[0] if scales[0] > 0 else (-scales[0] / volume) ** (1 / 3))


def _species(lines: _Lines, comment: list[str]) -> tuple[list[str] | None, list[int]]:
    """Return the names, of VASP 4 those in the comment or None, and the number of atoms of each."""
    words = lines.take("names of elements")
    if words and not words[0].isdecimal():
        names: list[str] | None = words
        counts = _counts(lines.take("numbers of atoms"), lines)
        if len(counts) != len(words):
            raise lines.problem(f"{len(counts)} numbers of atoms for {len(words)} names of elements")
        return names, counts
    counts = _counts(words, lines)
    known = len(comment) >= len(counts) and all(_known(name) for name in comment[: len(counts)])
    return (comment[: len(counts)] if known else None), counts


def _counts(words: list[str], lines: _Lines) -> list[int]:
    numeric = []
    for word in words:
        if not word.isdecimal():
            break
        numeric.append(word)
    if not numeric:
        raise lines.problem(f"numbers of atoms expected, found {' '.join(words) or 'nothing'}")
    counts = [int(word[:12]) for word in numeric]
    if not 0 < sum(counts) <= MAX_ATOMS:
        raise lines.problem(f"{sum(counts):,} atoms; there are 1 to {MAX_ATOMS:,}")
    return counts


def _sites(lines: _Lines, n_atoms: int) -> tuple[NDArray[np.float64], list[list[str]]]:
    """Return the coordinates, and the words after them."""
    coords, trailing = [], []
    for atom in range(n_atoms):
        try:
            words = lines.take("coordinates")
        except _PoscarError:
            raise lines.problem(f"{n_atoms:,} atoms announced, {atom:,} found") from None
        if not words:
            raise lines.problem(f"{n_atoms:,} atoms announced, {atom:,} found")
        try:
            coords.append([_real(word) for word in words[:3]])
        except ValueError:
            raise lines.problem(f"three coordinates expected, found {' '.join(words)}") from None
        if len(words) < 3:
            raise lines.problem(f"three coordinates expected, found {' '.join(words)}")
        trailing.append(words[3:])
    return np.array(coords), trailing


def _names_of_sites(trailing: list[list[str]], counts: list[int], lines: _Lines) -> list[str]:
    """Return the names of the elements where only the lines of the atoms have them (VASP 4)."""
    starts = np.cumsum([0, *counts])[:-1].tolist()
    rows = [trailing[min(start, len(trailing) - 1)] for start in starts]  # an element may have no atoms
    names = [next((word for word in words if _known(word)), "") for words in rows]
    if "" in names:
        raise _PoscarError("line 6: no names of elements (VASP 4); write them above the numbers of atoms")
    for start, count, name in zip(starts, counts, names, strict=True):
        if any(name not in words for words in trailing[start : start + count]):
            raise _PoscarError("line 6: no names of elements (VASP 4), and those beside the atoms do not fit")
    return names


def _symbol(name: str) -> str:
    """Return the element in a name such as Fe_pv, Ti/1a2b3c or O2-."""
    return re.split(r"[_/.0-9+-]", name, maxsplit=1)[0]


def _known(name: str) -> bool:
    return number_of(_symbol(name)) is not None


def _number(name: str) -> int:
    number = number_of(_symbol(name))
    if number is None:
        raise _PoscarError(f"line 6: unknown element {name}")
    return number
