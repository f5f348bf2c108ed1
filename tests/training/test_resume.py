"""Interrupted training runs resume where they stopped and end bit for bit as uninterrupted ones."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from training_runs import (
    ENERGY,
    Finished,
    after_step,
    assert_same_run,
    command,
    energies,
    metrics,
    one_thread,  # noqa: F401
    small_options,
    start,
    summary,
    train,
    wait_for_epoch,
)

from crystallite.errors import CrystalliteError
from crystallite.runs import folder as run_folder
from crystallite.training import train as training
from crystallite.training.train import TrainingInterruptedError, resume
from crystallite.training.trainer import Trainer

LONG = {"epochs": 24, "batch_size": 16}  # 144 steps: long enough to be hit in the middle
SHORT = {"epochs": 2, "batch_size": 16}  # 4 steps


@pytest.fixture(scope="module")
def small_data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "few.parquet"
    energies(40).write(path)
    return path


@pytest.fixture(scope="module")
def long(energies_file, tmp_path_factory):
    """The long training, never interrupted."""
    return train(energies_file, tmp_path_factory.mktemp("runs") / "long", **LONG).folder


@pytest.fixture(scope="module")
def short(small_data, tmp_path_factory):
    """The short training run, never interrupted."""
    return train(small_data, tmp_path_factory.mktemp("runs") / "short", **SHORT).folder


# ---- signals and kills from outside


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_say_how_to_go_on(number, energies_file, long, tmp_path):
    folder = tmp_path / "run"
    process = start("train", energies_file, "--target", ENERGY, *small_options(**LONG), "--out", folder)
    wait_for_epoch(folder, random.randint(1, 6), process)
    time.sleep(random.random() * 0.02)
    process.send_signal(number)
    stopped = Finished(process)
    assert stopped.status == 1, stopped.err
    assert f"crystallite train --resume {folder}" in stopped.err
    assert "Traceback" not in stopped.err
    assert 1 <= len(metrics(folder)) < LONG["epochs"]
    if number == signal.SIGINT:
        finished = command("train", "--resume", folder)
        assert finished.status == 0, finished.err
        assert "test MAE" in finished.out
    else:
        resume(folder, progress=False)
    assert_same_run(folder, long)


def test_kills_at_random_moments_lose_nothing(energies_file, long, tmp_path):
    folder = tmp_path / "run"
    words = ["train", energies_file, "--target", ENERGY, *small_options(**LONG), "--out", folder]
    for _ in range(8):
        done = len(metrics(folder)) if (folder / "metrics.jsonl").exists() else 0
        process = start(*words)
        wait_for_epoch(folder, done + random.randint(1, 3), process)
        time.sleep(random.random() * 0.05)
        process.kill()
        Finished(process)
        words = ["train", "--resume", folder]
    resume(folder, progress=False)
    assert_same_run(folder, long)


# ---- stops at chosen moments, inside this process


class Crash(BaseException):
    """The end of a process, as far as our code can tell."""


@pytest.mark.parametrize("step", [1, 2, 3])  # inside an epoch, at its end, inside the last
def test_ctrl_c_after_any_step(step, small_data, short, tmp_path, monkeypatch):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        after_step(patch, step, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(TrainingInterruptedError, match=f"--resume {tmp_path}"):
            train(small_data, tmp_path / "run", **SHORT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    resume(tmp_path / "run", progress=False)
    assert_same_run(tmp_path / "run", short)


@pytest.mark.parametrize("recipe", ["modern", "paper"])
def test_dropout_and_momentum_resume_too(recipe, tmp_path, monkeypatch):
    dataset = energies(40)
    labelled = dataset.with_property("stable", dataset.values(ENERGY) < -1)
    settings = {
        **SHORT,
        "target": "stable",
        "task": "classification",
        "recipe": recipe,
        "learning_rate": 0.01,
    }
    reference = train(labelled, tmp_path / "reference", **settings).folder
    with monkeypatch.context() as patch:
        after_step(patch, 3, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(TrainingInterruptedError):
            train(labelled, tmp_path / "run", **settings)
    resume(tmp_path / "run", data=labelled, progress=False)
    assert_same_run(tmp_path / "run", reference)


@pytest.mark.parametrize("save_every", [0.0, 1000.0])
def test_a_crash_inside_an_epoch(save_every, small_data, short, tmp_path, monkeypatch):
    def crash():
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(training, "SAVE_EVERY", save_every)
        after_step(patch, 4, crash)
        with pytest.raises(Crash):
            train(small_data, tmp_path / "run", **SHORT)
    steps = []
    original = Trainer.train_step
    monkeypatch.setattr(Trainer, "train_step", lambda *a: (steps.append(1), original(*a))[1])
    resume(tmp_path / "run", progress=False)
    assert len(steps) == (1 if save_every == 0 else 2)  # what was saved is not done again
    assert_same_run(tmp_path / "run", short)


def test_a_crash_before_any_file_is_written(small_data, short, tmp_path, monkeypatch):
    original = Path.replace
    for number in range(50):
        folder, count = tmp_path / str(number), iter(range(50))

        def replace(self, target, number=number, count=count):
            if next(count) == number:
                raise Crash
            return original(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            try:
                train(small_data, folder, **SHORT)
                break
            except Crash:
                pass
        if (folder / "config.toml").exists():
            resume(folder, progress=False)
            assert_same_run(folder, short)
        else:
            with pytest.raises(CrystalliteError, match="not a run folder"):
                resume(folder)
    assert 8 <= number < 50  # every file was the victim once


def test_half_a_line_of_metrics_is_mended(small_data, short, tmp_path, monkeypatch):
    def append(folder, entry):
        with (folder / "metrics.jsonl").open("a") as file:
            file.write('{"epoch": 1, "lo')
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "append_metrics", append)
        with pytest.raises(Crash):
            train(small_data, tmp_path / "run", **SHORT)
    resume(tmp_path / "run", progress=False)
    assert_same_run(tmp_path / "run", short)


# ---- resuming what needs no resuming, or cannot be resumed


def test_resuming_a_finished_run_only_writes_its_results_anew(small_data, tmp_path):
    run = train(small_data, tmp_path / "run", **SHORT)
    kept = {path: path.stat().st_mtime_ns for path in run.folder.glob("*.safetensors")}
    for name in ("summary.json", "test_predictions.csv", "parity.png"):
        (run.folder / name).unlink()
    again = resume(run.folder, progress=False)
    assert again.summary == run.summary == summary(run.folder)
    assert {path: path.stat().st_mtime_ns for path in run.folder.glob("*.safetensors")} == kept
    assert (run.folder / "test_predictions.csv").exists()
    assert (run.folder / "parity.png").exists()
    assert len(metrics(run.folder)) == SHORT["epochs"]


def test_changed_data_is_an_error(tmp_path):
    dataset = energies(40)
    path = tmp_path / "data.parquet"
    dataset.write(path)
    folder = train(path, tmp_path / "run", epochs=1).folder
    dataset.with_property(ENERGY, dataset.values(ENERGY) + 1, "eV/atom").write(path)
    with pytest.raises(CrystalliteError, match=f"of {path} have changed"):
        resume(folder)
    dataset.select(range(1, 40)).write(path)
    with pytest.raises(CrystalliteError, match=f"of {path} have changed"):
        resume(folder)
    path.unlink()
    with pytest.raises(CrystalliteError, match=r"data\.parquet: no such file"):
        resume(folder)


@pytest.mark.parametrize("option", ["weight_column", "split_column"])
def test_changed_weights_or_parts_are_an_error(option, tmp_path):
    dataset, path = energies(60), tmp_path / "data.parquet"
    columns = {
        "weight_column": [np.linspace(1, 2, 60), np.linspace(1, 3, 60)],
        "split_column": [["train", "test", "train"] * 20, ["test", "train", "train"] * 20],
    }
    before, after = columns[option]
    dataset.with_property("column", before).write(path)
    folder = train(path, tmp_path / "run", epochs=1, **{option: "column"}).folder
    found = summary(folder)
    assert resume(folder, progress=False).summary == found
    dataset.with_property("column", after).write(path)
    with pytest.raises(CrystalliteError, match=f"of {path} have changed"):
        resume(folder)


def test_a_dataset_in_memory_is_asked_for(tmp_path):
    dataset = energies(40)
    run = train(dataset, tmp_path / "run", epochs=1)
    with pytest.raises(CrystalliteError, match="data="):
        resume(run.folder)
    assert resume(run.folder, data=dataset, progress=False).summary == run.summary


def test_resume_does_not_need_the_old_working_folder(small_data, tmp_path, monkeypatch):
    monkeypatch.chdir(small_data.parent)
    run = train("few.parquet", tmp_path / "run", **SHORT)
    monkeypatch.chdir(tmp_path)
    assert resume("run", progress=False).summary == run.summary


def test_folders_that_are_no_runs(tmp_path):
    with pytest.raises(CrystalliteError, match="not a run folder"):
        resume(tmp_path)
    (tmp_path / "config.toml").write_text("half a [")
    with pytest.raises(CrystalliteError, match=r"config\.toml is damaged"):
        resume(tmp_path)
