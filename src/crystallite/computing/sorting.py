"""Sorting inside compiled loops: few keys by insertion, many byte by byte (a radix sort).

Bytes in which no two keys differ cost nothing but a look, and time grows with the number of keys alone.
"""

from __future__ import annotations

import numpy as np

from .compiled import compiled

_FEW_KEYS = 48  # up to this many are sorted by insertion
_BYTE = np.uint64(0xFF)


@compiled
def ascending(keys, start, stop, order, scratch):  # type: ignore[no-untyped-def]
    """Fill `order` with the positions start to stop, from the smallest key to the largest.

    keys: uint64. Equal ones stay in their order. scratch: of the size of `order`, written over.
    """
    if stop - start <= _FEW_KEYS:
        for position in range(start, stop):
            slot = position
            while slot > start and keys[order[slot - 1]] > keys[position]:
                order[slot] = order[slot - 1]
                slot -= 1
            order[slot] = position
        return
    differing = np.uint64(0)
    for position in range(start, stop):
        order[position] = position
        differing |= keys[position] ^ keys[start]
    slots = np.empty(256, np.int64)
    for byte in range(8):
        shift = np.uint64(8 * byte)
        if (differing >> shift) & _BYTE == 0:
            continue
        slots[:] = 0
        for position in range(start, stop):
            slots[(keys[position] >> shift) & _BYTE] += 1
        slot = start
        for value in range(256):
            slot, slots[value] = slot + slots[value], slot
        for position in range(start, stop):
            value = (keys[order[position]] >> shift) & _BYTE
            scratch[slots[value]] = order[position]
            slots[value] += 1
        for position in range(start, stop):
            order[position] = scratch[position]
