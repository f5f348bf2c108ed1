"""The table of docs/article.md, from docs/article.csv: our errors beside those of others.

python benchmarks/article_table.py
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
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
    """A line of the table: a property, our runs without and with search, and what others published.

    Beside the error of each run stands that of its twin without angles.
    """

    about: str
    unit: str
    runs: tuple[str, ...]
    searched: str
    article: str
    of_article: str
    reproduction: str


def without_angles(run: str) -> str:
    """Return the name of the same run of a network that knows the lengths of bonds alone."""
    return f"{run}-lengths"


def _of(target: str) -> tuple[tuple[str, ...], str]:
    """Return the runs of three seeds, and the one after a search."""
    return tuple(f"{target}-{seed}" for seed in range(3)), f"{target}-search"


FORMATION = ("0.039", "28,046", "0.076")
PRESSURE, CELL = "log10(GPa)", "eV/cell, see below"
# Each line ends with the article's error and number of training crystals, and the error of the reproduction.
LINES = [
    Line("formation energy", "eV/atom", ("formation_energy",), "formation_energy-search", *FORMATION),
    Line("formation energy, 300 epochs", "eV/atom", ("formation_energy-300",), NONE, *FORMATION),
    Line("formation energy, five members", "eV/atom", ("formation_energy-members",), NONE, *FORMATION),
    Line("absolute energy, see below", "eV/atom", ("energy",), "energy-search", "0.072", "28,046", "0.132"),
    Line("band gap", "eV", ("band_gap",), "band_gap-search", "0.388", "16,458", "0.505"),
    Line("Fermi energy", "eV", ("fermi_energy",), "fermi_energy-search", "0.363", "28,046", "0.474"),
    Line("bulk modulus, seeds 0, 1, 2", PRESSURE, *_of("log10_bulk_modulus"), "0.054", "2,041", "0.069"),
    Line("shear modulus, seeds 0, 1, 2", PRESSURE, *_of("log10_shear_modulus"), "0.087", "2,041", "0.107"),
    Line("Poisson ratio, seeds 0, 1, 2", "", *_of("poisson_ratio"), "0.030", "2,041", "0.032"),
    Line("metal or not", "AUC", ("metal",), "metal-search", "0.95", "a subset of 46,744", NONE),
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
        "| property | unit | test error: ours | without angles | with search | article "
        "| earlier reproduction | training crystals: ours | article | hours |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for line in LINES:
        ours = _complete(results, line.runs)
        without = _complete(results, map(without_angles, line.runs))
        if not ours + without:
            continue
        searched = _complete(results, [line.searched])
        cells = [
            line.about, line.unit, _errors(ours), _errors(without), _errors(searched), line.article,
            line.reproduction, f"{(ours + without)[0].n_train:,}", line.of_article, _hours(ours),
        ]  # fmt: skip
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _complete(results: dict[str, Result], runs: Iterable[str]) -> list[Result]:
    """Return the results of these runs, or none if one is missing."""
    names = list(runs)
    return [results[name] for name in names] if results.keys() >= set(names) else []


def _errors(results: list[Result]) -> str:
    return ", ".join(f"{result.test:.4f}" for result in results)


def _hours(results: list[Result]) -> str:
    """Return the hours of all together, if they are known."""
    hours = [result.hours for result in results if result.hours is not None]
    return f"{sum(hours):.2f}" if hours and len(hours) == len(results) else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
