"""Pictures of a training run: the only file that draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..files.writing import atomic_path
from .metrics import area_under_curve, mean_absolute_error, r_squared

Values = NDArray[np.float64]
_BLUE, _ORANGE = "#1f5a99", "#d9752b"


def plot_parity(path: Path, truth: Values, predicted: Values, name: str, unit: str) -> None:
    """Draw predicted against true values of a test set, with the mean absolute error."""
    figure, axes = _canvas()
    known = np.isfinite(truth)
    truth, predicted = truth[known], predicted[known]
    low, high = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
    axes.plot([low, high], [low, high], color="0.6", linewidth=1, zorder=1)
    axes.scatter(truth, predicted, s=9, alpha=0.5, color=_BLUE, linewidths=0, zorder=2)
    axes.set_aspect("equal", "datalim")
    axes.set_xlabel(f"true {_label(name, unit)}")
    axes.set_ylabel(f"predicted {_label(name, unit)}")
    error = mean_absolute_error(truth, predicted)
    axes.set_title(
        f"{len(truth):,} test crystals: MAE {error:.4g} {unit}, R² {r_squared(truth, predicted):.3f}",
        fontsize=9,
    )
    _save(figure, path)


def plot_roc(path: Path, truth: Values, probability: Values, name: str) -> None:
    """Draw the receiver operating characteristic of a test set."""
    figure, axes = _canvas()
    known = np.isfinite(truth)
    order = np.argsort(-probability[known], kind="stable")
    positive = truth[known][order] == 1
    true_rate = np.append(0, np.cumsum(positive) / max(positive.sum(), 1))
    false_rate = np.append(0, np.cumsum(~positive) / max((~positive).sum(), 1))
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    axes.plot(false_rate, true_rate, color=_BLUE)
    axes.set_aspect("equal")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.set_title(f"{name}: area under the curve {area_under_curve(truth, probability):.3f}", fontsize=9)
    _save(figure, path)


def plot_learning_curve(path: Path, history: Sequence[dict[str, Any]]) -> None:
    """Draw training loss and validation error over epochs."""
    figure, axes = _canvas(width=5.2)
    epochs = [entry["epoch"] for entry in history]
    axes.plot(epochs, [entry["loss"] for entry in history], color=_ORANGE, label="training loss")
    known = [entry for entry in history if entry["validation_error"] is not None]
    if known:
        epochs = [entry["epoch"] for entry in known]
        validated = [entry["validation_error"] for entry in known]
        axes.plot(epochs, validated, color=_BLUE, label="validation error")
        best = int(np.argmin(validated))
        axes.plot(
            epochs[best], validated[best], "o", color=_BLUE, markersize=5, label=f"best: epoch {epochs[best]}"
        )
    axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("on the normalised scale")
    axes.legend(frameon=False)
    _save(figure, path)


def plot_change(path: Path, change: Values, name: str, unit: str) -> None:
    """Draw the histogram of a property's changes, with their mean and mean size.

    The axis covers 99 % of them; the outermost bins hold all beyond.
    """
    figure, axes = _canvas(width=5.2)
    limit = float(np.quantile(np.abs(change), 0.99)) or float(np.abs(change).max()) or 1.0
    axes.hist(
        np.clip(change, -limit, limit), bins=np.linspace(-limit, limit, 62).tolist(), color=_BLUE, log=True
    )
    axes.axvline(0, color="0.6", linewidth=1, zorder=0)
    axes.set_xlabel(f"change of {_label(name, unit)}; outermost bins: all beyond", fontsize=8)
    axes.set_ylabel("crystals")
    mean, size = float(change.mean()), float(np.abs(change).mean())
    axes.set_title(
        f"{len(change):,} crystals: mean {mean:.3g} {unit}, mean size {size:.3g} {unit}", fontsize=9
    )
    _save(figure, path)


def plot_reliability(path: Path, levels: Values, raw: Values, calibrated: Values) -> None:
    """Draw observed against nominal coverage of the error bars of an ensemble."""
    figure, axes = _canvas()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    axes.plot(levels, raw, "o-", color=_ORANGE, markersize=4, label="spread of the members")
    axes.plot(levels, calibrated, "o-", color=_BLUE, markersize=4, label="calibrated")
    axes.set_aspect("equal")
    axes.set_xlabel("nominal coverage")
    axes.set_ylabel("observed fraction of test errors")
    axes.legend(frameon=False)
    _save(figure, path)


def plot_power_law(path: Path, sizes: Values, errors: Values, fit: tuple[float, float], unit: str) -> None:
    """Draw error against the number of training crystals, with the law errors = factor x sizes^-exponent."""
    figure, axes = _canvas(width=5.2)
    factor, exponent = fit
    line = np.geomspace(sizes.min(), sizes.max(), 50)
    axes.plot(line, factor * line**-exponent, color="0.6", linewidth=1, label=f"∝ N^-{exponent:.2f}")
    axes.plot(sizes, errors, "o", color=_BLUE)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("training crystals")
    axes.set_ylabel(f"test MAE ({unit})" if unit else "test MAE")
    axes.legend(frameon=False)
    _save(figure, path)


def plot_search(
    path: Path,
    complete: Sequence[tuple[int, float]],
    pruned: Sequence[tuple[int, float]],
    diverged: Sequence[int],
    best_so_far: Sequence[tuple[int, float]],
    default: float | None,
    measure: str,
) -> None:
    """Draw (trial, validation error) of complete and pruned trials, the best so far, and the default.

    diverged: trials without an error, marked at the upper edge.
    """
    figure, axes = _canvas(width=5.2)
    if pruned:
        axes.plot(*zip(*pruned, strict=True), "x", color="0.6", markersize=4, label="pruned")
    if diverged:
        edge = axes.get_xaxis_transform()
        axes.plot(
            diverged,
            [0.98] * len(diverged),
            "^",
            color=_ORANGE,
            markersize=4,
            transform=edge,
            label="diverged",
        )
    axes.plot(*zip(*complete, strict=True), "o", color=_BLUE, markersize=4, label="complete")
    axes.step(*zip(*best_so_far, strict=True), where="post", color=_BLUE, linewidth=1, label="best so far")
    if default is not None:
        axes.axhline(default, color=_ORANGE, linewidth=1, linestyle="--", label="default settings")
    values = np.array([value for _, value in complete])
    low, high = values.min(), np.quantile(values, 0.9)
    margin = 0.1 * (high - low) or 0.1 * abs(low) or 0.1
    axes.set_ylim(low - margin, max(high, default or high) + margin)
    axes.set_xlabel("trial")
    axes.set_ylabel(measure)
    axes.legend(frameon=False, fontsize=8)
    _save(figure, path)


def plot_importances(path: Path, importances: dict[str, float], n_trials: int) -> None:
    """Draw how much each setting decides whether a trial is among the best (PED-ANOVA, sum 1)."""
    figure, axes = _canvas(width=5.2)
    names = sorted(importances, key=lambda name: importances[name])
    bars = axes.barh([name.replace("_", " ") for name in names], [importances[name] for name in names])
    for bar in bars:
        bar.set_color(_BLUE)
    axes.set_xlabel("importance")
    axes.set_title(f"{n_trials} complete trials", fontsize=9)
    _save(figure, path)


def _canvas(width: float = 4.2) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _label(name: str, unit: str) -> str:
    words = name.replace("_", " ")
    return f"{words} ({unit})" if unit else words


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
