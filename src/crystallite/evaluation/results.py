"""The one shape of results: lines of metrics.jsonl, summary.json, `Run.summary`.

{"targets": {NAME: {FIGURE: value}}, FIGURE: value}, for one target and several, of one run and of many:
what belongs to a target stands under its name, what belongs to all beside it. A figure that is not known is
None. The figures are listed in docs/training.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

Result = dict[str, Any]
# Beginnings of the figures of a target.
_OF_TARGET = (
    *("test_", "baseline_", "pooled_", "validation_mae", "validation_auc"),
    *("mean_deviation", "coverage_", "factor", "exponent"),
)


def known_or_none(value: float) -> float | None:
    """Return None for what is not known (NaN) or beyond all bounds, which JSON has no word for."""
    return value if math.isfinite(value) else None


def shown_error(result: Result) -> float | None:
    """Return the validation error for people: in units or as AUC where there is one target.

    Of several targets it is what is minimised, the error on the normalised scale.
    """
    figures = list(result["targets"].values())
    several: float | None = result["validation_error"]
    single: float | None = figures[0].get("validation_mae", figures[0].get("validation_auc"))
    return single if len(figures) == 1 else several


def upgraded(result: Mapping[str, Any], names: Sequence[str] = ()) -> Result:
    """Return a result in today's shape, also if version 0.1.0 wrote it.

    0.1.0 kept the figures of a single target, and the validation errors of several as {NAME: error}, beside
    those of all. names: of the targets, for a line of metrics.jsonl, which did not say them.
    """
    names = list(result.get("targets") or result.get("target") or names)
    units = result.get("unit", [])
    targets = {name: {"unit": unit} for name, unit in zip(names, units, strict=False)}
    for name in names:
        targets.setdefault(name, {}).update(result.get("targets", {}).get(name, {}))
    others: Result = {}
    for key, value in result.items():
        if key.startswith(_OF_TARGET):
            for name in names:
                targets[name][key] = value.get(name) if isinstance(value, Mapping) else value
        elif key == "single_model":
            others[key] = upgraded({**value, "unit": units}, names)
        elif key not in ("target", "unit", "targets"):
            others[key] = value
    return {"targets": targets, **others}


def epoch_result(entry: Any, names: Sequence[str]) -> Result:
    """Return an entry of a training run's history in today's shape; ValueError for what is none."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"an epoch's results are {type(entry).__name__}")
    if "validation_error" not in entry:
        raise ValueError("an epoch's results lack validation_error")
    numbers = [entry.get(figure) for figure in ("epoch", "loss", "seconds")]
    if entry["validation_error"] is not None:
        numbers.append(entry["validation_error"])
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        raise ValueError("an epoch's results are no numbers")
    json.dumps(entry, allow_nan=False)  # as metrics.jsonl will have it: refuses what is not finite
    return upgraded(entry, names)


def in_digits(value: float | None) -> str:
    """Return a number as people read it: four decimals, or three digits of what is too small for them."""
    if value is None:
        return "unknown"
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.3g}"
