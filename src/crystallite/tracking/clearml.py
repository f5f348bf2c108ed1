"""ClearML: a task on the server of clearml.conf, or an offline session where CLEARML_OFFLINE_MODE=1."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..extras import needed
from . import Numbers

PROJECT = "crystallite"
# All that ClearML would else patch or look into.
FRAMEWORKS = (
    "catboost", "detect_repository", "fastai", "gradio", "hydra", "joblib", "jsonargparse", "lightgbm",
    "matplotlib", "megengine", "pytorch", "scikit", "tensorboard", "tensorflow", "tfdefines", "xgboost",
)  # fmt: skip


def load() -> Any:
    """Import what is needed."""
    return needed("clearml", "tracking with clearml", "crystallite[clearml]")


class Tracker:
    """A ClearML task that sees what it is given and no more. identity: task_id."""

    def __init__(self, folder: Path, name: str, identity: dict[str, str]) -> None:
        for parent in ("CLEARML_PROC_MASTER_ID", "TRAINS_PROC_MASTER_ID"):
            os.environ.pop(parent, None)  # of a task where this process was started: we would be part of it
        task_class = load().Task
        task_class.set_random_seed(None)  # it would seed the generators of random, NumPy and torch
        task_class._report_subprocess_enabled = False  # forks a process that takes ten seconds to end
        self.task = task_class.init(
            project_name=PROJECT,
            task_name=name,
            reuse_last_task_id=identity.get("task_id", False),
            continue_last_task=0 if identity else False,  # iterations count from 0: epochs stay what they are
            auto_connect_arg_parser=False,
            auto_connect_frameworks=dict.fromkeys(FRAMEWORKS, False),
            auto_connect_streams=False,
            auto_resource_monitoring=False,
        )
        self.logger = self.task.get_logger()
        # `close` is called in any case; when Python ends these would wait hours for a server that is gone.
        self.logger._close_stdout_handler()
        for waiting in (self.task._at_exit, self.task._reporter._handle_program_exit):
            atexit.unregister(waiting)
        self.identity = {"task_id": self.task.id}

    def start(self, settings: dict[str, str | float], epochs: Sequence[Numbers]) -> None:
        """Report all epochs again: a server replaces what it has of the same task, name and epoch."""
        session = self.task.get_offline_mode_folder()
        if session is not None:
            Path(session, "metrics.jsonl").unlink(missing_ok=True)  # a session only adds
        self.task.set_parameters({name.replace(".", "/", 1): value for name, value in settings.items()})
        for epoch, numbers in enumerate(epochs, start=1):
            self.log(epoch, numbers)

    def log(self, epoch: int, numbers: Numbers) -> None:
        for name, number in numbers.items():
            title, _, series = name.partition("/")
            self.logger.report_scalar(title, series or title, number, epoch)

    def finish(self, epoch: int, summary: Numbers, figures: Sequence[Path], files: Sequence[Path]) -> None:
        for name, number in summary.items():
            self.logger.report_single_value(name, number)
        for figure in figures:
            self.logger.report_image("figures", figure.stem, epoch, local_path=str(figure))
        for path in files:
            self.task.upload_artifact(path.name, path, wait_on_upload=True)

    def close(self, finished: bool) -> None:
        self.task.close()
        if not finished:
            self.task.mark_stopped(force=True)
