"""Pictures of a training: the only file that draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .files import atomic_path
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
    validated = [entry["validation_error"] for entry in history]
    if min(validated, default=-1) >= 0:
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
