"""MLflow: a run in the store that MLFLOW_TRACKING_URI names, by default MLflow's own, ./mlflow.db."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..extras import needed
from . import Numbers

EXPERIMENT = "crystallite"  # unless MLFLOW_EXPERIMENT_NAME says otherwise
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # not 7, which are minutes
}


def load() -> Any:
    """Import what is needed."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    purpose, requirement = "tracking with mlflow", "crystallite[mlflow]"
    mlflow = needed("mlflow", purpose, requirement)
    if not mlflow.is_tracking_uri_set():
        for module in ("sqlalchemy", "alembic"):  # of its own store
            needed(module, purpose, requirement)
    return mlflow


class Tracker:
    """A run of an MLflow store. identity: run_id, and the store unless the user chose it.

    A store that the user chose is not kept: its address may hold a password, and it may move.
    """

    def __init__(self, folder: Path, name: str, identity: dict[str, str]) -> None:
        mlflow = load()
        chosen = mlflow.is_tracking_uri_set()
        store = mlflow.get_tracking_uri() if chosen else identity.get("store", mlflow.get_tracking_uri())
        self.client = mlflow.MlflowClient(store)
        if "run_id" in identity:
            self.run = identity["run_id"]
            self.client.update_run(self.run, status="RUNNING")
        else:
            self.run = self.client.create_run(self._experiment(), run_name=name).info.run_id
        self.identity = {"run_id": self.run} | ({} if chosen else {"store": store})
        self.known: dict[str, set[int]] = {}

    def start(self, settings: dict[str, str | float], epochs: Sequence[Numbers]) -> None:
        from mlflow.entities import Param

        self.known = {
            name: {metric.step for metric in self.client.get_metric_history(self.run, name)}
            for name in self.client.get_run(self.run).data.metrics
        }
        params = [Param(_allowed(name), str(value)) for name, value in settings.items()]
        self.client.log_batch(self.run, params=params)
        for epoch, numbers in enumerate(epochs, start=1):
            self.log(epoch, numbers)

    def log(self, epoch: int, numbers: Numbers) -> None:
        """Take the numbers of which the store does not know this epoch: it would keep both."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        named = {_allowed(name): number for name, number in numbers.items()}
        metrics = [
            Metric(name, number, now, epoch)
            for name, number in named.items()
            if epoch not in self.known.get(name, ())
        ]
        self.client.log_batch(self.run, metrics=metrics)

    def finish(self, epoch: int, summary: Numbers, figures: Sequence[Path], files: Sequence[Path]) -> None:
        self.log(epoch, summary)
        for path in (*figures, *files):
            self.client.log_artifact(self.run, str(path))

    def close(self, finished: bool) -> None:
        self.client.set_terminated(self.run, "FINISHED" if finished else "KILLED")

    def _experiment(self) -> str:
        """Return the id of the experiment, made if there is none yet."""
        from mlflow.exceptions import MlflowException

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        with suppress(MlflowException):  # it exists, perhaps since a moment ago by a run beside this one
            return str(self.client.create_experiment(name))
        return str(self.client.get_experiment_by_name(name).experiment_id)


def _allowed(name: str) -> str:
    """Return a name with what MLflow refuses in one replaced."""
    return re.sub(r"[^\w\-./: ]", "_", name)
