"""Estimators for scikit-learn: crystals in, a property out, inside its searches, validations and pipelines.

Needs the extra `sklearn`; nothing else in the package imports scikit-learn. Imports training and what is
below it.

- estimators: `CrystalRegressor`, `CrystalClassifier`
- inputs: crystals, targets and sample weights as scikit-learn passes them; `material_groups`
"""

from __future__ import annotations

from ..extras import needed

needed("sklearn", "crystallite.sklearn", "crystallite[sklearn]")

from .estimators import CrystalClassifier, CrystalRegressor  # noqa: E402
from .inputs import material_groups  # noqa: E402

__all__ = ["CrystalClassifier", "CrystalRegressor", "material_groups"]
