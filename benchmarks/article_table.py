"""The table of docs/article.md, from docs/article.csv: our errors beside those of others.

python benchmarks/article_table.py
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[1] / "docs"
PAGE, RESULTS = DOCS / "article.md", DOCS / "article.csv"
BEGIN, END = "<!-- Made by benchmarks/article_table.py. -->\n", "\n<!-- Made until here. -->"
COLUMNS = ["run", "test", "training crystals", "hours"]
NONE = ""


class Result(NamedTuple):
    """What a run of benchmarks/article.py found; hours: None where nobody noted them."""

    run: str
    test: float
    n_train: int
    hours: float | None


class Line(NamedTuple):
    """A line of the table: a property, our runs without and with search, and what others published."""

    about: str
    unit: str
    runs: tuple[str, ...]
    searched: str
    article: str
    of_article: str
    reproduction: str


def _seeds(target: str) -> tuple[str, ...]:
    return tuple(f"{target}-{seed}" for seed in range(3))


def _with_angles(runs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{run}-orders" for run in runs)


# The article's error and number of training crystals, and the error of the earlier reproduction.
FORMATION, GAP = ("0.039", "28,046", "0.076"), ("0.388", "16,458", "0.505")
BULK, SHEAR = ("0.054", "2,041", "0.069"), ("0.087", "2,041", "0.107")
POISSON = ("0.030", "2,041", "0.032")
PRESSURE, CELL = "log10(GPa)", "eV/cell, see below"
BULKS, SHEARS, POISSONS = map(_seeds, ("log10_bulk_modulus", "log10_shear_modulus", "poisson_ratio"))
LINES = [
    Line("formation energy", "eV/atom", ("formation_energy",), NONE, *FORMATION),
    Line("formation energy, 300 epochs", "eV/atom", ("formation_energy-300",), NONE, *FORMATION),
    Line("formation energy, five members", "eV/atom", ("formation_energy-members",), NONE, *FORMATION),
    Line("formation energy, with angles", "eV/atom", ("formation_energy-orders",), NONE, *FORMATION),
    Line("absolute energy, see below", "eV/atom", ("energy",), NONE, "0.072", "28,046", "0.132"),
    Line("band gap", "eV", ("band_gap",), "band_gap-search", *GAP),
    Line("band gap, with angles", "eV", ("band_gap-orders",), NONE, *GAP),
    Line("Fermi energy", "eV", ("fermi_energy",), NONE, "0.363", "28,046", "0.474"),
    Line("bulk modulus, seeds 0, 1, 2", PRESSURE, BULKS, "log10_bulk_modulus-search", *BULK),
    Line("bulk modulus, with angles", PRESSURE, _with_angles(BULKS), NONE, *BULK),
    Line("shear modulus, seeds 0, 1, 2", PRESSURE, SHEARS, "log10_shear_modulus-search", *SHEAR),
    Line("shear modulus, with angles", PRESSURE, _with_angles(SHEARS), NONE, *SHEAR),
    Line("Poisson ratio, seeds 0, 1, 2", "", POISSONS, "poisson_ratio-search", *POISSON),
    Line("Poisson ratio, with angles", "", _with_angles(POISSONS), NONE, *POISSON),
    Line("metal or not", "AUC", ("metal",), NONE, "0.95", "a subset of 46,744", NONE),
    Line("perovskites", CELL, ("perovskites",), "perovskites-search", "0.099", "15,000", NONE),
    Line("perovskites, linear readout", CELL, ("perovskites-per-atom",), NONE, "0.130", "15,000", NONE),
]


def read_results() -> dict[str, Result]:
    """Return the results that are noted, by run."""
    with RESULTS.open(newline="", encoding="utf-8") as file:
        rows = [[cell or None for cell in row] for row in csv.reader(file)][1:]
    return {
        str(run): Result(str(run), float(test or "nan"), int(n or 0), hours and float(hours))
        for run, test, n, hours in rows
    }


def add_result(result: Result) -> None:
    """Note a result, instead of an earlier one of the same run, and make the table anew."""
    results = read_results() | {result.run: result}
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for run, test, n_train, hours in results.values():
            table.writerow([run, f"{test:.4f}", n_train, "" if hours is None else f"{hours:.2f}"])
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page with the table of the results that are noted."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + table(read_results()) + END + after


def table(results: dict[str, Result]) -> str:
    """Return a line for each property with a result."""
    rows = [
        "| property | unit | test error: ours | with search | article | earlier reproduction "
        "| training crystals: ours | article | hours |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for line in LINES:
        ours = [results[run] for run in line.runs if run in results]
        if not ours:
            continue
        searched = results.get(line.searched)
        hours = [result.hours for result in ours if result.hours is not None]
        cells = [
            line.about, line.unit, ", ".join(f"{result.test:.4f}" for result in ours),
            "" if searched is None else f"{searched.test:.4f}", line.article, line.reproduction,
            f"{ours[0].n_train:,}", line.of_article,
            f"{sum(hours):.2f}" if len(hours) == len(ours) else "",
        ]  # fmt: skip
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
