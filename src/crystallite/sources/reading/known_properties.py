"""Properties as the Materials Project and rcgcnn name them, put under the names and units used here.

Rcgcnn (github ricet8ur/rcgcnn) stores its moduli as k_vrh, g_vrh, k_voigt, ...: in its first archives k is
the bulk modulus and values are in GPa, in later ones names are swapped and values are natural logarithms.
Which, the archive itself tells: bulk and shear modulus of a crystal fix its Poisson ratio.

Energies: the Materials Project's energy_per_atom is corrected (for anions, and for mixing GGA with GGA+U),
uncorrected_energy_per_atom is the calculation's own. Its old interface had the latter alone, under two names:
final_energy_per_atom and energy_per_atom.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...datasets.schema import as_numpy, is_number

UNITS = {
    "formation_energy_per_atom": "eV/atom",
    "energy_per_atom": "eV/atom",
    "uncorrected_energy_per_atom": "eV/atom",
    "energy_above_hull": "eV/atom",
    "band_gap": "eV",
    "fermi_energy": "eV",
}
RENAMED = {
    "efermi": "fermi_energy",
    "homogeneous_poisson": "poisson_ratio",
    "final_energy_per_atom": "uncorrected_energy_per_atom",
}
AVERAGES = {"vrh": "", "voigt": "_voigt", "reuss": "_reuss"}  # end of the name there and here
MODULI = {f"{letter}_{average}" for letter in "kg" for average in AVERAGES}
LN_GPA = {
    "GPa": 0.0,
    "natural logarithms of GPa": 1.0,
    "log10(GPa)": np.log(10.0),
}  # factor to ln; 0: take ln
POISSON = ("homogeneous_poisson", "poisson_ratio")
DOUBTFUL = 1000  # GPa
AGREEMENT = 0.02  # of ln(K/G) with the Poisson ratio, which archives give with three decimals

Values = NDArray[np.float64]


class _Reading(NamedTuple):
    """One way to understand the moduli, and the part of the crystals whose Poisson ratio agrees."""

    swapped: bool
    unit: str
    agreeing: float


def with_known_names(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Return the table with our names, units as metadata of its fields, and notices of what was changed."""
    table, notices = _moduli(table)
    names = list(table.column_names)
    for old, new in RENAMED.items():
        if old in names and new not in names:
            names[names.index(old)] = new
            notices.append(f"{old} is now {new}")
    if "final_energy_per_atom" in table.column_names:
        notices += energy_notices([name for name in names if name == "energy_per_atom"])
    table = table.rename_columns(names)
    return with_units(table, UNITS), notices


def with_units(table: pa.Table, units: dict[str, str]) -> pa.Table:
    """Return the table with these units as metadata of its fields."""
    for name, unit in units.items():
        if name in table.column_names:
            place = table.column_names.index(name)
            field = pa.field(name, table.schema.field(name).type, metadata={"unit": unit})
            table = table.set_column(place, field, table[name])
    return table


def energy_notices(names: Sequence[str]) -> list[str]:
    """Return a notice if a column energy_per_atom may hold corrected energies or uncorrected ones."""
    if "energy_per_atom" not in names or "uncorrected_energy_per_atom" in names:
        return []
    return [
        "energy_per_atom is kept as it is, and the file does not say whether it is corrected: the Materials "
        "Project's is corrected today and was not in its old interface. The published model predicts "
        "uncorrected energies; if these are uncorrected, name them uncorrected_energy_per_atom"
    ]


def _moduli(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Replace columns k_vrh, g_vrh, ... by bulk_modulus, shear_modulus, ... in GPa and log10(GPa)."""
    found = [name for name in table.column_names if name in MODULI]
    empty = [name for name in found if table[name].null_count == len(table)]
    notices = [f"{', '.join(empty)}: no values, left out"] if empty else []
    table = table.drop_columns(empty)
    found = [name for name in found if name not in empty]
    if not found:
        return table, notices
    reading = _reading(table)
    if reading is None:
        return table, [
            *notices,
            f"{', '.join(found)}: kept as they are. Rcgcnn's archives differ in which of k and g is the bulk "
            "modulus and in the unit, and without k_vrh, g_vrh and homogeneous_poisson that agree nothing "
            "tells which; see docs/archives.md",
        ]
    swapped, unit, agreeing = reading
    columns = _readable_moduli(table, found, swapped, unit)
    table = table.drop_columns(found)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values, pa.float64(), from_pandas=True))
    table = with_units(table, {name: "log10(GPa)" if name.startswith("log10") else "GPa" for name in columns})
    meaning = "k is the shear, g the bulk modulus" if swapped else "k is the bulk, g the shear modulus"
    put_right = "put right as" if swapped or unit != "GPa" else "now"
    notices.append(
        f"{', '.join(found)}: {meaning} here, in {unit} (as the Poisson ratio of {agreeing:.1%} of the "
        f"crystals shows); {put_right} {', '.join(columns)}"
    )
    large = sum(int((values > DOUBTFUL).sum()) for name, values in columns.items() if name[:3] != "log")
    if large:
        notices.append(f"{large:,} moduli are above {DOUBTFUL:,} GPa (diamond: 443 and 535); they are kept")
    return table, notices


def _readable_moduli(table: pa.Table, found: list[str], swapped: bool, unit: str) -> dict[str, Values]:
    """Return moduli in GPa by our names, and log10 of the Voigt-Reuss-Hill averages."""
    columns = {}
    for name in found:
        letter, _, average = name.partition("_")
        ours = "bulk_modulus" if (letter == "k") != swapped else "shear_modulus"
        stored = _values(table, name)
        factor = LN_GPA[unit]
        with np.errstate(all="ignore"):
            modulus = stored if factor == 0 else np.exp(stored * factor)
            logarithm = np.log10(stored) if factor == 0 else stored * (factor / np.log(10.0))
        columns[f"{ours}{AVERAGES[average]}"] = modulus
        if average == "vrh":
            columns[f"log10_{ours}"] = np.where(np.isfinite(logarithm), logarithm, np.nan)
    return dict(sorted(columns.items(), key=lambda item: ("log10" in item[0], item[0])))


def _reading(table: pa.Table) -> _Reading | None:
    """Return the one reading that the Poisson ratio of most crystals supports: K/G = 2(1+ν)/(3(1-2ν))."""
    poisson = next((name for name in POISSON if name in table.column_names), "")
    if not poisson or not {"k_vrh", "g_vrh"} <= set(table.column_names):
        return None
    ratio, k, g = (_values(table, name) for name in (poisson, "k_vrh", "g_vrh"))
    usable = (ratio > -0.99) & (ratio < 0.49) & ~np.isnan(k) & ~np.isnan(g)
    ratio, k, g = ratio[usable], k[usable], g[usable]
    expected = np.log(2 * (1 + ratio) / (3 * (1 - 2 * ratio)))
    readings = []
    for unit, factor in LN_GPA.items():
        with np.errstate(all="ignore"):
            difference = np.log(k) - np.log(g) if factor == 0 else (k - g) * factor
        for swapped in (False, True):
            agree = np.abs((-difference if swapped else difference) - expected) < AGREEMENT
            readings.append(_Reading(swapped, unit, float(agree.mean()) if len(agree) else 0.0))
    best, second = sorted(readings, key=lambda reading: reading.agreeing)[:-3:-1]
    return best if best.agreeing > max(0.5, second.agreeing) else None


def _values(table: pa.Table, name: str) -> Values:
    column = table[name].combine_chunks()
    if not is_number(column.type):
        return np.full(len(column), np.nan)
    return as_numpy(column).astype(np.float64)
