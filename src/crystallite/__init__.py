"""Crystallite: properties of crystals from their structure with crystal graph convolutional networks."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

# Public names and where they live; loaded on first use so that `import crystallite` stays instant.
_HOMES = {
    "Crystal": "crystals.crystal",
    "Dataset": "datasets.dataset",
    "CrystalliteError": "errors",
    "CrystalError": "errors",
    "GraphConfig": "settings.config",
    "ModelConfig": "settings.config",
    "TrainConfig": "settings.config",
    "read_dataset": "sources.resolver",
    "read_cif": "crystals.cif",
    "train": "training.train",
    "resume": "experiments.experiment",
    "cross_validate": "experiments.experiment",
    "train_ensemble": "experiments.experiment",
    "train_automatically": "experiments.experiment",
    "learning_curve": "experiments.experiment",
    "tune": "tuning.search",
    "verify": "training.verification",
    "load_model": "models.loading",
    "predict": "models.frame",
    "screen": "screening.screening",
    "descriptors": "features.tables",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
