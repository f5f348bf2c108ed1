"""Training a kernel machine on descriptors: support vector machines whose settings inner folds choose.

One epoch is the whole training run. Cost grows with the square of the training crystals.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import CrystalliteError
from ..evaluation.results import Result, epoch_result
from ..extras import needed
from ..features.descriptors import descriptor_values, typical_sizes
from ..features.kernel_machine import KernelMachine, checked_machine, kernel_sums, scaled
from ..graphs.packed import gather_batch
from ..models.checkpoint import TrainedModel
from ..models.inference import outputs_of
from ..settings.config import GraphConfig, ModelConfig
from .learner import Learner, Rows

MOST_CRYSTALS = 20_000  # of the training set
CHOSEN_ON = 1_000  # crystals at most, by N_FOLDS folds
N_FOLDS = 4
# What is tried. Penalties of errors, and widths of kernels in units of 1 / descriptors; then how far a
# prediction may be off without penalty, in standard deviations of the target (not for classes).
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
GAMMAS = (0.05, 0.1, 0.2, 0.5, 1.0)
TUBES = (0.003, 0.01, 0.03, 0.1)
FIRST_TUBE = 0.02
ROUNDING = 1e-6  # of a descriptor's typical size: a smaller spread is none
ONE_CLASS = 3.0  # margin of the only class that there is
Values = NDArray[np.float64]


class Data(NamedTuple):
    """Training crystals of one target: scaled descriptors, normalised values, weights, materials."""

    points: Values
    truth: Values
    weights: Values
    groups: Rows


class Choice(NamedTuple):
    """Settings of a support vector machine: penalty of errors, width of the kernel, tube without penalty."""

    penalty: float
    gamma: float
    tube: float


class KernelLearner(Learner):
    """A kernel machine for each target."""

    def __init__(self, model: ModelConfig, groups: Rows, *arguments: Any) -> None:
        """model: its shape. groups: (crystals,) numbers of their materials. arguments: of Learner."""
        needed("sklearn", "the recipe small", "crystallite[sklearn]")
        super().__init__(*arguments)
        self.groups = groups
        if len(self.split.train) > MOST_CRYSTALS:
            raise CrystalliteError(
                f"the recipe small is for at most {MOST_CRYSTALS:,} training crystals, not "
                f"{len(self.split.train):,}: take the recipe modern"
            )
        self.model_config = model
        self.machine: KernelMachine | None = None
        self.choices: list[Choice] = []

    @property
    def device(self) -> str:
        """Support vector machines are trained on the CPU."""
        return "cpu"

    def run_epoch(self, after_step: Callable[[float], None] = lambda loss: None) -> Result:
        """Train all machines."""
        self.choices = []
        rows = self.split.train
        values = descriptor_values(gather_batch(self.graphs, rows))
        center, spread = values.mean(axis=0), values.std(axis=0)
        scale = np.where(spread > ROUNDING * typical_sizes(values), spread, 1.0)
        points = scaled(values, center, scale)
        normalized = self.normalized.numpy().astype(np.float64)[rows]
        weights = (
            np.ones(len(rows)) if self.weights is None else self.weights.numpy()[rows].astype(np.float64)
        )
        machines = [self._fitted(points, truth, weights) for truth in normalized.T]
        coefficients = np.stack([machine[1] for machine in machines])
        supports = (coefficients != 0).any(axis=0)
        arrays = {
            "points": points[supports],
            "coefficients": coefficients[:, supports],
            "gammas": np.array([choice.gamma for choice in self.choices]),
            "intercepts": np.array([machine[0] for machine in machines]),
            "center": center,
            "scale": scale,
        }
        self.machine = KernelMachine(self.model_config, checked_machine(arrays, self.model_config))
        loss = _mean_error(self.targets.task, normalized, kernel_sums(points, self.machine.weights), weights)
        self.step = 1
        after_step(loss)
        self.history.append({"epoch": 1, "learning_rate": None, "loss": loss, **self.validate()})
        return self.history[-1]

    def _fitted(
        self, points: NDArray[np.float32], truth: Values, weights: Values
    ) -> tuple[float, NDArray[np.float64]]:
        """Return intercept and coefficients (training crystals,) of the machine of one target."""
        known = np.flatnonzero(np.isfinite(truth))
        task, coefficients = self.targets.task, np.zeros(len(truth))
        random = np.random.default_rng([self.config.seed, len(self.choices)])
        data = Data(
            points[known].astype(np.float64),
            truth[known],
            weights[known] / weights[known].mean(),  # a penalty is that of a mean crystal
            self.groups[self.split.train[known]],
        )
        choice = chosen(data, task, random)
        self.choices.append(choice)
        if task == "classification" and len(np.unique(data.truth)) < 2:
            return (ONE_CLASS if data.truth[0] else -ONE_CLASS), coefficients
        machine = _support_vector_machine(task, choice)
        machine.fit(data.points, data.truth, data.weights)
        coefficients[known[machine.support_]] = machine.dual_coef_[0]
        return float(machine.intercept_[0]), coefficients

    def outputs(self, rows: Rows) -> NDArray[np.float32]:
        """Return (rows, outputs) of the machines."""
        assert self.machine is not None
        return outputs_of(self.machine, self.graphs, rows)

    def trained_model(self, graph: GraphConfig, info: dict[str, Any]) -> TrainedModel:
        """Return the model of the machines; `info` says which settings were chosen."""
        assert self.machine is not None
        info = {**info, "chosen": [choice._asdict() for choice in self.choices]}
        return TrainedModel(self.model_config, self.machine.weights, graph, self.targets, info, self.seen)

    def take_back(self, model: TrainedModel) -> None:
        """Continue with the machines of a model."""
        self.machine = KernelMachine(self.model_config, model.weights)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return the machines and the history."""
        arrays = {} if self.machine is None else self.machine.weights
        choices = [tuple(choice) for choice in self.choices]
        return arrays, {"step": self.step, "history": self.history, "choices": choices}

    def load_state(self, arrays: dict[str, NDArray[Any]], counters: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        self.step = int(counters["step"])
        self.history = [epoch_result(entry, self.targets.names) for entry in counters["history"]]
        self.choices = [Choice(*choice) for choice in counters["choices"]]
        self.machine = (
            KernelMachine(self.model_config, checked_machine(arrays, self.model_config)) if arrays else None
        )


def chosen(data: Data, task: str, random: np.random.Generator) -> Choice:
    """Return the settings with the smallest error in inner folds of training crystals, changed one by one.

    A material lies in one fold, as it lies in one set.
    """
    n_descriptors = data.points.shape[1]
    first = Choice(10.0, 0.2 / n_descriptors, FIRST_TUBE)
    rows = random.permutation(len(data.truth))[:CHOSEN_ON]
    materials = random.permutation(np.unique(data.groups[rows]))
    parts = [rows[np.isin(data.groups[rows], some)] for some in np.array_split(materials, N_FOLDS)]
    if any(len(part) < 2 for part in parts) or (task == "classification" and _lacks_a_class(data, parts)):
        return first

    def error(choice: Choice) -> float:
        errors = []
        for part in parts:
            others = np.setdiff1d(rows, part)
            machine = _support_vector_machine(task, choice)
            machine.fit(data.points[others], data.truth[others], data.weights[others])
            found = machine.decision_function if task == "classification" else machine.predict
            predicted = found(data.points[part])[:, None]
            errors.append(_mean_error(task, data.truth[part][:, None], predicted, data.weights[part]))
        return float(np.mean(errors))

    errors = cache(error)
    best = first
    for _ in range(2):  # one setting after the other: a third of the fits of a grid
        best = min((best._replace(gamma=gamma / n_descriptors) for gamma in GAMMAS), key=errors)
        best = min((best._replace(penalty=penalty) for penalty in PENALTIES), key=errors)
    if task == "classification":
        return best
    return min((best._replace(tube=tube) for tube in (FIRST_TUBE, *TUBES)), key=errors)


def _lacks_a_class(data: Data, parts: list[Rows]) -> bool:
    """Whether the training crystals of a fold are of one class."""
    everything = np.concatenate(parts)
    return any(len(np.unique(data.truth[np.setdiff1d(everything, part)])) < 2 for part in parts)


def _support_vector_machine(task: str, choice: Choice) -> Any:
    from sklearn.svm import SVC, SVR

    if task == "classification":
        return SVC(C=choice.penalty, gamma=choice.gamma, class_weight="balanced")
    return SVR(C=choice.penalty, gamma=choice.gamma, epsilon=choice.tube)


def _mean_error(task: str, truth: Values, sums: Values, weights: Values) -> float:
    """Return the mean absolute error of known targets, or of classes the mean logistic loss.

    truth, sums: (crystals, targets). weights: (crystals,).
    """
    if task == "classification":
        errors = np.logaddexp(0, np.where(truth > 0.5, -2 * sums, 2 * sums))
    else:
        errors = np.abs(truth - sums)
    known = np.isfinite(truth)
    counted = np.broadcast_to(weights[:, None], truth.shape)[known]
    return float(np.average(errors[known], weights=counted))
