"""`crystallite.predict`: predictions of whatever crystals come in as a pandas DataFrame."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..crystals.notices import gathered, summary
from ..datasets.dataset import Dataset
from ..errors import CrystalError, CrystalliteError, listing
from ..extras import needed
from .file_predictions import predicted_chunks
from .predictor import Predictor, load_model

if TYPE_CHECKING:
    import pandas as pd


def predict(
    model: Predictor | str | Path,
    inputs: Any,
    *,
    skip_bad: bool = False,
    workers: int = 1,
    device: str = "cpu",
) -> pd.DataFrame:
    """Predict the properties of crystals.

    Args:
        model: what `load_model` returns or takes.
        inputs: files, folders or patterns of files with structures, or datasets, one or a list of them, as
            the command line takes them; or crystals as `Predictor.predict` takes them.
        skip_bad: leave out files and crystals that cannot be used, with a warning that lists the first.
        workers: number of threads that build graphs.
        device: of the network, such as `cpu` or `cuda`, for a model that is loaded here.

    Returns:
        One row per crystal, indexed by material_id (0, 1, ... for crystals without one), and one float64
        column per target in its unit, for ensembles also its standard deviation, NAME_std. `attrs["units"]`
        holds the units.

    Raises:
        CrystalError: naming a crystal that cannot be used, unless skip_bad.
        CrystalliteError: if there is no such model or file.
    """
    pandas = needed("pandas", "predict", "pandas")
    predictor = model if isinstance(model, Predictor) else load_model(model, device=device)
    words = [inputs] if isinstance(inputs, str | Path) else inputs
    if isinstance(words, list | tuple) and words and all(isinstance(word, str | Path) for word in words):
        ids, predicted = _of_files(predictor, words, skip_bad, workers)
    else:
        predicted = predictor.predict_packed(predictor.graphs(inputs, workers=workers))
        predictor.refuse_no_numbers(predicted)
        ids = inputs.ids if isinstance(inputs, Dataset) else [str(row) for row in range(len(predicted))]
    units = predictor.model.targets.units
    frame = pandas.DataFrame(predicted, pandas.Index(ids, name="material_id"), list(predictor.columns))
    frame.attrs["units"] = {
        name: units[k % len(units)] for k, name in enumerate(predictor.columns) if units[k % len(units)]
    }
    return frame


def _of_files(
    predictor: Predictor, words: Sequence[str | Path], skip_bad: bool, workers: int
) -> tuple[list[str], np.ndarray]:
    """Return ids and predictions (crystals, columns) of files."""
    bad: list[CrystalError] = []
    notices: list[str] = []
    ids: list[str] = []
    rows = [np.empty((0, len(predictor.columns)))]
    with gathered() as odd:
        for names, predicted in predicted_chunks(predictor, words, notices, bad.append, workers=workers):
            ids += names
            rows.append(predicted)
    if bad and not skip_bad:
        raise bad[0] if len(bad) == 1 else CrystalliteError(_listed(bad))
    if bad:
        notices.append(_listed(bad))
    for notice in [*notices, *summary(odd)]:
        warnings.warn(notice, stacklevel=3)
    return ids, np.concatenate(rows)


def _listed(bad: Sequence[CrystalError]) -> str:
    return f"{len(bad):,} inputs cannot be used:\n{listing([str(error) for error in bad])}"
