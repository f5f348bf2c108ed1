"""The `crystallite data fetch` commands: mp."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import CrystalliteError
from ..files.writing import refuse_input
from . import fetch_optimade, fetch_public
from .paths import DATASET, INPUT

if TYPE_CHECKING:
    from ..sources.web.materials_project import Fetched

ARTICLE_LISTS = ("formation", "band-gap", "elastic", "all")
THERMO_TYPES = ("GGA_GGA+U", "R2SCAN", "GGA_GGA+U_R2SCAN")
SHOWN = 10  # crystals left out


@click.group(name="fetch")
def command() -> None:
    """Fetch datasets from the web.

    Needs: pip install 'crystallite[fetch]'
    """


for subcommand in (fetch_optimade.command, *fetch_public.commands()):
    command.add_command(subcommand)


@command.command()
@click.option("--ids", type=INPUT, help="File of task or material ids: text, CSV, Parquet.")
@click.option("--article", type=click.Choice(ARTICLE_LISTS), help="The ids of the CGCNN article (2018).")
@click.option("--chemsys", help="Chemical systems, comma-separated: Li-O,Na-Cl.")
@click.option("--everything", is_flag=True, help="All materials that are not deprecated.")
@click.option("-o", "--output", required=True, type=DATASET, help="The .parquet file to write.")
@click.option(
    "--thermo-type",
    type=click.Choice(THERMO_TYPES),
    default=THERMO_TYPES[0],
    show_default=True,
    help="Calculations that the energies come from; the default is that of the article.",
)
@click.option("--endpoint", help="Address of the server.  [default: MP_API_ENDPOINT or the public one]")
def mp(
    ids: Path | None,
    article: str | None,
    chemsys: str | None,
    everything: bool,
    output: Path,
    thermo_type: str,
    endpoint: str | None,
) -> None:
    """Fetch crystals and properties from the Materials Project.

    The API key is taken from the environment variable MP_API_KEY or asked for. To resume an interrupted
    fetch, run the same command again. With ids, OUTPUT's .ids.csv says what became of each.

    \b
    Examples:
      crystallite data fetch mp --article elastic -o elastic-today.parquet
      crystallite data fetch mp --ids my-ids.txt -o my-data.parquet --thermo-type R2SCAN
      crystallite data fetch mp --chemsys Li-O,Li-Fe-O -o oxides.parquet
    """
    from ..sources.web.materials_project import article_ids, fetch_materials

    if (ids is not None) + (article is not None) + (chemsys is not None) + everything != 1:
        raise CrystalliteError("say what to fetch with one of --ids, --article, --chemsys, --everything")
    if ids is not None:
        for written in (output, output.with_suffix(".ids.csv")):
            refuse_input(written, [ids])
    requested = _read(ids) if ids else article_ids(article) if article else None
    fetched = fetch_materials(
        output,
        _key(),
        ids=requested,
        chemical_systems=[name.strip() for name in chemsys.split(",") if name.strip()] if chemsys else (),
        everything=everything,
        thermo_type=thermo_type,
        endpoint=endpoint,
    )
    click.echo("\n".join(_summary(fetched, output, thermo_type)))


def _read(path: Path) -> list[str]:
    from ..sources.web.id_lists import read_ids
    from ..sources.web.materials_project import check_ids

    return check_ids(read_ids(path), str(path))


def _key() -> str:
    """Return the API key of the environment, or ask for it without showing it."""
    key = os.environ.get("MP_API_KEY")
    if key:
        return key
    if not _is_interactive():
        raise CrystalliteError(
            "the Materials Project needs an API key: set MP_API_KEY. A key is free, from "
            "https://next-gen.materialsproject.org/api"
        )
    return str(click.prompt("Materials Project API key", hide_input=True, err=True))


def _is_interactive() -> bool:
    return sys.stdin.isatty()


def _summary(fetched: Fetched, output: Path, thermo_type: str) -> list[str]:
    """Return the lines to print at the end."""
    dataset, counts, lines = fetched.dataset, fetched.counts, []
    if fetched.resolved:
        lines += [
            f"{len(fetched.resolved):,} ids: {counts['found']:,} found ({counts['task id']:,} as task ids, "
            f"{counts['material id']:,} as material ids), {counts['merged']:,} merged with another of them, "
            f"{counts['deprecated']:,} deprecated, {counts['not found']:,} missing",
            f"{output.with_suffix('.ids.csv')}: what became of each id",
        ]
    without = dataset.labels("thermo_type").count(None)
    if without:
        lines.append(f"{without:,} crystals have no {thermo_type} energies")
    if fetched.problems:
        named = [f"{name} ({why})" for name, why in list(fetched.problems.items())[:SHOWN]]
        more = f" and {len(fetched.problems) - SHOWN:,} more" if len(fetched.problems) > SHOWN else ""
        lines.append(f"{len(fetched.problems):,} crystals left out: {', '.join(named)}{more}")
    version = dataset.metadata["database_version"]
    return [*lines, f"{output}: {len(dataset):,} crystals of database version {version}"]
