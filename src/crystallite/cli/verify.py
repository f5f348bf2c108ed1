"""`crystallite verify`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .paths import INPUT


@click.command()
@click.argument("run", type=INPUT)
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Threads that build graphs."
)
@click.option("--device", default="cpu", show_default=True, help="Of the network: cpu, cuda, ...")
def command(run: Path, workers: int, device: str) -> None:
    """Train RUN again from its config.toml and compare the weights bit for bit.

    Every training run of a cross-validation, an ensemble or a learning curve is repeated. The same bits are
    promised for the same data, settings, seed, versions, number of processes and type of CPU, whatever
    --workers. Exit status 1 if any differ.
    """
    from ..training.verification import finished_runs, verify

    all_same = True
    for folder in finished_runs(run):
        verdict = verify(folder, workers=workers, device=device)
        for name, (before, now) in verdict.changed_environment.items():
            click.echo(f"{folder}: {name} was {before}, is {now}: results may differ in rounding", err=True)
        if verdict.same:
            click.echo(f"{folder}: repeated bit for bit")
        else:
            different = len(verdict.different)
            click.echo(f"{folder}: {different} weights differ, by {verdict.largest:.3g} at most")
        all_same &= verdict.same
    sys.exit(0 if all_same else 1)
