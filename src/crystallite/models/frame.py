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
from ..files.typed_tables import Table
from .file_predictions import predicted_chunks
from .loading import load_models
from .predictor import NO_NUMBER, Predictor
from .tables import Extras, are_numbers, check_extras, prediction_table, table_columns

if TYPE_CHECKING:
    import pandas as pd


def predict(
    model: Predictor | str | Path,
    inputs: Any,
    *,
    interval: float | None = None,
    neighbours: int = 0,
    skip_bad: bool = False,
    workers: int = 1,
    device: str = "cpu",
) -> pd.DataFrame:
    """Predict the properties of crystals.

    Args:
        model: what `load_model` returns or takes, or `all` for every model that comes with the package.
        inputs: files, folders or patterns of files with structures, or datasets, one or a list of them, as
            the command line takes them; or crystals as `Predictor.predict` takes them.
        interval: percentage of the true values that NAME_lower to NAME_upper shall hold, such as 90.
        neighbours: how many of the nearest training crystals are told, with their true values; 1,000 at most.
        skip_bad: leave out files and crystals that cannot be used, with a warning that lists the first.
        workers: number of threads that build graphs.
        device: of the network, such as `cpu` or `cuda`, for a model that is loaded here.

    Returns:
        One row per crystal, indexed by material_id (0, 1, ... for crystals without one), and one float64
        column per target in its unit, for ensembles also its standard deviation, NAME_std. Models that know
        their training data say how new a crystal is to them: `novelty`, the percentage of held-out crystals
        that are nearer to the training data, and `unseen_elements`. `attrs["units"]` holds the units.

    Raises:
        CrystalError: naming a crystal that cannot be used, unless skip_bad.
        CrystalliteError: if there is no such model or file, or the model knows no intervals or neighbours.
    """
    pandas = needed("pandas", "predict", "pandas")
    predictors = [model] if isinstance(model, Predictor) else load_models(model, device=device)
    extras = Extras(interval, neighbours)
    check_extras(predictors, extras)
    words = [inputs] if isinstance(inputs, str | Path) else inputs
    if isinstance(words, list | tuple) and words and all(isinstance(word, str | Path) for word in words):
        ids, table = _of_files(predictors, words, extras, skip_bad, workers)
    else:
        table = prediction_table(predictors, predictors[0].graphs(inputs, workers=workers), extras)
        if not (good := are_numbers(predictors, table)).all():
            raise CrystalError(f"crystal {good.argmin()}", NO_NUMBER)
        ids = inputs.ids if isinstance(inputs, Dataset) else [str(row) for row in range(len(good))]
    frame = pandas.DataFrame(table, pandas.Index(ids, name="material_id"))
    columns = table_columns(predictors, extras)
    frame.attrs["units"] = {column.name: column.unit for column in columns if column.unit}
    return frame


def _of_files(
    predictors: Sequence[Predictor], words: Sequence[str | Path], extras: Extras, skip_bad: bool, workers: int
) -> tuple[list[str], Table]:
    """Return ids and predictions of files."""
    bad: list[CrystalError] = []
    notices: list[str] = []
    ids: list[str] = []
    parts: list[Table] = []
    with gathered() as odd:
        chunks = predicted_chunks(predictors, words, notices, bad.append, extras, workers=workers)
        for names, table in chunks:
            ids += names
            parts.append(table)
    if bad and not skip_bad:
        raise bad[0] if len(bad) == 1 else CrystalliteError(_listed(bad))
    if bad:
        notices.append(_listed(bad))
    for notice in [*notices, *summary(odd)]:
        warnings.warn(notice, stacklevel=3)
    columns = table_columns(predictors, extras)
    nothing = {column.name: np.empty(0, object if column.is_text else np.float64) for column in columns}
    parts = parts or [nothing]
    return ids, {name: np.concatenate([part[name] for part in parts]) for name in nothing}


def _listed(bad: Sequence[CrystalError]) -> str:
    return f"{len(bad):,} inputs cannot be used:\n{listing([str(error) for error in bad])}"
