"""`crystallite descriptors`."""

from __future__ import annotations

from pathlib import Path

import click

from .outcomes import end_with
from .table_options import inputs_argument, output_option, skip_bad_option, tell_bad, workers_option


@click.command()
@inputs_argument
@output_option
@skip_bad_option
@workers_option
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
        on_bad=tell_bad,
    )
    end_with(report, "crystals", output, skip_bad)
