"""Make the built-in datasets, src/crystallite/data/*.parquet, from the source distribution of matminer 0.3.2.

    python scripts/make_builtin_data.py [--source FOLDER] [--output FOLDER]

FOLDER holds elastic_tensor.csv, flla_2015.csv and dielectric_constant.csv (matminer/datasets of the unpacked
distribution). Without --source the distribution is fetched with pip.

What was looked at in the source, and the outcome:

- Which structure. matminer's own loader takes the POSCAR text for the elastic and dielectric sets. The CIF
  text beside it holds the same atoms at the same coordinates (6 decimals both). Its cell lengths carry 8 to
  12 digits where the POSCAR's vectors have 6 decimals (largest difference of a length 7.6e-7 Å, of an angle
  1.6e-5°), but most elastic CIFs name a space group while listing every atom and no symmetry, which a reader
  that believes the name expands into nonsense, and a CIF has lost the cell's orientation. So: POSCAR, as
  matminer. The formation set has only the pymatgen dictionary, with 8 decimals.
- Nothing is rounded: the files hold exactly the numbers of the source text.
- No row is left out: LEFT_OUT is empty, and `check` stops the script if the source should ever have a row
  that is impossible (a modulus not positive, a Poisson ratio outside -1 to 0.5 or not that of its moduli, a
  refractive index below 1, a negative band gap, an energy beyond ±10 eV/atom, a formula that is not that of
  the structure) or there twice (the same id, or the same structure). Odd but possible, and kept: layered
  graphite and BN with an anisotropy above 100 (elastic mp-48, mp-984, mp-169, ...); antiperovskite carbides
  and nitrides up to 2.4 eV/atom above the elements (formation mp-21058, mp-635460, ...); pairs of mirror
  images such as VSi2 mp-10711 and mp-11190.
- All moduli are positive, so their logarithms have no missing values.
"""

from __future__ import annotations

import argparse
import ast
import csv
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from ase.formula import Formula

from crystallite.crystals.crystal import Crystal
from crystallite.datasets.dataset import Dataset

Row = dict[str, str]

LEFT_OUT: dict[str, dict[str, str]] = {"elastic": {}, "formation": {}, "dielectric": {}}  # id -> reason

LICENCE = "Data: Materials Project, CC-BY-4.0. Collection: matminer, BSD-3-Clause-LBNL (modified BSD)."
COMMON_SOURCE = "matminer 0.3.2 source distribution on PyPI, matminer/datasets/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--source", type=Path, help="folder with the three CSV files; otherwise pip fetches them"
    )
    parser.add_argument("--output", type=Path, default=Path("src/crystallite/data"))
    options = parser.parse_args()
    if options.source:
        make_all(options.source, options.output)
        return
    with tempfile.TemporaryDirectory() as folder:
        make_all(fetch(Path(folder)), options.output)


def fetch(folder: Path) -> Path:
    """Download and unpack matminer 0.3.2 into `folder`; return its folder of datasets."""
    download = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--no-binary",
        ":all:",
        "matminer==0.3.2",
    ]
    subprocess.run([*download, "--dest", str(folder)], check=True)
    with tarfile.open(next(folder.glob("matminer-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / "matminer-0.3.2" / "matminer" / "datasets"


def make_all(source: Path, output: Path) -> None:
    """Write the three datasets and print their sizes."""
    csv.field_size_limit(10**9)
    for name, make in {"elastic": elastic, "formation": formation, "dielectric": dielectric}.items():
        dataset = make(source)
        dataset.write(output / f"{name}.parquet", level=19)
        size = (output / f"{name}.parquet").stat().st_size
        print(f"{name}: {len(dataset):,} crystals, {size / 1e3:,.0f} kB, {', '.join(dataset.properties)}")


def elastic(source: Path) -> Dataset:
    """1,181 crystals with bulk and shear modulus (Voigt-Reuss-Hill) and Poisson ratio."""
    rows = read_rows(source / "elastic_tensor.csv", "elastic")
    bulk, shear, poisson = (column(rows, name) for name in ("K_VRH", "G_VRH", "poisson_ratio"))
    check(bulk > 0, rows, "bulk modulus")
    check(shear > 0, rows, "shear modulus")
    isotropic = (3 * bulk - 2 * shear) / (6 * bulk + 2 * shear)
    check((poisson > -1) & (poisson < 0.5) & (abs(poisson - isotropic) < 1e-3), rows, "Poisson ratio")
    return build(
        "elastic",
        rows,
        poscar,
        {
            "bulk_modulus": (bulk, "GPa"),
            "shear_modulus": (shear, "GPa"),
            "poisson_ratio": (poisson, ""),
            "log10_bulk_modulus": (np.log10(bulk), "log10(GPa)"),
            "log10_shear_modulus": (np.log10(shear), "log10(GPa)"),
        },
        title="Elastic moduli of inorganic crystalline compounds",
        source=f"{COMMON_SOURCE}elastic_tensor.csv",
        citation="M. de Jong et al., Charting the complete elastic properties of inorganic crystalline "
        "compounds, Scientific Data 2, 150009 (2015)",
        doi="10.1038/sdata.2015.9",
        description="Computed elastic moduli, Voigt-Reuss-Hill averages (density functional theory, PBE).",
    )


def formation(source: Path) -> Dataset:
    """3,938 crystals with formation energy."""
    rows = read_rows(source / "flla_2015.csv", "formation")
    energy = column(rows, "formation_energy_per_atom")
    check(abs(energy) < 10, rows, "formation energy")
    check(
        abs(column(rows, "formation_energy") / column(rows, "nsites") - energy) < 1e-6,
        rows,
        "energy per atom",
    )
    return build(
        "formation",
        rows,
        pymatgen_dictionary,
        {"formation_energy_per_atom": (energy, "eV/atom")},
        title="Formation energies of Materials Project crystals",
        source=f"{COMMON_SOURCE}flla_2015.csv",
        citation="F. Faber, A. Lindmaa, O. A. von Lilienfeld, R. Armiento, Crystal structure representations "
        "for machine learning models of formation energies, Int. J. Quantum Chem. 115, 1094 (2015)",
        doi="10.1002/qua.24917",
        description="Formation energy from the elements (Materials Project, 2015); up to 25 atoms a cell.",
    )


def dielectric(source: Path) -> Dataset:
    """1,056 crystals with band gap and refractive index."""
    rows = read_rows(source / "dielectric_constant.csv", "dielectric")
    gap, index = column(rows, "band_gap"), column(rows, "n")
    check(gap >= 0, rows, "band gap")
    check(index >= 1, rows, "refractive index")
    return build(
        "dielectric",
        rows,
        poscar,
        {"band_gap": (gap, "eV"), "refractive_index": (index, "")},
        title="Band gap and refractive index of inorganic compounds",
        source=f"{COMMON_SOURCE}dielectric_constant.csv",
        citation="I. Petousis et al., High-throughput screening of inorganic compounds for the discovery of "
        "novel dielectric and optical materials, Scientific Data 4, 160134 (2017)",
        doi="10.1038/sdata.2016.134",
        description="Band gap and refractive index from density functional perturbation theory.",
    )


def read_rows(path: Path, name: str) -> list[Row]:
    """Return the rows of a CSV file, in its order, but for those in LEFT_OUT.

    The first line is a comment. dielectric_constant.csv has one column more than its header names: the index
    is there twice, first without a name.
    """
    with path.open(encoding="utf-8", newline="") as file:
        next(file)
        header, *lines = csv.reader(file)
    unnamed = len(lines[0]) - len(header)
    rows = [dict(zip(header, line[unnamed:], strict=True)) for line in lines]
    twice = [i for i, count in Counter(row["material_id"] for row in rows).items() if count > 1]
    if twice:
        raise SystemExit(f"{path}: ids there more than once: {twice}")
    return [row for row in rows if row["material_id"] not in LEFT_OUT[name]]


def column(rows: list[Row], name: str) -> np.ndarray:
    """Return a column of numbers."""
    return np.array([float(row[name]) for row in rows])


def check(good: np.ndarray, rows: list[Row], what: str) -> None:
    """Stop unless all rows are good."""
    bad = [row["material_id"] for row, is_good in zip(rows, good, strict=True) if not is_good]
    if bad:
        raise SystemExit(f"impossible {what}: {', '.join(bad)}; look at them and name them in LEFT_OUT")


def build(
    name: str,
    rows: list[Row],
    structure: Callable[[Row], Crystal],
    columns: dict[str, tuple[np.ndarray, str]],
    **metadata: str,
) -> Dataset:
    """Return the dataset of these rows; stop if a structure is there twice or is not of its formula."""
    crystals = [structure(row) for row in rows]
    check([formula_fits(c, row) for c, row in zip(crystals, rows, strict=True)], rows, "formula")
    keys = [(c.numbers.tobytes(), c.lattice.tobytes(), c.frac_coords.tobytes()) for c in crystals]
    counts = Counter(keys)
    check([counts[key] == 1 for key in keys], rows, "repetition")
    left_out = LEFT_OUT[name]
    reasons = "; ".join(f"{i}: {reason}" for i, reason in left_out.items()) or "none"
    return Dataset.from_crystals(
        crystals,
        [row["material_id"] for row in rows],
        {key: values for key, (values, _) in columns.items()},
        {key: unit for key, (_, unit) in columns.items() if unit},
        name=name,
        metadata={**metadata, "licence": LICENCE, "crystals": str(len(rows)), "left_out": reasons},
    )


def poscar(row: Row) -> Crystal:
    """Read the POSCAR text of a row: scale 1, direct coordinates."""
    lines = row["poscar"].splitlines()
    if lines[1].strip() != "1.0" or lines[7].strip() != "direct":
        raise SystemExit(f"{row['material_id']}: a POSCAR of another kind")
    counts = [int(count) for count in lines[6].split()]
    symbols = [s for s, count in zip(lines[5].split(), counts, strict=True) for _ in range(count)]
    sites = [line.split() for line in lines[8 : 8 + len(symbols)]]
    if [site[3] for site in sites] != symbols:
        raise SystemExit(
            f"{row['material_id']}: the elements of the POSCAR's lines are not those of its head"
        )
    return crystal(symbols, [line.split() for line in lines[2:5]], [site[:3] for site in sites])


def pymatgen_dictionary(row: Row) -> Crystal:
    """Read the text of a pymatgen Structure dictionary: ordered sites."""
    structure = ast.literal_eval(row["structure"])
    species = [site["species"] for site in structure["sites"]]
    if any(len(kinds) != 1 or kinds[0]["occu"] != 1 for kinds in species):
        raise SystemExit(f"{row['material_id']}: partial occupancy")
    symbols = [kinds[0]["element"] for kinds in species]
    return crystal(symbols, structure["lattice"]["matrix"], [site["abc"] for site in structure["sites"]])


def crystal(symbols: list[str], lattice: list, coords: list) -> Crystal:
    """Return a Crystal of symbols and numbers or texts of numbers."""
    numbers = np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.uint8)
    return Crystal(numbers, np.array(lattice, dtype=np.float64), np.array(coords, dtype=np.float64))


def formula_fits(structure: Crystal, row: Row) -> bool:
    """Whether the structure has the number of atoms and the composition its row says."""
    text = row["formula"]
    stated = ast.literal_eval(text) if text.startswith("{") else Formula(text).count()
    fractions = {atomic_numbers[symbol]: count / sum(stated.values()) for symbol, count in stated.items()}
    found = {number: count / len(structure) for number, count in Counter(structure.numbers.tolist()).items()}
    same = fractions.keys() == found.keys() and all(
        abs(fractions[key] - found[key]) < 1e-9 for key in fractions
    )
    return same and len(structure) == int(float(row["nsites"]))


if __name__ == "__main__":
    main()
