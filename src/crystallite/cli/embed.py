"""`crystallite embed`."""

from __future__ import annotations

from pathlib import Path

import click

from .outcomes import end_with
from .paths import MODEL
from .table_options import inputs_argument, output_option, skip_bad_option, tell_bad, workers_option


@click.command()
@click.argument("model", type=MODEL)
@inputs_argument
@output_option
@click.option("--atoms", is_flag=True, help="A row for each atom instead of one for each crystal.")
@click.option("--ties", type=click.Choice(["shared", "first"]), help="As for predict.")
@skip_bad_option
@workers_option
def command(
    model: str,
    inputs: tuple[str, ...],
    output: Path | None,
    atoms: bool,
    ties: str | None,
    skip_bad: bool,
    workers: int,
) -> None:
    """Write the vectors that MODEL reads its predictions from.

    MODEL and INPUT are those of `crystallite predict`. A row has material_id and the columns embedding_0,
    embedding_1, ...: of a network the mean over the atoms of their vectors after the last convolution (with
    --atoms these vectors, with the atom's number in the file, from 0, and its element), of a model of the
    recipe small its scaled descriptors. Of an ensemble it is the first member that embeds.

    \b
    Examples:
      crystallite embed formation_energy my-cifs/ -o vectors.parquet
      crystallite embed band_gap my.cif --atoms
    """
    from ..models.embeddings import embed_files
    from ..models.loading import load_model

    predictor = load_model(model, ties=ties)  # type: ignore[arg-type]
    if predictor.notice:
        click.echo(f"Notice: {predictor.notice}", err=True)
    report = embed_files(
        predictor,
        inputs,
        output,
        atoms=atoms,
        workers=workers,
        on_bad=tell_bad,
    )
    end_with(report, "crystals", output, skip_bad)
