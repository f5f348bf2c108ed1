"""The datasets that come with the package. scripts/make_builtin_data.py makes their files."""

from __future__ import annotations

from pathlib import Path

from ..errors import CrystalliteError, suggestion

PREFIX = "builtin:"  # before the name of a built-in dataset: never a file or a folder
BUILTIN = {
    "elastic": "1,181 inorganic crystals: bulk and shear modulus (GPa), Poisson ratio",
    "formation": "3,938 inorganic crystals: formation energy (eV/atom)",
    "dielectric": "1,056 inorganic crystals: band gap (eV), refractive index",
}


def builtin_path(name: str) -> Path:
    """Return the Parquet file of the built-in dataset `name`; KeyError if there is none of that name."""
    if name not in BUILTIN:
        raise KeyError(name)
    return Path(__file__).parents[1] / "data" / f"{name}.parquet"


def builtin_name(word: str | Path) -> str | None:
    """Return the built-in dataset that `word` names, with or without `builtin:` before it, or None.

    A Path never names one. Raises CrystalliteError for builtin: before another name, and for a name that is
    also that of a file or folder here.
    """
    if not isinstance(word, str):
        return None
    if word.startswith(PREFIX):
        name = word.removeprefix(PREFIX)
        if name not in BUILTIN:
            raise CrystalliteError(f"no built-in dataset {name!r}{suggestion(name, list(BUILTIN))}")
        return name
    if word in BUILTIN and Path(word).exists():
        what = "folder" if Path(word).is_dir() else "file"
        raise CrystalliteError(
            f"{word} is both a built-in dataset and a {what} here: "
            f"write {PREFIX}{word} for the dataset, ./{word} for the {what}"
        )
    return word if word in BUILTIN else None
