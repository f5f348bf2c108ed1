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
    return name_in_package(word, list(BUILTIN), "dataset")


def name_in_package(word: str | Path, names: list[str], what: str) -> str | None:
    """Return which of the package's `names` (of datasets or models: `what`) a word stands for, or None."""
    if not isinstance(word, str):
        return None
    name = word.removeprefix(PREFIX)
    if name not in names:
        if name != word:
            raise CrystalliteError(f"no {what} {name!r} comes with Crystallite{suggestion(name, names)}")
        return None
    if name == word and Path(word).exists():
        here = "folder" if Path(word).is_dir() else "file"
        raise CrystalliteError(
            f"{word} is both a {what} that comes with Crystallite and a {here} here: "
            f"write {PREFIX}{word} for the {what}, ./{word} for the {here}"
        )
    return name
