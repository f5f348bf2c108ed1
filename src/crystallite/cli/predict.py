"""`crystallite predict`."""

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
@click.option(
    "--ties",
    type=click.Choice(["shared", "first"]),
    help="shared: predictions depend only on the crystal. first: neighbours as in the published code. "
    " [default: as the model was trained; shared for a .pth.tar]",
)
@click.option(
    "--interval",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    metavar="PERCENT",
    help="Add NAME_lower and NAME_upper, between which this share of the true values lies.",
)
@click.option(
    "--neighbours",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Add the N nearest training crystals with their true values; 1,000 at most.",
)
@click.option("--device", default="cpu", show_default=True, help="Device of the network: cpu, cuda, ...")
@skip_bad_option
@workers_option
def command(
    model: str,
    inputs: tuple[str, ...],
    output: Path | None,
    ties: str | None,
    interval: float | None,
    neighbours: int,
    device: str,
    skip_bad: bool,
    workers: int,
) -> None:
    """Predict properties of crystals with MODEL.

    MODEL is the name of a model that comes with Crystallite (`crystallite models list`; `all` for every
    property), a run folder, a .safetensors file or a .pth.tar of the published code. Each INPUT is a file
    that `data import` reads (CIF, POSCAR, extended XYZ, JSON, ...), a folder, pattern, tar or zip file of
    such files, a Parquet dataset or a built-in name (builtin:NAME if there is also a folder NAME).

    \b
    Examples:
      crystallite predict all my.cif
      crystallite predict band_gap my-cifs/ --interval 90 -o gaps.csv
      crystallite predict runs/gap my-cifs/ -o gaps.csv
      crystallite predict formation-energy-per-atom.pth.tar 'db/*.cif' elastic -o energies.parquet

    An input that cannot be used is reported with its reason, and the others are predicted; the exit status is
    then 1, or 0 with --skip-bad. The table has material_id (the file's name without .cif; a/x and b/x for two
    files x.cif), the target, for ensembles its standard deviation NAME_std, and how new the crystal is to the
    model: novelty, the percentage of held-out crystals nearer to the training data, and unseen_elements.
    """
    from ..models.file_predictions import predict_files
    from ..models.loading import load_models
    from ..models.tables import Extras

    predictors = load_models(model, ties=ties, device=device)  # type: ignore[arg-type]
    for notice in {predictor.notice for predictor in predictors if predictor.notice}:
        click.echo(f"Notice: {notice}", err=True)
    report = predict_files(
        predictors,
        inputs,
        output,
        Extras(interval, neighbours),
        workers=workers,
        on_bad=tell_bad,
    )
    end_with(report, "predictions", output, skip_bad)
