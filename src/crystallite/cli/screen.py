"""`crystallite screen`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .paths import MODEL, OutputFolder
from .table_options import inputs_argument, skip_bad_option

if TYPE_CHECKING:
    from ..screening.loop import Share, Summary


class ShareType(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.2
    """K/N, counted from 1: the pieces of the input that one of N runs works on."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Share:
        from ..screening.loop import Share

        if isinstance(value, Share):
            return value
        number, _, of = str(value).partition("/")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            self.fail(f"{value!r} is not K/N with K from 1 to N, such as 3/16", param, ctx)
        return Share(int(number) - 1, int(of))


@click.command()
@click.argument("models", type=MODEL, metavar="MODEL[,MODEL...]")
@inputs_argument
@click.option(
    "-o", "--output", required=True, type=OutputFolder(), metavar="FOLDER", help="Folder of the results."
)
@click.option("--where", default="", metavar="SQL", help="Shortlist: a condition, such as 'band_gap > 1'.")
@click.option(
    "--by",
    default="",
    metavar="SQL",
    help="Shortlist: an order, smallest first, such as 'band_gap DESC'.",
)
@click.option("--top", type=click.IntRange(1), metavar="N", help="Shortlist: only the first N.")
@click.option(
    "--interval",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    default=90.0,
    show_default=True,
    metavar="PERCENT",
    help="Share of true values between NAME_lower and NAME_upper, where a model knows its errors.",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Processes that read and predict.  [default: one for each core]"
)
@click.option(
    "--share",
    type=ShareType(),
    metavar="K/N",
    help="Work on the K-th of N parts of the input only; then run it once without, to complete the folder.",
)
@click.option(
    "--ray", metavar="ADDRESS", help="Work on the Ray cluster at this address (auto: that of this machine)."
)
@click.option(
    "--skip-unreadable",
    is_flag=True,
    help="List what a disk no longer gives among the bad crystals, instead of stopping there.",
)
@skip_bad_option
def command(
    models: str,
    inputs: tuple[str, ...],
    output: Path,
    where: str,
    by: str,
    top: int | None,
    interval: float,
    workers: int | None,
    share: Share | None,
    ray: str | None,
    skip_unreadable: bool,
    skip_bad: bool,
) -> None:
    """Predict every distinct material among millions of crystals, and list the best.

    MODEL is what `predict` takes, or several with commas between them; each crystal is read and its graph
    built once for all of them. INPUT is what `predict` takes: files, folders and patterns of files with
    structures, tar and zip files of them (read in place), datasets.

    \b
    Examples:
      crystallite screen band_gap candidates.tar -o results/
      crystallite screen band_gap,formation_energy candidates/ -o results/ \\
        --where "band_gap BETWEEN 1.2 AND 1.6" --by formation_energy_per_atom --top 1000
      crystallite screen all candidates.tar -o results/ --share 3/16
      crystallite screen all candidates.tar -o results/ --ray auto

    FOLDER has Parquet files that DuckDB, polars and pandas read as one table each: predictions, with a row
    for every distinct material; duplicates, further crystals of the same material under whatever cell, and
    the one that was predicted for them; bad, what cannot be used and why; odd, what is odd but no error. The
    shortlist is shortlist.csv, and shortlist.parquet with the structures, a dataset for other commands.

    Stopped at any moment, the same command goes on where it was; with other --where, --by and --top it
    writes another shortlist without predicting anything again.
    """
    from ..screening.loop import WHOLE
    from ..screening.screening import screen

    if ray and workers:
        raise click.UsageError("--workers is for this machine: a Ray cluster has as many as it has cores")
    if share is not None and (where or by or top):
        raise click.UsageError("a shortlist is made of all parts: no --where, --by and --top with --share")
    summary = screen(
        _words(models),
        inputs,
        output,
        where=where,
        by=by,
        top=top,
        interval=interval,
        workers=workers,
        ray=ray,
        share=share or WHOLE,
        skip_unreadable=skip_unreadable,
    )
    _tell(summary, output, share)
    if summary.bad:
        sys.exit(0 if skip_bad and summary.predictions else 1)


def _words(models: str) -> tuple[str, ...]:
    """Return the words for models: one, if there is a file or folder with commas in its name."""
    is_one = os.path.exists(models)  # noqa: PTH110 (never raises)
    words = (models,) if is_one else tuple(filter(None, map(str.strip, models.split(","))))
    if not words:
        raise click.UsageError("no model is named")
    return words


def _tell(summary: Summary, output: Path, share: Share | None) -> None:
    from ..screening.shortlist import SHORTLIST

    before = f" ({summary.predicted_before:,} of them before)" if summary.predicted_before else ""
    lines = [
        f"{summary.predictions:,} materials predicted{before} in {output / 'predictions'}",
        f"{summary.duplicates:,} further crystals of the same materials in {output / 'duplicates'}",
    ]
    if summary.bad:
        lines.append(f"{summary.bad:,} could not be used; the reasons are in {output / 'bad'}")
    if summary.odd:
        lines.append(f"{summary.odd:,} notices about odd crystals in {output / 'odd'}")
    if summary.listed is not None:
        lines.append(
            f"{summary.listed:,} crystals in {output / SHORTLIST}.csv and, with structures, .parquet"
        )
    if share is not None:
        lines.append("This was one share; when all are done, run the command without --share")
    click.echo("\n".join(lines), err=True)
