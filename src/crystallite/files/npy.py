"""The headers of NumPy's .npy files, read without making the arrays that they promise."""

from __future__ import annotations

from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic
from numpy.typing import NDArray

_READERS = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}


# np.load makes the whole array that a header promises before it has seen the bytes for it.
class Header(NamedTuple):
    """What an .npy file says of its array: shape, whether columns come one after another, kind of numbers."""

    shape: tuple[int, ...]
    by_columns: bool
    kind: np.dtype[Any]

    def array(self, content: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the array over the memory of `content`, the bytes that follow the header."""
        return content.view(self.kind).reshape(self.shape, order="F" if self.by_columns else "C")


def read_header(file: IO[bytes]) -> Header:
    """Read the header and stop behind it; raises ValueError if it is none or of an unknown version."""
    version = read_magic(file)
    if version not in _READERS:
        raise ValueError(f"unknown version {version}")
    return Header(*_READERS[version](file))
