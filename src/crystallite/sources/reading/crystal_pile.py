"""Crystals that come one at a time, of any number: packed, and in a mapped file where there are many."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from functools import cached_property
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...crystals.crystal import CrystalArrays
from ...errors import CrystalError, WriteError
from ...files.caching import cache_folder
from .record import CrystalResult

IN_MEMORY = 64 << 20  # bytes of coordinates; a nameless file of the cache folder takes more
_COLUMNS = {"lattice": (3, 3), "numbers": (), "frac_coords": (3,)}
_KINDS = {"lattice": np.float64, "numbers": np.uint8, "frac_coords": np.float64}


class CrystalPile:
    """Crystals in the order they came, each at its place from 0; what cannot be used has a place, too.

    bad: place -> why there is no crystal.
    """

    def __init__(self, results: Iterable[CrystalResult] = ()) -> None:
        self.bad: dict[int, CrystalError] = {}
        self._n_atoms = array("i")
        self._length = 0
        self._files = {name: _temporary_file() for name in _COLUMNS}
        for result in results:
            self.add(result)

    def __len__(self) -> int:
        return self._length

    def add(self, result: CrystalResult) -> None:
        """Add a crystal, or why there is none; not after `arrays` was asked for."""
        if isinstance(result, CrystalError):
            self.bad[self._length] = result
        else:
            self._n_atoms.append(len(result))
            try:
                for name, file in self._files.items():
                    file.write(np.ascontiguousarray(getattr(result, name), _KINDS[name]).tobytes())
            except OSError as error:
                raise WriteError(
                    f"cannot keep crystals in {cache_folder()}: {error.strerror or error}; "
                    "choose another folder with CRYSTALLITE_CACHE"
                ) from error
        self._length += 1

    @cached_property
    def arrays(self) -> CrystalArrays:
        """The crystals that can be used, in order, not to be written to."""
        offsets = np.zeros(len(self._n_atoms) + 1, np.int64)
        np.cumsum(self._n_atoms, out=offsets[1:])
        lattices, numbers, coords = (
            _content(file, _KINDS[name]).reshape(-1, *_COLUMNS[name]) for name, file in self._files.items()
        )
        return CrystalArrays(lattices, offsets, numbers, coords)

    def arranged(self, places: Sequence[int | CrystalError]) -> CrystalPile:
        """Return a pile of what is at these places, or of why there is nothing."""
        if len(places) == len(self) and all(place == k for k, place in enumerate(places)):
            return self
        pile = CrystalPile()
        rows = np.cumsum([place not in self.bad for place in range(len(self))]) - 1
        for place in places:
            if isinstance(place, CrystalError):
                pile.add(place)
            else:
                pile.add(self.bad.get(place) or self.arrays.crystal(int(rows[place])))
        return pile


def _temporary_file() -> SpooledTemporaryFile[bytes]:
    """Return a file without a name, so that it is gone when the process is, however it ends."""
    folder: str | None
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        folder = str(cache_folder())
    except OSError:
        folder = None  # the system's
    return SpooledTemporaryFile(IN_MEMORY, dir=folder)


def _content(file: SpooledTemporaryFile[bytes], kind: Any) -> NDArray[Any]:
    """Return the numbers in a file, mapped if it is on disk."""
    if file.tell() > IN_MEMORY:
        file.flush()
        mapped: Any = file
        return np.memmap(mapped, kind, "r").view(np.ndarray)
    file.seek(0)
    return np.frombuffer(file.read(), kind)
