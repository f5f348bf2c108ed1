"""`crystallite train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("data", required=False)
@click.option(
    "--target", "targets", multiple=True, metavar="NAME", help="Property to learn; repeat for several."
)
@click.option(
    "--recipe",
    type=click.Choice(["modern", "paper"]),
    default="modern",
    show_default=True,
    help="modern: chosen by measurement. paper: the published code's defaults.",
)
@click.option(
    "--task", type=click.Choice(["regression", "classification"]), default="regression", show_default=True
)
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training crystals.")
@click.option("--batch-size", type=click.IntRange(1), help="Crystals a step.")
@click.option("--lr", "learning_rate", type=float, help="Largest learning rate.")
@click.option(
    "--patience",
    type=click.IntRange(0),
    help="Stop after this many epochs without a better validation error.",
)
@click.option(
    "--split",
    default="80/10/10",
    show_default=True,
    metavar="TRAIN/VAL/TEST",
    help="Percentages, shares or numbers of crystals.",
)
@click.option(
    "--split-column", default="", metavar="NAME", help="Column that says train, validation or test."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other setting of config.toml, e.g. --set n_convolutions=4.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the split and the training."
)
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Threads that build graphs."
)
@click.option("--device", default="cpu", show_default=True, help="Of the network: cpu, cuda, ...")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="RUN", help="Run folder.  [default: runs/DATA-TARGET-N]"
)
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with an interrupted run."
)
def command(data: str | None, targets: tuple[str, ...], resume: Path | None, **options: Any) -> None:
    """Train a model on DATA: a built-in name, a Parquet file or a folder with id_prop.csv and CIFs.

    \b
    Examples:
      crystallite train formation --target formation_energy_per_atom
      crystallite train mine.parquet --target band_gap --epochs 300 --out runs/gap
      crystallite train --resume runs/gap

    The run folder then holds config.toml, metrics.jsonl (a line an epoch), best.safetensors (the model),
    test_predictions.csv, summary.json and figures. Ctrl-C saves before it stops.
    """
    from .. import training

    if resume is not None:
        run = training.resume(resume, workers=options["workers"], device=options["device"])
    else:
        if data is None:
            raise click.UsageError("give DATA, or --resume RUN; built-in datasets: crystallite data list")
        settings = _settings(options)
        run = training.train(data, targets or _only_target(data), **settings)
    _print_summary(run)


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """Return keyword arguments of `train`: options left out keep the recipe's values."""
    chosen = {name: value for name, value in options.items() if value is not None and name != "settings"}
    for assignment in options["settings"]:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes NAME=VALUE, not {assignment!r}")
        chosen[name.strip()] = _parsed(text.strip())
    return chosen


def _parsed(text: str) -> Any:
    """Read a TOML value; anything else is taken as text."""
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _only_target(data: str) -> str:
    from ..dataset import Dataset

    properties = Dataset.read(data).properties
    if len(properties) != 1:
        raise click.UsageError(
            f"choose a property with --target; {data} has: {', '.join(properties) or 'none'}"
        )
    return properties[0]


def _print_summary(run: Any) -> None:
    summary = run.summary
    for name, unit in zip(summary["target"], summary["unit"], strict=True):
        errors = summary.get("targets", {}).get(name, summary)
        click.echo(f"{name}: {summary['n_train']} training, {summary['n_test']} test crystals")
        if errors.get("test_mae") is not None:
            click.echo(f"  test MAE            {errors['test_mae']:.4f} {unit}")
            click.echo(f"  MAE of mean value   {errors['baseline_mae']:.4f} {unit}")
        if errors.get("test_auc") is not None:
            click.echo(f"  test AUC            {errors['test_auc']:.4f}")
            click.echo(f"  test accuracy       {errors['test_accuracy']:.4f}")
            click.echo(f"  accuracy of majority {errors['baseline_accuracy']:.4f}")
    click.echo(
        f"  epochs {summary['epochs']}, best {summary['best_epoch']}, {summary['training_seconds']:.1f} s"
    )
    for figure in sorted(run.folder.glob("*.png")):
        click.echo(f"  {figure}")
    click.echo(f"Predict with it: crystallite predict {run.folder} my-cifs/ -o predictions.csv")
