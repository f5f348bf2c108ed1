"""`crystallite data fetch optimade`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import CrystalliteError
from .paths import DATASET

SHOWN = 10  # structures left out


@click.command(name="optimade")
@click.argument("server")
@click.option("--filter", "query", default="", help="OPTIMADE filter.  [default: everything]")
@click.option(
    "--property",
    "properties",
    multiple=True,
    metavar="_x_y=name",
    help="Property to fetch, and its name in the dataset.",
)
@click.option("--limit", type=click.IntRange(1), help="Fetch at most this many structures.")
@click.option("--skip-bad", is_flag=True, help="Leave out structures that cannot be used, and list some.")
@click.option("-o", "--output", required=True, type=DATASET, help="The .parquet file to write.")
def command(
    server: str, query: str, properties: Sequence[str], limit: int | None, skip_bad: bool, output: Path
) -> None:
    """Fetch crystals from an OPTIMADE server.

    SERVER is an address or one of: aflow, alexandria, alexandria-pbesol, cmr, cod, jarvis, mp, nomad, oqmd,
    tcod, twodmatpedia. To resume an interrupted fetch, run the same command again.

    \b
    Examples:
      crystallite data fetch optimade oqmd --filter 'elements HAS ALL "Si","O"' -o silica.parquet \\
          --property _oqmd_delta_e=formation_energy_per_atom
      crystallite data fetch optimade mp --filter 'nelements=2' --limit 500 --skip-bad -o binary.parquet
    """
    from ..sources.web.optimade import fetch_optimade

    names = dict(_name_pair(text) for text in properties)
    fetched = fetch_optimade(output, server, query=query, properties=names, limit=limit, skip_bad=skip_bad)
    for notice in fetched.notices:
        click.echo(f"Notice: {notice}", err=True)
    if fetched.bad:
        click.echo(f"Left out {len(fetched.bad):,} structures that cannot be used:", err=True)
        for source, reason in fetched.bad[:SHOWN]:
            click.echo(f"  {source}: {reason}", err=True)
        if len(fetched.bad) > SHOWN:
            click.echo(f"  and {len(fetched.bad) - SHOWN:,} more", err=True)
    names_here = ", ".join([*fetched.dataset.properties, *fetched.dataset.label_names]) or "no properties"
    click.echo(f"{output}: {len(fetched.dataset):,} crystals; {names_here}")


def _name_pair(text: str) -> tuple[str, str]:
    theirs, _, ours = text.rpartition("=") if "=" in text else (text, "", text)
    if not theirs or not ours:
        raise CrystalliteError(f"--property {text}: write _x_y=name, such as _oqmd_delta_e=formation_energy")
    return theirs.strip(), ours.strip()
