"""`crystallite descriptors`."""

from __future__ import annotations

from pathlib import Path

import click

from .outcomes import end_with
from .paths import TableFile


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o", "--output", type=TableFile(), metavar="FILE", help=".csv or .parquet  [default: CSV on stdout]"
)
@click.option("--skip-bad", is_flag=True, help="Exit with status 0 even if some inputs cannot be used.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Threads that build graphs."
)
def command(inputs: tuple[str, ...], output: Path | None, skip_bad: bool, workers: int) -> None:
    """Write numbers that describe crystals, for models of your own.

    INPUT is that of `crystallite predict`. A row has material_id and a column for each descriptor, of the
    composition, the cell and the bonds; docs/descriptors.md says what each is. They depend on the crystal
    alone, not on how it is written down. `crystallite train --recipe small` learns from them.

    \b
    Examples:
      crystallite descriptors my-cifs/ -o descriptors.parquet
      crystallite descriptors builtin:elastic -o descriptors.csv
    """
    from ..features.tables import describe_files

    report = describe_files(
        inputs,
        output,
        workers=workers,
        on_bad=lambda source, reason: click.echo(f"{source}: {reason}", err=True),
    )
    end_with(report, "crystals", output, skip_bad)
