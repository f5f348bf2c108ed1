"""Predictions from a trained or published model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checkpoint import TrainedModel, load_model
from .cif import read_cif
from .config import Ties
from .crystal import Crystal, as_crystal
from .dataset import Dataset
from .errors import CrystalliteError
from .graphs import build_graphs
from .inference import predict_graphs
from .published import load_published
from .run_folder import BEST


class Predictor:
    """A model that predicts properties of crystals."""

    def __init__(self, model: TrainedModel) -> None:
        self.model = model

    def __repr__(self) -> str:
        return f"<Predictor of {', '.join(self.model.targets.names)}>"

    def predict(self, crystals: Any, *, workers: int = 1) -> NDArray[np.float64]:
        """Return predictions in the targets' units; for classification the probability of class 1.

        crystals: a Dataset, or one crystal or several (Crystal, pymatgen Structure, ASE Atoms, path of a
        CIF). Shape (crystals,) for one target, (crystals, targets) for several.
        Raises CrystalError naming the first crystal that cannot be used.
        """
        if isinstance(crystals, Dataset):
            source, ids = crystals.arrays, crystals.ids
        else:
            items = list(crystals) if isinstance(crystals, list | tuple | Iterator) else [crystals]
            ids = [
                str(item) if isinstance(item, str | Path) else f"crystal {k}" for k, item in enumerate(items)
            ]
            source = [_as_crystal(item, name) for item, name in zip(items, ids, strict=True)]  # type: ignore[assignment]
        predicted = predict_graphs(self.model, build_graphs(source, self.model.graph, ids, workers=workers))
        return predicted[:, 0] if predicted.shape[1] == 1 else predicted


def load_predictor(path: str | Path, *, ties: Ties = "shared") -> Predictor:
    """Load a model: a run folder, a .safetensors file of ours or a .pth.tar of the published code.

    ties: `first` repeats the published code's choice among equally distant neighbours.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / BEST).is_file():
            raise CrystalliteError(
                f"{path}: no {BEST} in this folder, so it is not the folder of a finished run"
            )
        model = load_model(path / BEST)
    elif path.suffix == ".safetensors":
        model = load_model(path)
    elif path.is_file():
        model = load_published(path)
    else:
        raise CrystalliteError(f"{path}: no such model; give a run folder, a .safetensors or a .pth.tar file")
    return Predictor(replace(model, graph=replace(model.graph, ties=ties)))


def _as_crystal(item: Any, name: str) -> Crystal:
    return read_cif(item) if isinstance(item, str | Path) else as_crystal(item, name)
