"""What scikit-learn passes to `fit` and `predict`: crystals, targets and sample weights, each checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ..crystals.crystal import as_crystal, pack_crystals
from ..datasets.dataset import Dataset
from ..errors import CrystalliteError
from ..graphs.store import dataset_graphs
from ..materials import groups
from ..settings.config import GraphConfig

Values = NDArray[np.float64]


def as_dataset(X: Any) -> Dataset:
    """Return crystals as a Dataset without properties.

    Args:
        X: A Dataset, or Crystal, pymatgen Structure or ASE Atoms objects in whatever can be iterated.

    Returns:
        A dataset of N crystals; without ids of their own these are 0, 1, ...

    Raises:
        CrystalError: One of them cannot be used; it is named by its place, counted from 0.
        CrystalliteError: X cannot be iterated.
    """
    if isinstance(X, Dataset):
        return Dataset.from_arrays(X.arrays, X.ids, name=X.name)
    if not hasattr(X, "__iter__"):
        raise CrystalliteError(f"X must be crystals, such as a list of them, not {type(X).__name__}")
    crystals = [as_crystal(crystal, f"crystal {k} of X") for k, crystal in enumerate(X)]
    return Dataset.from_arrays(pack_crystals(crystals), [str(k) for k in range(len(crystals))])


def material_groups(X: Any) -> NDArray[np.int64]:
    """Return which crystals are the same material, for `GroupKFold` and others that take `groups`.

    Folds drawn without them can put one material, under another id or in another cell, into training and
    test set both, and the measured error is then too small.

    Args:
        X: Crystals, as `fit` takes them.

    Returns:
        (N,) int64 group numbers, equal for crystals of the same material.

    Raises:
        CrystalError: A crystal cannot be used; it is named by its place, counted from 0.
        CrystalliteError: X cannot be iterated.
    """
    dataset = as_dataset(X)
    return groups.material_groups(dataset.ids, dataset_graphs(dataset, GraphConfig()))


def real_targets(y: ArrayLike) -> Values:
    """Return (N, k) numbers of (N,) or (N, k); NaN is an unknown value.

    Raises ValueError for anything else and for targets without two known values.
    """
    _refuse_none(y)
    values: Values = check_array(
        y,
        ensure_2d=False,
        dtype=np.float64,
        ensure_all_finite="allow-nan",
        ensure_min_samples=2,
        input_name="y",
    )
    values = values.reshape(len(values), -1)
    if (np.isfinite(values).sum(axis=0) < 2).any():
        raise ValueError("y needs at least two values of each target that are not NaN")
    return values


def class_targets(y: ArrayLike) -> tuple[NDArray[Any], Values]:
    """Return the two classes of (N,) labels, sorted, and (N, 1) which of them each is, 0 or 1.

    Raises ValueError for numbers that are no labels and for more than two classes.
    """
    _refuse_none(y)
    labels = column_or_1d(y, warn=True)
    check_classification_targets(labels)
    kind = type_of_target(labels, input_name="y", raise_unknown=True)
    if kind != "binary":
        raise ValueError(
            f"Only binary classification is supported. The type of the target is {kind}; "
            "sklearn.multiclass.OneVsRestClassifier makes one of several classifiers"
        )
    classes, codes = np.unique(labels, return_inverse=True)
    return classes, codes[:, None].astype(np.float64)


def refuse_one_class(classes: NDArray[Any], codes: Values, weights: Values | None) -> None:
    """Raise ValueError unless both classes are among the crystals with a positive weight."""
    used = codes if weights is None else codes[weights > 0]
    if len(np.unique(used)) < 2:
        raise ValueError(f"y has crystals of one class, {classes[int(used[0, 0])]}; two are needed")


def sample_weights(sample_weight: ArrayLike | None, n_crystals: int) -> Values | None:
    """Return (N,) weights, None if there are none.

    Raises ValueError for another number of them, negative and missing ones, and where all are zero.
    """
    if sample_weight is None:
        return None
    weights: Values = check_array(
        sample_weight, ensure_2d=False, allow_nd=True, dtype=np.float64, input_name="sample_weight"
    )
    if weights.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weights.ndim}D array")
    check_consistent_length(weights, range(n_crystals))
    if (weights < 0).any():
        raise ValueError(f"sample_weight: {weights.min():g} is negative")
    if not weights.any():
        raise ValueError("sample_weight: all weights are zero, which leaves no crystal")
    return weights


def _refuse_none(y: Any) -> None:
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None")
