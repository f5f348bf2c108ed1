"""scikit-learn's own checks of estimators.

They pass rows of numbers. So the estimators here turn each row into a crystal, whose edges it decides, and are
otherwise those that users have.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data
from training_runs import one_thread  # noqa: F401

from crystallite.crystals.crystal import Crystal
from crystallite.sklearn import CrystalClassifier, CrystalRegressor

TINY = {"epochs": 1, "batch_size": 64, "atom_width": 4, "n_convolutions": 1, "hidden_width": 4}


def crystals(rows: np.ndarray) -> list[Crystal]:
    """One cell of caesium chloride a row, with edges of 3 to 5 Å that are smooth functions of all its numbers."""
    directions = np.cos(np.arange(rows.shape[1])[:, None] + np.arange(3))
    edges = 4 + 2 / np.pi * np.arctan(rows @ directions / 3)
    numbers, coords = np.array([55, 17], np.uint8), np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    return [Crystal(numbers, np.diag(row), coords) for row in edges.astype(float)]


class OfNumbers:
    """Takes rows of numbers in place of crystals."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        for kind in (tags.regressor_tags, tags.classifier_tags):
            if kind is not None:
                kind.poor_score = True  # in one epoch
        return tags

    def fit(self, X, y, sample_weight=None):
        X = validate_data(self, X)
        return super().fit(crystals(X), y, sample_weight)

    def _predicted(self, X):
        check_is_fitted(self)
        return super()._predicted(crystals(validate_data(self, X, reset=False)))


class RegressorOfNumbers(OfNumbers, CrystalRegressor):
    pass


class ClassifierOfNumbers(OfNumbers, CrystalClassifier):
    pass


def expected(estimator):
    return {}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [RegressorOfNumbers(**TINY), ClassifierOfNumbers(**TINY)], expected_failed_checks=expected
)
def test_scikit_learn(estimator, check):
    check(estimator)
