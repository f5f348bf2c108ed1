"""What trainings say when they have ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click


def print_run(folder: Path, summary: dict[str, Any]) -> None:
    """Show the summary of one training."""
    if os.environ.get("RANK", "0") != "0":  # torchrun: one process speaks
        return
    for name, unit in zip(summary["target"], summary["unit"], strict=True):
        errors = summary.get("targets", {}).get(name, summary)
        click.echo(f"{name}: {summary['n_train']} training, {summary['n_test']} test crystals")
        if errors.get("test_mae") is not None:
            click.echo(f"  test MAE            {errors['test_mae']:.4f} {unit}")
            click.echo(f"  MAE of mean value   {errors['baseline_mae']:.4f} {unit}")
        if errors.get("test_auc") is not None:
            click.echo(f"  test AUC            {errors['test_auc']:.4f}")
            click.echo(f"  test accuracy       {errors['test_accuracy']:.4f}")
            click.echo(f"  majority's accuracy {errors['baseline_accuracy']:.4f}")
    click.echo(
        f"  epochs {summary['epochs']}, best {summary['best_epoch']}, {summary['training_seconds']:.1f} s"
    )
    _print_figures(folder)
    click.echo(f"Predict with it: crystallite predict {folder} my-cifs/ -o predictions.csv")


def print_group(folder: Path, summary: dict[str, Any]) -> None:
    """Show the summary of folds, an ensemble or a learning curve."""
    kinds = {"folds": _fold_lines, "members": _ensemble_lines, "sizes": _curve_lines}
    lines = next(lines for kind, lines in kinds.items() if kind in summary)
    for name, unit in zip(summary["target"], summary["unit"], strict=True):
        for line in lines(summary, name, unit):
            click.echo(line.rstrip())
    _print_figures(folder)
    if "members" in summary:
        click.echo(f"Predict with it: crystallite predict {folder} my-cifs/ -o predictions.csv")
    else:
        click.echo(f"Everything is in {folder}")


def _fold_lines(summary: dict[str, Any], name: str, unit: str) -> Iterator[str]:
    figures = _of_target(summary, name)
    yield f"{name}: {summary['n_test']} crystals tested in {summary['folds']} folds (mean ± 95 % confidence)"
    if summary["task"] == "classification":
        yield f"  test AUC            {_with_confidence(figures, 'test_auc')}"
        yield f"  test accuracy       {_with_confidence(figures, 'test_accuracy')}"
        yield f"  majority's accuracy {_with_confidence(figures, 'baseline_accuracy')}"
    else:
        yield f"  test MAE            {_with_confidence(figures, 'test_mae')} {unit}"
        yield f"  MAE of mean value   {_with_confidence(figures, 'baseline_mae')} {unit}"


def _ensemble_lines(summary: dict[str, Any], name: str, unit: str) -> Iterator[str]:
    figures, single = _of_target(summary, name), _of_target(summary["single_model"], name)
    crystals = f"{summary['n_train']} training, {summary['n_test']} test crystals"
    yield f"{name}: {summary['members']} members, {crystals}"
    if summary["task"] == "classification":
        yield f"  test AUC            {_number(figures['test_auc'])}"
        yield f"  of a single model   {_with_confidence(single, 'test_auc')} (mean ± 95 % confidence)"
        yield f"  test accuracy       {_number(figures['test_accuracy'])}"
        return
    yield f"  test MAE            {_number(figures['test_mae'])} {unit}"
    yield f"  of a single model   {_with_confidence(single, 'test_mae')} {unit} (mean ± 95 % confidence)"
    if figures["test_mae"] is not None:
        yield f"  within 1 deviation  {figures['coverage_68']:.1%} of test crystals (68.3 % expected)"
        yield f"  within 2 deviations {figures['coverage_95']:.1%} of test crystals (95.4 % expected)"


def _curve_lines(summary: dict[str, Any], name: str, unit: str) -> Iterator[str]:
    yield f"{name}: test MAE of {summary['n_test']} crystals"
    for size, error in zip(summary["sizes"], summary["test_mae"], strict=True):
        yield f"  {size:6} training crystals  {error:.4f} {unit}"
    yield f"  fit: {summary['factor']:.4g} x N^-{summary['exponent']:.3f} {unit}"


def _of_target(summary: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the figures of one target, which has a dictionary of its own where there are several."""
    figures: dict[str, Any] = summary.get("targets", {}).get(name, summary)
    return figures


def _with_confidence(figures: dict[str, Any], name: str) -> str:
    half_width = figures[f"{name}_confidence"]
    return _number(figures[name]) + ("" if half_width is None else f" ± {half_width:.4f}")


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


def _print_figures(folder: Path) -> None:
    for figure in sorted(folder.glob("*.png")):
        click.echo(f"  {figure}")
