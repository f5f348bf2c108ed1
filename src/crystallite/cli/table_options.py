"""Arguments and options that commands share which write a table of inputs, and how bad inputs are told."""

from __future__ import annotations

import click

from .paths import TableFile

inputs_argument = click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
output_option = click.option(
    "-o", "--output", type=TableFile(), metavar="FILE", help=".csv or .parquet  [default: CSV on stdout]"
)
skip_bad_option = click.option(
    "--skip-bad", is_flag=True, help="Exit with status 0 even if some inputs cannot be used."
)
workers_option = click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Threads that build graphs."
)


def tell_bad(source: str, reason: str) -> None:
    """Name an input that cannot be used."""
    click.echo(f"{source}: {reason}", err=True)
