"""`crystallite tune`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from .paths import INPUT, OutputFolder


@click.command()
@click.argument("data", required=False)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="Property to learn, NAME or NAME:log10; repeat for several.",
)
@click.option(
    "--trials",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Finished trials in total, over all processes and restarts.",
)
@click.option("--epochs", type=click.IntRange(1), help="Epochs of each trial.  [default: as for train]")
@click.option("--space", type=INPUT, metavar="FILE.toml", help="What to search; see --print-space.")
@click.option("--print-space", is_flag=True, help="Print the default search space as TOML and stop.")
@click.option(
    "--storage",
    default="",
    metavar="FILE|URL",
    help="Journal file or database (postgresql://USER@HOST/NAME); processes that name the same one share the "
    "work.  [default: study.journal in the folder]",
)
@click.option("--study", default="", metavar="NAME", help="Name of the study there.  [default: DATA-TARGET]")
@click.option(
    "--out",
    type=OutputFolder(),
    metavar="FOLDER",
    help="Folder of the results.  [default: runs/tune-DATA-TARGET]",
)
@click.option(
    "--task", type=click.Choice(["regression", "classification"]), default="regression", show_default=True
)
@click.option(
    "--split",
    default="80/10/10",
    show_default=True,
    metavar="TRAIN/VAL/TEST",
    help="Percentages, fractions or numbers of crystals.",
)
@click.option(
    "--split-column", default="", metavar="NAME", help="Column that says train, validation or test."
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the split, the training runs and the search.",
)
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Threads that build graphs."
)
@click.option("--device", default="cpu", show_default=True, help="Device of the network: cpu, cuda, ...")
def command(data: str | None, targets: tuple[str, ...], print_space: bool, **options: Any) -> None:
    """Search for the settings with the smallest validation error on DATA.

    \b
    Examples:
      crystallite tune elastic --target log10_bulk_modulus --trials 50 --epochs 40
      crystallite tune --print-space > space.toml
      crystallite tune mine.parquet --target band_gap --space space.toml

    The first trial has the default settings, if they lie in the space. The folder then holds best.toml
    (for crystallite train --config), trials.csv and figures. The search never sees the test set.
    Run the same command again to resume a stopped search, or in more processes to share the work.
    """
    from ..tuning.space import DEFAULT_SPACE

    if print_space:
        click.echo(DEFAULT_SPACE, nl=False)
        return
    if data is None:
        raise click.UsageError("give DATA; built-in datasets: crystallite data list")
    from ..tuning.search import tune
    from .options import only_target

    chosen = targets or (only_target(data),)
    result = tune(data, chosen, say=click.echo, **options)
    _print_result(result, _train_command(data, chosen, result.folder, options))


def _print_result(result: Any, train_command: str) -> None:
    from ..evaluation.results import in_digits

    click.echo(f"{result.measure} of {result.n_finished} trials:")
    if result.default is not None:
        fixed = ", ".join(f"{name} = {value}" for name, value in result.fixed.items())
        beside = f"  (with {fixed}, as in all trials)" if fixed else ""
        click.echo(f"  default settings  {in_digits(result.default)}{beside}")
    click.echo(f"  best              {in_digits(result.best)}  (trial {result.trial})")
    for name in ("best.toml", "trials.csv", "history.png", "importance.png"):
        if (result.folder / name).exists():
            click.echo(f"  {result.folder / name}")
    click.echo(f"Train with it: {train_command}")


def _train_command(data: str, targets: tuple[str, ...], folder: Path, options: dict[str, Any]) -> str:
    """Return the command that trains the best settings on the same split."""
    words = ["crystallite", "train", data, *(word for name in targets for word in ("--target", name))]
    for name, usual in (("task", "regression"), ("split", "80/10/10"), ("split_column", "")):
        if options[name] != usual:
            words += [f"--{name.replace('_', '-')}", options[name]]
    return shlex.join([*words, "--config", str(folder / "best.toml")])
