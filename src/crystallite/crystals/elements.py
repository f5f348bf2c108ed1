"""The 92-long 0/1 description of each chemical element that the network starts from.

The bins are those of the published code's `atom_init.json` (github txie-93/cgcnn, MIT licence; supplement of
Xie and Grossman 2018, table S1): one-hot over group (19), period (7), electronegativity (10), covalent
radius (10), valence electrons (12), first ionisation energy (10), electron affinity (10), block (4) and
atomic volume (10). A property unknown for an element sets no bit.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

PROPERTIES = {
    "group": 19,
    "period": 7,
    "electronegativity": 10,
    "covalent_radius": 10,
    "valence_electrons": 12,
    "first_ionization_energy": 10,
    "electron_affinity": 10,
    "block": 4,
    "atomic_volume": 10,
}
N_FEATURES = sum(PROPERTIES.values())
_ISOTOPES = {"D": 1, "T": 1}


@cache
def feature_table() -> NDArray[np.uint8]:
    """Return the (101, 92) table; row = atomic number, row 0 is empty."""
    rows = _element_rows()
    table = np.zeros((len(rows) + 1, N_FEATURES), dtype=np.uint8)
    for row in rows:
        start = 0
        for name, n_bins in PROPERTIES.items():
            if row[name]:
                table[int(row["atomic_number"]), start + int(row[name])] = 1
            start += n_bins
    table.flags.writeable = False
    return table


@cache
def symbols() -> tuple[str, ...]:
    """Return chemical symbols by atomic number; entry 0 is empty."""
    return ("", *(row["symbol"] for row in _element_rows()))


@cache
def atomic_numbers() -> dict[str, int]:
    """Return atomic numbers by chemical symbol."""
    return {symbol: number for number, symbol in enumerate(symbols()) if symbol}


def number_of(symbol: str) -> int | None:
    """Return the atomic number of a symbol, that of hydrogen for its isotopes D and T; None if unknown."""
    return atomic_numbers().get(symbol) or _ISOTOPES.get(symbol)


@cache
def _element_rows() -> list[dict[str, str]]:
    text = files("crystallite").joinpath("data/elements.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
