"""Frames of an extended XYZ file as they stand there, cut apart without being understood."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TextIO

from ...crystals.crystal import MAX_ATOMS
from ...errors import CrystalError, CrystalliteError


def each_frame(lines: TextIO, name: str) -> Iterator[str | CrystalError]:
    """Yield the text of each crystal: the number of its atoms, a comment, its atoms, ends of its cell.

    Empty lines between them do not count, and of one with more than MAX_ATOMS there is no text. Raises
    CrystalliteError naming the file `name` and the crystal where something else comes.
    """
    crystal, line = 0, lines.readline()
    while line:
        if line.isspace():
            line = lines.readline()
            continue
        crystal += 1
        place, words = f"{name}, crystal {crystal}", line.split()
        if len(words) != 1 or not words[0].isdecimal():
            raise CrystalliteError(f"{place}: not extended XYZ: no number of atoms")
        n_atoms = int(words[0][:18])
        frame, n_lines = [line], 0
        for text in islice(lines, n_atoms + 1):
            n_lines += 1
            if n_atoms <= MAX_ATOMS:
                frame.append(text)
        if n_lines <= n_atoms:
            raise CrystalliteError(f"{place}: {n_atoms:,} atoms announced, the file ends")
        while (line := lines.readline()).startswith("VEC"):  # ends of the cell, as old programs write them
            frame.append(line)
        is_too_large = n_atoms > MAX_ATOMS
        yield CrystalError(place, f"more than {MAX_ATOMS:,} atoms") if is_too_large else "".join(frame)
