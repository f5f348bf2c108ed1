"""Make src/crystallite/data/element_properties.csv: what descriptors need to know of each chemical element.

    python scripts/make_element_properties.py

Sources: pymatgen (Ong et al., Comput. Mater. Sci. 68, 314, 2013; MIT) for Pauling electronegativities, first
ionisation energies (NIST), electron affinities, molar volumes and atomic masses; ASE (Larsen et al.,
J. Phys. Condens. Matter 29, 273002, 2017; LGPL) for the covalent radii of Cordero et al., Dalton Trans. 2832
(2008). A value that nobody lists is that of the nearest element of the same group, or else of the element
before: electronegativities of He, Ne and Ar, molar volumes of At, Fr and Fm. Elements beyond curium have no
radius there, and 2 Å in ASE.
"""

from __future__ import annotations

import csv
import math
import warnings
from pathlib import Path
from typing import Any

from ase.data import covalent_radii
from pymatgen.core import Element

PATH = Path(__file__).parents[1] / "src" / "crystallite" / "data" / "element_properties.csv"
COLUMNS = [
    "atomic_number", "symbol", "group", "period", "block", "valence_electrons", "electronegativity",
    "ionization_energy", "electron_affinity", "covalent_radius", "molar_volume", "atomic_mass",
]  # fmt: skip
CORE = ["He", "Ne", "Ar", "Kr", "Xe", "Rn"]  # noble gases, whose electrons are no valence electrons


def row_of(number: int) -> dict[str, Any]:
    element = Element.from_Z(number)
    cores = [Element(symbol).Z for symbol in CORE if number > Element(symbol).Z]
    valence = number - max(cores, default=0)
    if element.block == "p":  # filled d and f shells below are core
        valence -= {4: 10, 5: 10, 6: 24, 7: 24}.get(element.row, 0)
    elif element.block == "d":
        valence -= {6: 14, 7: 14}.get(element.row, 0)
    return {
        "atomic_number": number,
        "symbol": element.symbol,
        "group": element.group,
        "period": element.row,
        "block": "spdf".index(element.block) + 1,
        "valence_electrons": valence,
        "electronegativity": element.X,
        "ionization_energy": element.ionization_energies[0],
        "electron_affinity": element.electron_affinity,
        "covalent_radius": round(float(covalent_radii[number]), 4),
        "molar_volume": element.molar_volume,
        "atomic_mass": float(element.atomic_mass),
    }


def filled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give every element every value."""
    for name in COLUMNS[2:]:
        known = {row["atomic_number"]: row for row in rows if _is_known(row[name])}
        for row in rows:
            if row["atomic_number"] in known:
                row[name] = float(row[name])
                continue
            same = [other for other in known.values() if other["group"] == row["group"]]
            number = row["atomic_number"]
            is_rare_earth = row["block"] == 4
            nearest = (
                known[number - 1]
                if is_rare_earth
                else min(same, key=lambda other: abs(other["atomic_number"] - number))
            )
            row[name] = float(nearest[name])
    return rows


def _is_known(value: Any) -> bool:
    return value is not None and math.isfinite(float(value))


def main() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of elements without an electronegativity
        rows = filled([row_of(number) for number in range(1, 101)])
    with PATH.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for row in rows:
            shown = {k: f"{v:g}" if k in ("group", "period", "block") else v for k, v in row.items()}
            table.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in shown.items()})


if __name__ == "__main__":
    main()
