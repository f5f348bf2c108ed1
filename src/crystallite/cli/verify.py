"""`crystallite verify`."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Threads that build graphs."
)
def command(run: Path, workers: int) -> None:
    """Train RUN again from its config.toml and compare the weights bit for bit.

    The same bits are promised for the same data, settings, seed, versions, number of threads and kind of
    processor, whatever --workers. Exit status 1 if they differ.
    """
    from ..verification import verify

    verdict = verify(run, workers=workers)
    for name, (before, now) in verdict.changed_environment.items():
        click.echo(f"{name} was {before}, is {now}: other bits are possible", err=True)
    if verdict.same:
        click.echo(f"{run}: repeated bit for bit")
    else:
        click.echo(f"{run}: {len(verdict.different)} weights differ, by {verdict.largest:.3g} at most")
        sys.exit(1)
