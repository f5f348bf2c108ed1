"""Trackers show a training run as it was, each read back by its own reader, and never disturb it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shown_runs import READERS, assert_shown, identity, mlflow_client
from training_runs import (
    ENERGY,
    SMALL,
    command,
    energies,
    metrics,
    one_thread,  # noqa: F401
    same_weights,
    train,
)

from crystallite import tracking
from crystallite.cli.train import command as train_command
from crystallite.computing import distributed
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.experiments import experiment as experiments
from crystallite.runs import folder as run_folder
from crystallite.runs.folder import RunConfig
from crystallite.tracking import TRACKERS, TRACKING
from crystallite.training import train as training
from crystallite.training.train import TrainingInterruptedError
from crystallite.training.trainer import Trainer

TWO = [ENERGY, "band_gap"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the trackers' local stores, and the settings that lead there and nowhere else."""
    folder = tmp_path_factory.mktemp("tracking")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARML_OFFLINE_MODE", "1")
        patch.setenv("CLEARML_CACHE_DIR", str(folder / "clearml"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def data(place) -> Path:
    """100 crystals with two properties, in a file."""
    crystals = energies(100)
    values = {ENERGY: crystals.values(ENERGY), "band_gap": np.sqrt(np.arange(100))}
    path = place / "data.parquet"
    Dataset.from_arrays(crystals.arrays, crystals.ids, values, dict.fromkeys(TWO, "eV")).write(path)
    return path


@pytest.fixture(scope="module")
def plain(place, data) -> Path:
    """A training run that nothing tracks."""
    return train(data, place / "plain", TWO).folder


# ---- an undisturbed training run


@pytest.fixture(scope="module")
def tracked(place, data) -> Path:
    """A training run that every tracker shows, and what it did to the process and the network."""
    connections: list[Any] = []
    with pytest.MonkeyPatch.context() as patch, undisturbed():
        patch.setattr(socket.socket, "connect", lambda self, address: connections.append(address))
        patch.setattr(socket, "getaddrinfo", lambda *words, **options: connections.append(words))
        folder = train(data, place / "tracked", TWO, track=TRACKERS).folder
    assert [address for address in connections if not of_this_machine(address)] == []
    return folder


def of_this_machine(address: Any) -> bool:
    """Whether a connection stays on this machine: threads of earlier tests may still ask their server."""
    return isinstance(address, tuple) and address[0] == "127.0.0.1"


@contextmanager
def undisturbed() -> Iterator[None]:
    """Check that the block leaves the process as it was, and no thread that holds up its end."""
    state, threads = process_state(), threading.enumerate()
    yield
    assert process_state() == state
    assert [thread for thread in threading.enumerate() if thread not in threads and not thread.daemon] == []


def process_state() -> list[Any]:
    """What ClearML likes to change: handlers, hooks, streams, generators."""
    return [
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGABRT)],
        [sys.excepthook, sys.stdout.write, sys.stderr.write],
        [np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()],
        torch.nn.Module.__call__,
        torch.save,
    ]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_tracker_shows_the_whole_training_run(tracker, tracked):
    assert_shown(tracked, tracker)


def test_tracking_changes_no_bit(tracked, plain):
    assert same_weights(tracked, plain)
    assert not (plain / TRACKING).exists()
    assert not (plain / "tensorboard").exists()


def test_each_of_several_targets_has_a_scalar(tracked):
    for reader in READERS.values():
        scalars = reader(tracked).scalars
        assert {"validation_mae/band_gap", f"validation_mae/{ENERGY}", "learning_rate"} <= set(scalars)


def test_mlflow_knows_the_run_by_its_folder_and_as_finished(tracked):
    run = mlflow_client().get_run(identity(tracked)["mlflow"]["run_id"])
    assert (run.info.run_name, run.info.status) == ("tracked", "FINISHED")


def test_tensorboard_has_a_table_of_settings_and_results(tracked):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    reader = EventAccumulator(str(tracked / "tensorboard")).Reload()
    content = reader.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    found = HParamsPluginData.FromString(content).session_start_info.hparams
    assert found["training.epochs"].number_value == 3
    assert found["data.targets"].string_value == json.dumps(TWO)


# ---- interrupted training runs


def crashed(place, data) -> Path:
    """A training run that failed inside its third epoch, after its state was saved there, and was resumed."""
    folder = place / "crashed"
    step = Trainer.train_step

    def fail(self, rows):
        if self.step == 8:
            raise RuntimeError("a crash")
        return step(self, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "SAVE_EVERY", 0)
        patch.setattr(Trainer, "train_step", fail)
        with pytest.raises(RuntimeError, match="a crash"):
            train(data, folder, TWO, track=TRACKERS)
    run = mlflow_client().get_run(identity(folder)["mlflow"]["run_id"])
    assert run.info.status == "KILLED"
    assert len(metrics(folder)) == 2
    before = identity(folder)
    training.resume(folder, progress=False)
    assert identity(folder) == before
    return folder


def killed(place, data) -> Path:
    """A training run killed after its second epoch was saved, but not yet shown anywhere, and resumed."""
    folder = place / "killed"
    code = f"""
import os, signal, sys
from crystallite import train
from crystallite.runs import folder as run_folder
imported = {{name.partition(".")[0] for name in sys.modules}}
assert "torch" in imported
assert not imported & {{"tensorboard", "mlflow", "clearml"}}  # without need
append = run_folder.append_metrics
def append_or_die(folder, entry):
    if entry["epoch"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    append(folder, entry)
run_folder.append_metrics = append_or_die
train({str(data)!r}, {TWO!r}, out={str(folder)!r}, progress=False, track={TRACKERS!r}, epochs=3,
      batch_size=32, atom_width=16, hidden_width=16, n_convolutions=2)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    died = subprocess.run([sys.executable, "-c", code], env=environment, check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert len(metrics(folder)) == 1
    before = identity(folder)
    resumed = command("train", "--resume", folder)
    assert resumed.status == 0, resumed.err
    assert "UserWarning" not in resumed.err
    assert identity(folder) == before
    return folder


@pytest.mark.parametrize("how", [crashed, killed])
def test_a_resumed_training_run_shows_every_epoch_once(how, place, data, plain):
    folder = how(place, data)
    for tracker in TRACKERS:
        assert_shown(folder, tracker)
    assert same_weights(folder, plain)


def test_tensorboard_has_one_file(tracked):
    """Of two, a reader may take the second for the first and drop what is in it."""
    assert len(list((tracked / "tensorboard").iterdir())) == 1


def test_resuming_a_finished_training_run_adds_nothing(place, data):
    folder = train(data, place / "finished", TWO, track=TRACKERS).folder
    training.resume(folder, progress=False)
    for tracker in TRACKERS:
        assert_shown(folder, tracker)


def test_ctrl_c_stops_as_ever(data, plain, place, monkeypatch, recwarn):
    step = Trainer.train_step

    def interrupt(self, rows):
        if self.step == 4:
            signal.raise_signal(signal.SIGINT)
        return step(self, rows)

    with monkeypatch.context() as patch, undisturbed():
        patch.setattr(Trainer, "train_step", interrupt)
        with pytest.raises(TrainingInterruptedError, match="--resume"):
            train(data, place / "stopped", TWO, track=TRACKERS)
    run = mlflow_client().get_run(identity(place / "stopped")["mlflow"]["run_id"])
    assert run.info.status == "KILLED"
    training.resume(place / "stopped", progress=False)
    for tracker in TRACKERS:
        assert_shown(place / "stopped", tracker)
    assert same_weights(place / "stopped", plain)
    assert tracking_warnings(recwarn) == []


# ---- trackers that fail


def tracking_warnings(recwarn) -> list[str]:
    return [str(w.message) for w in recwarn if "tracking with" in str(w.message)]


def test_a_store_that_breaks_is_reported_once_and_dropped(
    place, data, plain, tracked, tmp_path, monkeypatch, recwarn
):
    store = Path(shutil.copy(place / "mlflow.db", tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    append = run_folder.append_metrics

    def break_store(folder, entry):
        append(folder, entry)
        if entry["epoch"] == 2:
            with sqlite3.connect(store) as connection:
                connection.execute("DROP TABLE metrics")

    monkeypatch.setattr(run_folder, "append_metrics", break_store)
    folder = train(data, tmp_path / "run", TWO, track=("mlflow", "tensorboard")).folder
    (message,) = tracking_warnings(recwarn)
    assert message.startswith("tracking with mlflow stopped, the training run continues: ")
    assert same_weights(folder, plain)
    assert_shown(folder, "tensorboard")


def test_a_server_that_is_not_there(data, plain, tmp_path, monkeypatch, recwarn):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        folder = train(data, tmp_path / "run", TWO, track="mlflow").folder
    (message,) = tracking_warnings(recwarn)
    assert "mlflow" in message
    assert same_weights(folder, plain)


def test_a_server_that_does_not_answer(data, plain, tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(tracking, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        folder = train(data, tmp_path / "run", TWO, track="mlflow").folder
    assert tracking_warnings(recwarn) == [
        "tracking with mlflow stopped, the training run continues: no answer for 0.5 s"
    ]
    assert same_weights(folder, plain)


def test_a_disk_that_takes_nothing(data, plain, tmp_path, monkeypatch, recwarn):
    start_folder = training.start_folder

    def put_file_in_the_way(folder, *words):
        (folder / "tensorboard").write_text("")
        start_folder(folder, *words)

    monkeypatch.setattr(training, "start_folder", put_file_in_the_way)
    folder = train(data, tmp_path / "run", TWO, track="tensorboard").folder
    (message,) = tracking_warnings(recwarn)
    assert "tensorboard" in message
    assert same_weights(folder, plain)


def uninstall(tracker: str, monkeypatch) -> None:
    """Make the package of a tracker impossible to import."""
    for name in list(sys.modules):
        if name.partition(".")[0] == tracker or name.startswith("torch.utils.tensorboard"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, tracker, None)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_missing_package_is_an_error_before_there_is_a_folder(tracker, data, tmp_path, monkeypatch):
    uninstall(tracker, monkeypatch)
    expected = rf"tracking with {tracker} .*pip install 'crystallite\[{tracker}\]'"
    with pytest.raises(CrystalliteError, match=expected):
        train(data, tmp_path / "run", TWO, track=tracker)
    with pytest.raises(CrystalliteError, match=expected):
        experiments.start_group(data, TWO, {"folds": 3}, out=tmp_path / "run", track=(tracker,))
    assert not (tmp_path / "run").exists()


def test_a_resume_without_the_package_continues_without_it(data, plain, tmp_path, monkeypatch, recwarn):
    folder = train(data, tmp_path / "run", TWO, track="tensorboard").folder
    (folder / "last.safetensors").unlink()
    uninstall("tensorboard", monkeypatch)
    training.resume(folder, progress=False)
    (message,) = tracking_warnings(recwarn)
    assert "pip install 'crystallite[tensorboard]'" in message
    assert same_weights(folder, plain)


def test_an_unknown_tracker_is_an_error(data, tmp_path):
    with pytest.raises(CrystalliteError, match="unknown tracker 'wandb'; there are: tensorboard, mlflow"):
        train(data, tmp_path / "run", TWO, track=("wandb",))
    assert not (tmp_path / "run").exists()


# ---- which runs are tracked


@pytest.mark.parametrize(
    ("group", "parallel", "trackers"),
    [({"members": 2}, 2, ("tensorboard",)), ({"sizes": [20, 40]}, 1, ("tensorboard", "mlflow"))],
)
def test_every_run_of_a_group_is_tracked(group, parallel, trackers, place, data):
    settings = {**SMALL, "epochs": 1, "out": place / next(iter(group))}
    settings.pop("progress", None)
    folder = experiments.start_group(data, ENERGY, group, track=trackers, **settings)
    experiments.resume_group(folder, parallel=parallel, progress=False)
    assert tuple(identity(folder)) == trackers
    runs = [path.parent for path in folder.glob("*/summary.json")]
    assert len(runs) == 2
    for run in runs:
        for tracker in trackers:
            assert_shown(run, tracker)
        if "mlflow" in trackers:
            info = mlflow_client().get_run(identity(run)["mlflow"]["run_id"]).info
            assert info.run_name == f"{folder.name}/{run.name}"


def test_only_the_first_of_several_processes_tracks(tmp_path, tracked, monkeypatch):
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    tracking.set_trackers(tmp_path, ["tensorboard"])
    with tracking.open_trackers(tmp_path, RunConfig.read(tracked), []) as trackers:
        trackers.log({"epoch": 1, "loss": 0.5, "seconds": 0.1})
    assert [path.name for path in tmp_path.iterdir()] == [TRACKING]


def test_mlflow_by_default_has_its_store_where_it_was_started(place, data, tracked, tmp_path, monkeypatch):
    shutil.copy(place / "mlflow.db", tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(tmp_path)
    folder = train(data, tmp_path / "run", track="mlflow", epochs=1).folder
    assert identity(folder)["mlflow"]["store"] == f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    training.resume(folder, progress=False)
    assert list(Path.cwd().iterdir()) == []


def test_a_store_that_was_chosen_is_not_kept(tracked):
    assert set(identity(tracked)["mlflow"]) == {"run_id"}


def test_the_command_line_knows_the_trackers():
    (option,) = [param for param in train_command.params if param.name == "track"]
    assert tuple(option.type.choices) == TRACKERS
