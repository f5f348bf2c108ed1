"""What learns from a training set, epoch by epoch: what a network in training and a kernel machine share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import DivergedError
from ..evaluation.metrics import area_under_curve, mean_absolute_error
from ..evaluation.results import Result, known_or_none
from ..graphs.packed import PackedGraphs
from ..materials.groups import Seen
from ..materials.splits import Split
from ..models.checkpoint import TrainedModel
from ..network.targets import Targets
from ..settings.config import GraphConfig, TrainConfig

Rows = NDArray[np.int64]


class Learner(ABC):
    """A model in training, and where it is.

    values: (crystals, targets) in units, NaN where unknown. weights: (crystals,) sample weights, or None.
    seen: the materials that the model will have met, to be kept with it. `history` holds a result (see
    `results`) an epoch.
    """

    def __init__(
        self,
        graphs: PackedGraphs,
        values: NDArray[np.float64],
        split: Split,
        targets: Targets,
        config: TrainConfig,
        sample_weights: NDArray[np.float64] | None = None,
        seen: Seen | None = None,
    ) -> None:
        self.graphs, self.values, self.split = graphs, values, split
        self.targets, self.config, self.seen = targets, config, seen
        self.normalized = torch.from_numpy(targets.normalized(values))
        self.weights = None if sample_weights is None else torch.from_numpy(sample_weights).float()
        self.steps_per_epoch = 1
        self.step = 0
        self.history: list[Result] = []

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return len(self.history)

    @property
    def best(self) -> Result | None:
        """The history entry with the smallest validation error; the latest where none has one.

        None before the first epoch.
        """
        validated = [entry for entry in self.history if entry["validation_error"] is not None]
        if validated:
            return min(validated, key=lambda entry: entry["validation_error"])
        return self.history[-1] if self.history else None

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or patience has run out."""
        if self.epoch >= self.config.epochs:
            return True
        best = self.best
        return bool(self.config.patience and best and self.epoch - best["epoch"] >= self.config.patience)

    @property
    @abstractmethod
    def device(self) -> str:
        """Where it trains."""

    @abstractmethod
    def run_epoch(self, after_step: Callable[[float], None] = lambda loss: None) -> Result:
        """Train to the end of the current epoch, validate and return the new history entry.

        `after_step` is called with each step's loss; an exception from it leaves a state that can be saved.
        """

    @abstractmethod
    def outputs(self, rows: Rows) -> NDArray[np.float32]:
        """Return (rows, outputs) of the model that is kept."""

    @abstractmethod
    def trained_model(self, graph: GraphConfig, info: dict[str, Any]) -> TrainedModel:
        """Return the model that is kept."""

    @abstractmethod
    def take_back(self, model: TrainedModel) -> None:
        """Continue with what `trained_model` returned before."""

    @abstractmethod
    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything the rest of the training run depends on, as named arrays and plain numbers."""

    @abstractmethod
    def load_state(self, arrays: dict[str, NDArray[Any]], counters: dict[str, Any]) -> None:
        """Take up the training run where `state` was called."""

    def predict(self, rows: Rows) -> NDArray[np.float64]:
        """Return (rows, targets) predictions in units, by the model that is kept.

        Several processes take a share of the rows each.
        """
        return self.targets.from_outputs(self.outputs(rows))

    def validate(self) -> Result:
        """Return `validation_error` (what is minimised) and, of each target, its error in units or AUC.

        The error is the mean absolute error on the normalised scale, or 1 - AUC for classification; None
        where the validation set cannot tell.
        """
        rows, names = self.split.validation, self.targets.names
        measure = "validation_auc" if self.targets.task == "classification" else "validation_mae"
        if not len(rows):
            return {"validation_error": None, "targets": {name: {measure: None} for name in names}}
        outputs = self.outputs(rows)
        truth, predicted = self.values[rows], self.targets.from_outputs(outputs)
        if not np.isfinite(predicted).all():
            raise self.diverged("the predictions for the validation set are not finite")
        if self.targets.task == "classification":
            figures = [area_under_curve(truth[:, 0], predicted[:, 0])]
            error = 1 - figures[0]
        else:
            figures = [mean_absolute_error(truth[:, k], predicted[:, k]) for k in range(len(names))]
            normalized = self.normalized[torch.from_numpy(rows)].numpy().astype(np.float64)
            error = mean_absolute_error(normalized, outputs.astype(np.float64))
        return {
            "validation_error": known_or_none(error),
            "targets": {
                name: {measure: known_or_none(figure)} for name, figure in zip(names, figures, strict=True)
            },
        }

    def diverged(self, how: str) -> DivergedError:
        """Return the error of a training run that has arrived at numbers that are not finite."""
        return DivergedError(f"training diverged in epoch {self.epoch + 1}: {how}")
