"""Frames of an extended XYZ file as they stand there, cut apart without being understood."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TextIO

from ...errors import CrystalliteError


def each_frame(lines: TextIO, name: str) -> Iterator[str]:
    """Yield the text of each crystal: the number of its atoms, a comment, its atoms, ends of its cell.

    Raises CrystalliteError naming the file `name` and the crystal where something else comes.
    """
    crystal, line = 0, lines.readline()
    while line:
        crystal += 1
        words = line.split()
        if not words and not lines.read().strip():
            return
        if len(words) != 1 or not words[0].isdecimal():
            raise CrystalliteError(f"{name}, crystal {crystal}: not extended XYZ: no number of atoms")
        n_lines = int(words[0][:18]) + 1
        frame = [line, *islice(lines, n_lines)]
        if len(frame) <= n_lines:
            raise CrystalliteError(
                f"{name}, crystal {crystal}: {n_lines - 1:,} atoms announced, the file ends"
            )
        while (line := lines.readline()).startswith("VEC"):  # ends of the cell, as old programs write them
            frame.append(line)
        yield "".join(frame)
