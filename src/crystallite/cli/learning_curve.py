"""`crystallite learning-curve`."""

from __future__ import annotations

from typing import Any

import click

from .options import only_target, settings_of, training_options
from .outcomes import print_group


@click.command()
@click.argument("data")
@training_options(automatic=False)
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(2),
    multiple=True,
    metavar="N",
    help="Number of training crystals; repeatable.  [default: all, a half, a quarter, ...]",
)
def command(data: str, targets: tuple[str, ...], sizes: tuple[int, ...], **options: Any) -> None:
    """Measure how the test error falls with the number of training crystals, and fit a power law.

    All training runs share one test set. The table, the figure and a run folder for each size are in RUN.
    Resume an interrupted curve with: crystallite train --resume RUN

    \b
    Example:
      crystallite learning-curve formation --target formation_energy_per_atom --epochs 50
    """
    from ..experiments.experiment import learning_curve

    parallel = options.pop("parallel")
    targets = targets or (only_target(data),)
    curve = learning_curve(data, targets, sizes, parallel=parallel, **settings_of(options))
    print_group(curve.folder, curve.summary)
