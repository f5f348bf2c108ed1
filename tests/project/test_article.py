"""The targets of docs/article.md's commands, and of the script behind its table, are columns of the data."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from training_runs import energies

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))

import article  # noqa: E402
import article_table  # noqa: E402

TRAINED = re.findall(
    r"^\$ crystallite (?:train|learning-curve) (\S+)\.parquet --target (\S+)",
    (ROOT / "docs" / "article.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
ROWS = [(row.data, row.target) for row in article.ROWS]


def imported():
    """A few crystals with the columns of the development data, and moduli that have no logarithm."""
    data = energies(4)
    columns = {column for column, _ in article.COLUMNS.values()} | set(article.LOGARITHMS.values())
    for number, column in enumerate(sorted(columns)):
        data = data.with_property(column, np.arange(4) + number / 10)
    data = data.with_property("k_vrh_mp2018", [100.0, 0.0, -665.0, np.nan])
    return data.with_property("band_gap_mp2018", [0.0, 0.2, 0.0, 5.0])


@pytest.mark.parametrize(("file", "target"), sorted({*TRAINED, *ROWS}))
def test_targets_are_columns(file: str, target: str) -> None:
    assert {name for name, _ in TRAINED} == {"mp36k", "perovskites"}  # the commands were found
    assert len(ROWS) >= 15
    if file == "perovskites":
        assert target == "heat_ref"  # the column of perov5's own table
    else:
        assert target in article.with_targets(imported()).properties


def test_the_page_has_the_results_that_are_noted() -> None:
    assert article_table.page() == article_table.PAGE.read_text(encoding="utf-8")
    runs = {row.name for row in article.ROWS}
    noted = article_table.read_results()
    assert set(noted) <= runs
    shown = {run for line in article_table.LINES for run in line.runs}
    shown |= set(map(article_table.without_angles, shown))
    assert runs == shown | {line.searched for line in article_table.LINES if line.searched}
    assert len(noted) >= 16


def test_what_is_computed() -> None:
    data = article.with_targets(imported())
    np.testing.assert_array_equal(data.values("log10_bulk_modulus"), [2, np.nan, np.nan, np.nan])
    assert data.values("is_metal").tolist() == [1, 0, 1, 0]
    assert data.units["log10_bulk_modulus"] == "log10(GPa)"
