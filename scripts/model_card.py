"""The card of a model: what it gets wrong on the test set, by kind of crystal, and what it was made of."""

from __future__ import annotations

import datetime
import json
import platform
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from model_data import UNCLEANED, Target
from numpy.typing import NDArray

import crystallite
from crystallite.crystals.elements import symbols
from crystallite.datasets.dataset import Dataset
from crystallite.evaluation.metrics import (
    accuracy,
    area_under_curve,
    mean_absolute_error,
    r_squared,
    root_mean_square_error,
)
from crystallite.graphs.packed import PackedGraphs
from crystallite.materials.splits import Split
from crystallite.models.bundle import Bundle
from crystallite.models.inference import predict_and_embed, predict_graphs
from crystallite.models.reliability import spreads_of

Values = NDArray[np.float64]
LEVELS = (50, 68, 90, 95)
SETS = ("train", "validation", "test")


class Tested(NamedTuple):
    """A model, its dataset with the graphs, and the split."""

    bundle: Bundle
    dataset: Dataset
    graphs: PackedGraphs
    split: Split


def card_of(
    recipe: dict[str, Any], tested: Tested, targets: list[Target], folder: Path, command: str
) -> dict[str, Any]:
    """Measure a model on the test set, and return its card; recipe: a file of models.toml."""
    described = tomllib.loads(Path(__file__).with_name("models.toml").read_text())["data"][recipe["data"]]
    by_name = {target.name: target for target in targets}
    predictions = _predictions(tested)
    properties = {}
    for k, (name, about) in enumerate(recipe["properties"].items()):
        target = by_name[about["target"].partition(":")[0]]
        properties[name] = {
            "column": target.name,
            "unit": target.unit or "",
            "about": about["about"],
            "theory": about["theory"],
            "scale": tested.bundle.members[0].targets.transforms[k],
            "left_out": {"rule": target.rule, **_left_out(tested, target)},
            "known": _known(tested, target.name),
            **_Test(tested, predictions, k, target.name).facts(),
        }
    metrics = [json.loads(line) for path in folder.glob("member-*/metrics.jsonl") for line in path.open()]
    made = datetime.date.fromtimestamp((folder / "summary.json").stat().st_mtime)
    return {
        "title": recipe["title"],
        "version": crystallite.__version__,
        "date": made.isoformat(),
        "licence": described["licence"],
        "made_by": "make models",
        "data": {
            "about": described["about"],
            "fingerprint": tested.dataset.fingerprint,
            "split": described["split"],
        },
        "training": {
            "members": len(tested.bundle.members),
            "epochs": max(entry["epoch"] for entry in metrics),
            "hours": round(sum(entry["seconds"] for entry in metrics) / 3600, 2),
            "machine": _processor(),
            "command": command,
        },
        "properties": properties,
    }


def _processor() -> str:
    """Return the name of this machine's processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"an {names[0]}" if names else f"a processor of kind {platform.machine()}"


class Predictions(NamedTuple):
    """Of the test set: (members, crystals, targets) values, (crystals,) distances to the training data."""

    members: Values
    distances: Values


def _predictions(tested: Tested) -> Predictions:
    first, *others = tested.bundle.members
    predicted, embedding = predict_and_embed(first, tested.graphs, tested.split.test)
    members = [predicted, *(predict_graphs(model, tested.graphs, tested.split.test) for model in others)]
    assert tested.bundle.reliability is not None
    return Predictions(np.stack(members), tested.bundle.reliability.reference.distances(embedding))


def _known(tested: Tested, column: str) -> dict[str, int]:
    """Return the number of known values in each set."""
    known = np.isfinite(tested.dataset.values(column))
    return {name: int(known[rows].sum()) for name, rows in zip(SETS, tested.split, strict=True)}


def _left_out(tested: Tested, target: Target) -> dict[str, int]:
    """Return how many values of the test, and of training and validation together, are left out."""
    total = int((target.left_out & np.isfinite(target.values)).sum())
    uncleaned = tested.dataset.values(target.name + UNCLEANED)[tested.split.test]
    in_test = int(np.isfinite(uncleaned).sum()) - _known(tested, target.name)["test"]
    return {"training": total - in_test, "test": in_test}


class _Test:
    """The test of one property."""

    def __init__(self, tested: Tested, predictions: Predictions, k: int, column: str) -> None:
        bundle, self.dataset, graphs, self.split = tested
        assert bundle.reliability is not None
        self.reliability, self.targets, self.k = bundle.reliability, bundle.members[0].targets, k
        self.is_class = self.targets.task == "classification"
        self.logarithmic = self.targets.transforms[k] == "log10"
        self.all_members, self.distances = predictions
        self.members = self.all_members[:, :, k]
        self.predicted = self.reliability.mean(self.targets, self.all_members)[:, k]
        self.truth = self.dataset.values(column)[self.split.test]
        self.uncleaned = self.dataset.values(column + UNCLEANED)[self.split.test]
        self.training = self.dataset.values(column)[self.split.train]
        counts = np.add.reduceat(graphs.multiplicities.astype(np.int64), graphs.node_offsets[:-1])
        self.n_atoms, self.elements = counts[self.split.test], _elements(graphs)
        self.errors = np.abs(self._scaled(self.truth) - self._scaled(self.predicted))

    def _scaled(self, values: Values) -> Values:
        return np.log10(values) if self.logarithmic else values

    def facts(self) -> dict[str, Any]:
        """Return what the card says of the property's errors."""
        on_scale = "of log10" if self.logarithmic else ""
        error_name = "share of wrong classes" if self.is_class else f"mean absolute error {on_scale}".strip()
        width_name = "share of sets with both classes" if self.is_class else f"mean width {on_scale}".strip()
        return {
            "errors": {name: _rounded(value) for name, value in self._errors().items()},
            "error_name": error_name,
            "width_name": width_name,
            "by_kind": self._by_kind(),
            "by_element": self._by_element(),
            "intervals": self._intervals(),
            "alarm": self._alarm(),
            "failures": self._failures(),
        }

    def _errors(self) -> dict[str, float]:
        truth, predicted, single = self.truth, self.predicted, self.members[0]
        if self.is_class:
            return {
                "test_auc": area_under_curve(truth, predicted),
                "test_auc_uncleaned": area_under_curve(self.uncleaned, predicted),
                "single_auc": area_under_curve(truth, single),
                "test_accuracy": accuracy(truth, predicted),
                "calibration_error": _calibration_error(truth, predicted),
            }
        errors = {
            "test_mae": mean_absolute_error(truth, predicted),
            "test_mae_uncleaned": mean_absolute_error(self.uncleaned, predicted),
        }
        if self.logarithmic:
            errors["test_mae_log10"] = float(np.nanmean(self.errors))
            positive = np.where(self.uncleaned > 0, self.uncleaned, np.nan)
            errors["test_mae_log10_uncleaned"] = mean_absolute_error(np.log10(positive), np.log10(predicted))
            errors["single_mae_log10"] = mean_absolute_error(np.log10(truth), np.log10(single))
        errors["single_mae"] = mean_absolute_error(truth, single)
        errors["baseline_mae"] = mean_absolute_error(truth, np.full(len(truth), np.nanmean(self.training)))
        errors["test_rmse"] = root_mean_square_error(truth, predicted)
        errors["test_r2"] = r_squared(truth, predicted)
        return errors

    def _size_of_errors(self) -> Values:
        """Return (test crystals,) what is averaged: errors on the scale, or 1 for a wrong class."""
        if not self.is_class:
            return self.errors
        wrong = (self.predicted >= 0.5) != (self.truth == 1)
        return np.where(np.isnan(self.truth), np.nan, wrong.astype(float))

    def _by_kind(self) -> dict[str, tuple[int, float]]:
        sizes = {"1 to 5 atoms": (1, 5), "6 to 10 atoms": (6, 10), "11 to 20 atoms": (11, 20)}
        sizes |= {"21 to 50 atoms": (21, 50), "more than 50 atoms": (51, 10**9)}
        kinds = {name: (self.n_atoms >= low) & (self.n_atoms <= high) for name, (low, high) in sizes.items()}
        if "band_gap" in self.dataset.properties:
            gap = self.dataset.values("band_gap")[self.split.test]
            kinds |= {"metals": gap == 0, "insulators": gap > 0}
        errors = self._size_of_errors()
        kinds = {name: rows & np.isfinite(errors) for name, rows in kinds.items()}
        return {
            name: (int(rows.sum()), _rounded(errors[rows].mean()))
            for name, rows in kinds.items()
            if rows.any()
        }

    def _by_element(self) -> dict[str, tuple[int, int, float]]:
        """Return symbol -> crystals of training and test that have it, and their error."""
        errors, known = self._size_of_errors(), np.isfinite(self.training)
        trained, tested = self.elements[self.split.train], self.elements[self.split.test]
        found = {}
        for number in range(1, tested.shape[1]):
            rows = tested[:, number] & np.isfinite(errors)
            if rows.sum() >= 5:
                n_train = int((trained[:, number] & known).sum())
                found[symbols()[number]] = (n_train, int(rows.sum()), _rounded(errors[rows].mean()))
        return found

    def _intervals(self) -> dict[str, tuple[float, float | None]]:
        """Return level -> share of test crystals in the interval, and mean width on the scale."""
        known, found = np.isfinite(self.truth), {}
        for level in LEVELS:
            ends = self.reliability.bounds(self.targets, level / 100, self.all_members, self.distances)
            lower, upper = (end[known, self.k] for end in ends)
            truth = self.truth[known]
            covered = float(((truth >= lower) & (truth <= upper)).mean())
            width = float((self._scaled(upper) - self._scaled(lower)).mean())
            found[str(level)] = (_rounded(covered), _rounded(width))
        return found

    def _alarm(self) -> dict[str, float]:
        """Return how well errors above the 90th percentile are told: AUC of each signal."""
        known = np.isfinite(self.errors)
        large = (self.errors[known] > np.quantile(self.errors[known], 0.9)).astype(float)
        spread = spreads_of(self.targets, self.all_members)[:, self.k]
        ranks = [np.argsort(np.argsort(signal[known])) for signal in (self.distances, spread)]
        signals = {"distance": ranks[0], "spread": ranks[1], "both": ranks[0] + ranks[1]}
        return {name: round(area_under_curve(large, rank.astype(float)), 3) for name, rank in signals.items()}

    def _failures(self) -> list[dict[str, Any]]:
        errors = np.where(np.isnan(self.errors), -1, self.errors)
        found = []
        for row in np.argsort(errors)[::-1][:5]:
            position = int(self.split.test[row])
            found.append(
                {
                    "id": self.dataset.ids[position],
                    "formula": _formula(self.dataset.crystal(position).numbers),
                    "truth": _rounded(self.truth[row]),
                    "predicted": _rounded(self.predicted[row]),
                }
            )
        return found


def _elements(graphs: PackedGraphs) -> NDArray[np.bool_]:
    """Return (crystals, atomic numbers): which elements each crystal has."""
    crystals = np.repeat(np.arange(graphs.n_crystals), np.diff(graphs.node_offsets))
    found = np.zeros((graphs.n_crystals, len(symbols())), bool)
    found[crystals, graphs.numbers] = True
    return found


def _formula(numbers: NDArray[np.integer[Any]]) -> str:
    elements, counts = np.unique(numbers, return_counts=True)
    counts = counts // np.gcd.reduce(counts)
    return "".join(
        f"{symbols()[number]}{count if count > 1 else ''}"
        for number, count in zip(elements, counts, strict=True)
    )


def _calibration_error(truth: Values, probability: Values) -> float:
    """Return the largest difference of mean probability and frequency among ten groups of crystals."""
    known = np.isfinite(truth)
    order = np.argsort(probability[known])
    parts = zip(
        np.array_split(truth[known][order], 10), np.array_split(probability[known][order], 10), strict=True
    )
    return max(abs(float(one.mean() - other.mean())) for one, other in parts)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
