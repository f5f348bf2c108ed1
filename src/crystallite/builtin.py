"""The datasets that come with the package. scripts/make_builtin_data.py makes their files."""

from __future__ import annotations

from pathlib import Path

BUILTIN = {
    "elastic": "1,181 inorganic crystals: bulk and shear modulus (GPa), Poisson ratio",
    "formation": "3,938 inorganic crystals: formation energy (eV/atom)",
    "dielectric": "1,056 inorganic crystals: band gap (eV), refractive index",
}


def builtin_path(name: str) -> Path:
    """Return the Parquet file of the built-in dataset `name`; KeyError if there is none of that name."""
    if name not in BUILTIN:
        raise KeyError(name)
    return Path(__file__).parent / "data" / f"{name}.parquet"
