"""Properties of the chemical elements as numbers; scripts/make_element_properties.py names their sources."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

# In the order of the table's columns. Radii in Å, energies in eV, volumes in cm³/mol, masses in u.
PROPERTIES = (
    "atomic_number", "group", "period", "block", "valence_electrons", "electronegativity",
    "ionization_energy", "electron_affinity", "covalent_radius", "molar_volume", "atomic_mass",
)  # fmt: skip

UNITS = {
    "ionization_energy": "eV", "electron_affinity": "eV", "covalent_radius": "Å", "molar_volume": "cm³/mol",
    "atomic_mass": "u",
}  # fmt: skip


@cache
def element_properties() -> NDArray[np.float64]:
    """Return the (101, properties) table; row = atomic number, row 0 is of no element."""
    text = files("crystallite").joinpath("data/element_properties.csv").read_text(encoding="utf-8")
    table = np.full((101, len(PROPERTIES)), np.nan)
    for row in csv.DictReader(text.splitlines()):
        table[int(row["atomic_number"])] = [float(row[name]) for name in PROPERTIES]
    table.flags.writeable = False
    return table


def element_property(name: str) -> NDArray[np.float64]:
    """Return (101,) one of PROPERTIES by atomic number."""
    return element_properties()[:, PROPERTIES.index(name)]
