"""What is printed when training runs and tables of inputs have ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..evaluation.results import Result, in_digits

if TYPE_CHECKING:
    from ..sources.streaming import Report


def end_with(report: Report, what: str, output: Path | None, skip_bad: bool) -> None:
    """Say what became of the inputs; exit with status 1 if some could not be used and are not skipped."""
    for notice in report.notices:
        click.echo(f"Notice: {notice}", err=True)
    if output is not None:
        click.echo(f"{report.n_used} {what} in {output}", err=True)
    if report.bad:
        n_inputs = len(report.bad) + report.n_used
        click.echo(f"{len(report.bad)} of {n_inputs} inputs could not be used", err=True)
        sys.exit(0 if skip_bad and report.n_used else 1)


def print_run(folder: Path, summary: Result) -> None:
    """Show the summary of one training run."""
    if os.environ.get("RANK", "0") != "0":  # torchrun: one process speaks
        return
    for name, figures in summary["targets"].items():
        click.echo(f"{name}: {summary['n_train']} training, {summary['n_test']} test crystals")
        if summary["task"] == "classification":
            click.echo(f"  test AUC            {_number(figures['test_auc'])}")
            click.echo(f"  test accuracy       {_number(figures['test_accuracy'])}")
            click.echo(f"  majority accuracy   {_number(figures['baseline_accuracy'])}")
        else:
            click.echo(f"  test MAE            {_number(figures['test_mae'], figures['unit'])}")
            click.echo(f"  MAE of mean value   {_number(figures['baseline_mae'], figures['unit'])}")
    _print_choice(summary)
    known = summary["validation_error"] is not None
    kept = f"best {summary['best_epoch']}" if known else "the last is kept: no validation error is known"
    click.echo(f"  epochs {summary['epochs']}, {kept}, {summary['training_seconds']:.1f} s")
    _print_figures(folder)
    click.echo(f"Predict with it: crystallite predict {folder} my-cifs/ -o predictions.csv")


def print_group(folder: Path, summary: Result) -> None:
    """Show the summary of folds, an ensemble or a learning curve."""
    kinds = {"folds": _fold_lines, "members": _ensemble_lines, "sizes": _curve_lines}
    lines = next(lines for kind, lines in kinds.items() if kind in summary)
    for name in summary["targets"]:
        for line in lines(summary, name):
            click.echo(line)
    _print_choice(summary)
    _print_figures(folder)
    if "members" in summary:
        click.echo(f"Predict with it: crystallite predict {folder} my-cifs/ -o predictions.csv")
    else:
        click.echo(f"Everything is in {folder}")


def _print_choice(summary: Result) -> None:
    """Say what auto has taken, and why."""
    if "chosen" in summary:
        if "start_from" in summary:
            click.echo(f"  fine-tuned from     {summary['start_from']}")
        errors = ", ".join(
            f"{name} {in_digits(error)}" for name, error in summary["validation_errors"].items()
        )
        click.echo(f"  taken               {summary['chosen']}; validation errors: {errors}")


def _fold_lines(summary: Result, name: str) -> Iterator[str]:
    figures = summary["targets"][name]
    yield f"{name}: {summary['n_test']} crystals tested in {summary['folds']} folds (mean ± 95 % confidence)"
    if summary["task"] == "classification":
        yield f"  test AUC            {_with_confidence(figures, 'test_auc')}"
        yield f"  test accuracy       {_with_confidence(figures, 'test_accuracy')}"
        yield f"  majority accuracy   {_with_confidence(figures, 'baseline_accuracy')}"
    else:
        yield f"  test MAE            {_with_confidence(figures, 'test_mae', figures['unit'])}"
        yield f"  MAE of mean value   {_with_confidence(figures, 'baseline_mae', figures['unit'])}"


def _ensemble_lines(summary: Result, name: str) -> Iterator[str]:
    figures, single = summary["targets"][name], summary["single_model"]["targets"][name]
    crystals = f"{summary['n_train']} training, {summary['n_test']} test crystals"
    yield f"{name}: {summary['members']} members, {crystals}"
    if summary["task"] == "classification":
        yield f"  test AUC            {_number(figures['test_auc'])}"
        yield f"  of a single model   {_with_confidence(single, 'test_auc')} (mean ± 95 % confidence)"
        yield f"  test accuracy       {_number(figures['test_accuracy'])}"
        return
    unit = figures["unit"]
    yield f"  test MAE            {_number(figures['test_mae'], unit)}"
    yield f"  of a single model   {_with_confidence(single, 'test_mae', unit)} (mean ± 95 % confidence)"
    if not figures["calibrated"]:
        outcome = "rough" if figures["n_calibration"] else "not known"
        yield f"  deviations are {outcome}: {figures['n_calibration']} validation values are too few"
    if figures["coverage_68"] is not None:
        yield f"  within 1 deviation  {figures['coverage_68']:.1%} of test crystals (68.3 % expected)"
        yield f"  within 2 deviations {figures['coverage_95']:.1%} of test crystals (95.4 % expected)"


def _curve_lines(summary: Result, name: str) -> Iterator[str]:
    figures = summary["targets"][name]
    yield f"{name}: test MAE of {summary['n_test']} crystals"
    for size, error in zip(summary["sizes"], figures["test_mae"], strict=True):
        yield f"  {size:6} training crystals  {_number(error, figures['unit'])}"
    law = f"{figures['factor']:.4g} x N^-{figures['exponent']:.3f} {figures['unit']}"
    yield f"  fit: {law}".rstrip()


def _with_confidence(figures: Result, name: str, unit: str = "") -> str:
    half_width = figures[f"{name}_confidence"]
    confidence = "" if half_width is None else f" ± {in_digits(half_width)}"
    return f"{_number(figures[name])}{confidence} {unit}".rstrip()


def _number(value: float | None, unit: str = "") -> str:
    return in_digits(value) if value is None else f"{in_digits(value)} {unit}".rstrip()


def _print_figures(folder: Path) -> None:
    for figure in sorted(folder.glob("*.png")):
        click.echo(f"  {figure}")
