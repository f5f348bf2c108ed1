"""`crystallite train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from .options import only_target, settings_of, training_options


@click.command()
@click.argument("data", required=False)
@training_options
@click.option("--folds", type=click.IntRange(3), metavar="K", help="Cross-validate: K trainings.")
@click.option("--members", type=click.IntRange(2), metavar="K", help="Train an ensemble of K.")
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with an interrupted run."
)
def command(
    data: str | None,
    targets: tuple[str, ...],
    resume: Path | None,
    folds: int | None,
    members: int | None,
    **options: Any,
) -> None:
    """Train a model on DATA: a built-in name, a Parquet file or a folder with id_prop.csv and CIFs.

    \b
    Examples:
      crystallite train formation --target formation_energy_per_atom
      crystallite train mine.parquet --target band_gap --epochs 300 --out runs/gap
      crystallite train elastic --target bulk_modulus:log10 --folds 5 --parallel 2
      crystallite train --resume runs/gap

    The run folder then holds config.toml, metrics.jsonl (a line an epoch), best.safetensors (the model),
    test_predictions.csv, summary.json and figures. Ctrl-C saves before it stops.

    With --folds K every crystal is tested once; with --members K an ensemble is trained, whose predictions
    carry a calibrated standard deviation. Each has its run folder inside RUN; --resume goes on with them.
    """
    from .. import experiments, training

    running = {name: options[name] for name in ("workers", "device")}
    parallel = options.pop("parallel")
    if resume is not None:
        if experiments.is_group(resume):
            print_group(resume, experiments.resume_group(resume, parallel=parallel, **running))
        else:
            _print_summary(training.resume(resume, **running))
        return
    if data is None:
        raise click.UsageError("give DATA, or --resume RUN; built-in datasets: crystallite data list")
    if folds and members:
        raise click.UsageError("choose --folds or --members, not both")
    settings = settings_of(options)
    targets = targets or (only_target(data),)
    if folds or members:
        group = {"folds": folds} if folds else {"members": members}
        folder = experiments.start_group(data, targets, group, **settings)
        print_group(folder, experiments.resume_group(folder, parallel=parallel, **running))
    else:
        _print_summary(training.train(data, targets, **settings))


def print_group(folder: Path, summary: dict[str, Any]) -> None:
    """Show the summary of several trainings."""
    for key, value in summary.items():
        if isinstance(value, float):
            click.echo(f"  {key:28} {value:.4f}")
        elif isinstance(value, dict):
            click.echo(f"  {key}")
            for inner, number in value.items():
                shown = f"{number:.4f}" if isinstance(number, float) else str(number)
                click.echo(f"    {inner:26} {shown}")
        else:
            click.echo(f"  {key:28} {', '.join(map(str, value)) if isinstance(value, list) else value}")
    for figure in sorted(folder.glob("*.png")):
        click.echo(f"  {figure}")
    click.echo(f"Everything is in {folder}")


def _print_summary(run: Any) -> None:
    if os.environ.get("RANK", "0") != "0":  # torchrun: one process speaks
        return
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
