"""`CrystalRegressor` and `CrystalClassifier`: `crystallite.train` as scikit-learn's estimators."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from ..computing.devices import usable_device
from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..models.checkpoint import TrainedModel, read_model, save_model
from ..models.predictor import Predictor
from ..settings.config import Task
from ..training.run_settings import run_config
from ..training.train import Run, TrainingInterruptedError, train_as
from .inputs import as_dataset, class_targets, real_targets, refuse_one_class, sample_weights

WEIGHT = "sample_weight"  # the column of the dataset in training
SETTINGS = (
    "epochs", "batch_size", "learning_rate", "weight_decay", "patience",
    "atom_width", "n_convolutions", "hidden_width", "n_hidden",
)  # fmt: skip


class _CrystalEstimator(BaseEstimator):  # type: ignore[misc]
    """What both have in common: parameters, training, and a state that can be pickled."""

    def __init__(
        self,
        *,
        recipe: str = "modern",
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        patience: int | None = None,
        atom_width: int | None = None,
        n_convolutions: int | None = None,
        hidden_width: int | None = None,
        n_hidden: int | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = 0,
        device: str = "cpu",
        out: str | Path | None = None,
    ) -> None:
        self.recipe = recipe
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.atom_width = atom_width
        self.n_convolutions = n_convolutions
        self.hidden_width = hidden_width
        self.n_hidden = n_hidden
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.out = out

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # crystals are no rows of numbers
        return tags

    def _fit(
        self, X: Any, values: NDArray[np.float64], weights: NDArray[np.float64] | None, task: Task
    ) -> None:
        """Train on crystals with (N, k) values, and keep the model."""
        check_consistent_length(values, range(len(X)))
        names = ["y"] if values.shape[1] == 1 else [f"y{k}" for k in range(values.shape[1])]
        for name, column in zip(names, values.T, strict=True):
            X = X.with_property(name, column)
        if weights is not None:
            X = X.with_property(WEIGHT, weights)
        with TemporaryDirectory(prefix="crystallite-") as folder:
            run = self._train(X, names, task, WEIGHT if weights is not None else "", folder)
        self.predictor_ = Predictor(run.model)
        self.history_ = run.model.info["history"]

    def _train(self, data: Dataset, names: list[str], task: Task, weight_column: str, folder: str) -> Run:
        """Train in `out`, or else in a folder that nobody will look into, so that nothing is drawn."""
        given = {name: getattr(self, name) for name in SETTINGS if getattr(self, name) is not None}
        config = run_config(
            data, data, names, recipe=self.recipe, task=task, split=self._split(),
            weight_column=weight_column, seed=self._seed(), **given,
        )  # fmt: skip
        out, is_kept = self.out or folder, bool(self.out)
        try:
            return train_as(data, config, device=self.device, out=out, progress=False, figures=is_kept)
        except TrainingInterruptedError as error:  # an error would let a search continue with the next fit
            raise KeyboardInterrupt("training was stopped") from error

    def _split(self) -> str:
        fraction = self.validation_fraction
        if not 0 <= fraction < 1:
            raise CrystalliteError(f"validation_fraction must lie in [0, 1), not {fraction!r}")
        return f"{1 - fraction:.12g}/{fraction:.12g}/0"

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _predicted(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self, "predictor_")
        self.predictor_.model.device = usable_device(self.device)
        return self.predictor_.predict(as_dataset(X))

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        if "predictor_" in state:
            state["predictor_"] = _to_bytes(state["predictor_"].model)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "predictor_" in state:
            state = {**state, "predictor_": Predictor(_from_bytes(state["predictor_"]))}
        super().__setstate__(state)


def _to_bytes(model: TrainedModel) -> bytes:
    """Return the content of a model's file."""
    with TemporaryDirectory(prefix="crystallite-") as folder:
        save_model(Path(folder) / "model.safetensors", model)
        return (Path(folder) / "model.safetensors").read_bytes()


def _from_bytes(content: bytes) -> TrainedModel:
    with TemporaryDirectory(prefix="crystallite-") as folder:
        (Path(folder) / "model.safetensors").write_bytes(content)
        return read_model(Path(folder) / "model.safetensors")


class CrystalRegressor(RegressorMixin, _CrystalEstimator):  # type: ignore[misc]
    """A crystal graph network that predicts one or several numbers of crystals.

    Crystals are Crystal, pymatgen Structure or ASE Atoms objects in a list, an array or a pandas Series, or a
    Dataset. A parameter that is None is the recipe's; docs/training.md says what each does.

    Args:
        recipe: `modern`, `paper` or `small`.
        epochs: Epochs of training.
        batch_size: Crystals in a batch, at most.
        learning_rate: The largest of the schedule.
        weight_decay: Decay of the weights.
        patience: Epochs without a better validation error before training stops early (0: never).
        atom_width: Length of an atom's vector.
        n_convolutions: Convolutions.
        hidden_width: Width of the layers after pooling.
        n_hidden: Layers after pooling.
        validation_fraction: Fraction of the crystals on which the best epoch is chosen, whole materials
            together; with 0 the last epoch is kept.
        random_state: Seed of weights, batches and validation set: the same seed gives the same bits. A
            RandomState or None draws one.
        device: Where the network trains and predicts, such as `cpu` or `cuda`.
        out: Folder in which to keep the training run; it must be new or empty, so a search with several fits
            cannot have one.

    Attributes:
        predictor_: The trained `Predictor`.
        history_: Loss, learning rate and validation error of each epoch, a list of dictionaries.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train a network.

        Args:
            X: N crystals.
            y: (N,) or (N, k) numbers; NaN where unknown.
            sample_weight: (N,) weights in the loss, not negative; a crystal of weight 0 is left out.

        Returns:
            The estimator itself.

        Raises:
            CrystalError: A crystal cannot be used.
            CrystalliteError: A parameter is outside its limits, or training diverged.
            ValueError: y or sample_weight do not fit X.
        """
        values = real_targets(y)
        dataset = as_dataset(X)
        self._fit(dataset, values, sample_weights(sample_weight, len(dataset)), "regression")
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predict the targets of crystals.

        Args:
            X: N crystals.

        Returns:
            Values in the unit of y, float64: (N,) for one target, (N, k) for k targets.

        Raises:
            CrystalError: A crystal cannot be used.
            NotFittedError: `fit` has not been called.
        """
        return self._predicted(X)


class CrystalClassifier(ClassifierMixin, _CrystalEstimator):  # type: ignore[misc]
    """A crystal graph network that distinguishes two classes of crystals, such as metals from insulators.

    Crystals and parameters are those of CrystalRegressor.

    Attributes:
        classes_: The two labels, sorted.
        predictor_: The trained `Predictor`; it predicts the probability of the second class.
        history_: Loss, learning rate and validation error of each epoch, a list of dictionaries.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train a network.

        Args:
            X: N crystals.
            y: (N,) labels of two classes: numbers, texts or truth values.
            sample_weight: (N,) weights in the loss, not negative; a crystal of weight 0 is left out.

        Returns:
            The estimator itself.

        Raises:
            CrystalError: A crystal cannot be used.
            CrystalliteError: A parameter is outside its limits, or training diverged.
            ValueError: y does not have two classes, or y or sample_weight do not fit X.
        """
        classes, codes = class_targets(y)
        dataset = as_dataset(X)
        weights = sample_weights(sample_weight, len(dataset))
        check_consistent_length(codes, range(len(dataset)))
        refuse_one_class(classes, codes, weights)
        self.classes_ = classes
        self._fit(dataset, codes, weights, "classification")
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict the probabilities of the two classes.

        Args:
            X: N crystals.

        Returns:
            (N, 2) float64, the classes in the order of `classes_`.

        Raises:
            CrystalError: A crystal cannot be used.
            NotFittedError: `fit` has not been called.
        """
        second = self._predicted(X)
        return np.column_stack([1 - second, second])

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the class of crystals.

        Args:
            X: N crystals.

        Returns:
            (N,) labels, the more probable class of each crystal.

        Raises:
            CrystalError: A crystal cannot be used.
            NotFittedError: `fit` has not been called.
        """
        probabilities = self.predict_proba(X)
        labels: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return labels
