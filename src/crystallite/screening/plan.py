"""What a screening is asked, written down in its folder: another run there must ask the same of the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import CrystalliteError
from ..files.writing import read_json, write_json
from ..models.predictor import Predictor
from ..sources.pieces import identity
from ..sources.resolver import Source
from .work import Question, Worker

FORMAT = 3
ASKED = "screening.json"


def keep_to(folder: Path, asked: dict[str, Any]) -> None:
    """Write down what is asked, or check that it is what this folder was begun with.

    Raises CrystalliteError naming what is different.
    """
    path = folder / ASKED
    if not path.exists():
        others = [entry.name for entry in folder.iterdir() if entry.name[0] != "."]
        if others and not path.exists():  # else another run has just begun it
            raise CrystalliteError(f"{folder} is not empty and holds no screening: choose another folder")
        write_json(path, asked)
        return
    before = read_json(path)
    if not isinstance(before, dict) or before.get("format") != FORMAT:
        raise CrystalliteError(f"{path}: damaged, or written by another version of Crystallite")
    for what, value in asked.items():
        if before.get(what) != value:
            raise CrystalliteError(
                f"{folder} was begun with other {what.replace('_', ' ')}: choose another folder, or ask the "
                f"same as in {path}"
            )


def asked(question: Question, worker: Worker, sources: Sequence[Source]) -> dict[str, Any]:
    """Return what two runs must have in common to share a folder."""
    return {
        "format": FORMAT,
        "version": __version__,
        "models": list(question.models),
        "weights": _digest([_weights(predictor) for predictor in worker.predictors]),
        "columns": {column.name: column.unit for column in worker.columns},
        "interval": question.interval,
        "inputs": [source.name or str(source.path) for source in sources],
        "files": [_digest(identity(source)) for source in sources],
    }


def _weights(predictor: Predictor) -> list[str]:
    """Return digests of what the members of a model hold."""
    digests = []
    for model in predictor.models:
        digest = hashlib.sha256()
        for name in sorted(model.weights):
            digest.update(name.encode() + model.weights[name].tobytes())
        digests.append(digest.hexdigest())
    return digests


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
