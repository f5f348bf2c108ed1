"""The split of a run: stored with a hash, compared and used by whoever resumes the run."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
from filelock import FileLock
from grouped_runs import TINY, moduli, start, train_group
from training_runs import (  # noqa: F401
    ENERGY,
    after_step,
    assert_same_run,
    energies,
    one_thread,
    parts_of,
    same_weights,
    train,
)

from crystallite.errors import CrystalliteError
from crystallite.experiments import experiment as experiments
from crystallite.materials.splits import Split
from crystallite.runs.folder import RunConfig
from crystallite.training import preparation
from crystallite.training.run_settings import run_config
from crystallite.training.train import TrainingInterruptedError, resume
from crystallite.training.verification import verify


def stopped(data, folder, monkeypatch, **settings):
    """A run that was stopped in its first epoch."""
    with monkeypatch.context() as patch:
        after_step(patch, 1, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(TrainingInterruptedError):
            train(data, folder, **settings)
    return folder


def test_parts_are_in_row_order_and_say_all_of_the_split():
    """So that split.csv, which has no other order, gives the same order of crystals in every epoch."""
    data = energies(80)
    config = run_config(data, data, ENERGY)
    split = preparation.prepare(data, config).split
    assert all((np.diff(part) > 0).all() for part in split)


def test_resuming_takes_the_stored_split(tmp_path, monkeypatch):
    """Whatever would be drawn today, such as by a version with other groups of materials."""
    reference = train(energies(80), tmp_path / "reference").folder
    folder = stopped(energies(80), tmp_path / "run", monkeypatch)
    monkeypatch.setattr(preparation, "draw_split", lambda *_: 1 / 0)
    resume(folder, data=energies(80), progress=False)
    assert_same_run(folder, reference)


def test_verify_takes_the_stored_split(tmp_path, monkeypatch):
    energies(80).write(tmp_path / "data.parquet")
    folder = train(tmp_path / "data.parquet", tmp_path / "run").folder
    monkeypatch.setattr(preparation, "draw_split", lambda *_: 1 / 0)
    assert verify(folder, progress=False).same


@pytest.mark.parametrize("old", [False, True])
def test_a_split_that_was_changed_is_refused(old, tmp_path, monkeypatch):
    folder = stopped(energies(80), tmp_path / "run", monkeypatch)
    path = folder / "split.csv"
    path.write_text(path.read_text().replace(",test\n", ",train\n", 1))
    if old:  # a folder of 0.1.0 has no hash to compare with
        config = (folder / "config.toml").read_text().splitlines(keepends=True)
        (folder / "config.toml").write_text("".join(x for x in config if not x.startswith("split_finger")))
        assert resume(folder, data=energies(80), progress=False).summary["n_test"] == 7
    else:
        with pytest.raises(CrystalliteError, match=r"split\.csv has changed since the run was started"):
            resume(folder, data=energies(80), progress=False)


def test_other_ids_are_refused(tmp_path, monkeypatch):
    """Ids decide which crystals are one material, so they are part of what a run was started on."""
    data = energies(80)
    folder = stopped(data, tmp_path / "run", monkeypatch)
    names = [f"new-{name}" for name in data.ids]
    renamed = type(data).from_arrays(data.arrays, names, {ENERGY: data.values(ENERGY)}, {ENERGY: "eV/atom"})
    with pytest.raises(CrystalliteError, match=r"crystals, ids or values of data have changed"):
        resume(folder, data=renamed, progress=False)


@pytest.mark.parametrize("damage", ["", "material_id,split\n", "material_id,split\nmp-1,train\n", "gone"])
def test_a_split_that_is_damaged_is_refused(damage, tmp_path, monkeypatch):
    folder = stopped(energies(80), tmp_path / "run", monkeypatch)
    if damage == "gone":
        (folder / "split.csv").unlink()
    else:
        (folder / "split.csv").write_text(damage)
    with pytest.raises(CrystalliteError, match=r"split\.csv"):
        resume(folder, data=energies(80), progress=False)


# ---- groups


def test_members_share_one_split(tmp_path, monkeypatch):
    """A member that is missing takes the split of those that are there."""
    folder = tmp_path / "run"
    train_group(moduli(60), {"members": 2}, folder)
    group = folder / "group.json"
    group.write_text(group.read_text().replace("2", "3"))
    monkeypatch.setattr(preparation, "draw_split", lambda *_: 1 / 0)
    experiments.resume_group(folder, data=moduli(60), progress=False)
    assert len({(folder / f"member-{k}" / "split.csv").read_bytes() for k in (1, 2, 3)}) == 1


def test_folds_that_overlap_are_refused(tmp_path, monkeypatch):
    folder = start(moduli(60), {"folds": 3}, tmp_path / "run")
    whole = Split(np.arange(40), np.arange(40, 50), np.arange(50, 60))
    monkeypatch.setattr(preparation, "draw_split", lambda *_: whole)
    with pytest.raises(CrystalliteError, match="test crystals twice"):
        experiments.resume_group(folder, data=moduli(60), progress=False)


# ---- one writer


def test_a_second_training_run_in_a_folder_is_refused(tmp_path, monkeypatch):
    folder = stopped(energies(40), tmp_path / "run", monkeypatch)
    with FileLock(folder / ".lock"), pytest.raises(CrystalliteError, match="another training run is using"):
        resume(folder, data=energies(40), progress=False)
    resume(folder, data=energies(40), progress=False)
    group = start(moduli(60), {"members": 2}, tmp_path / "group")
    with FileLock(group / ".lock"), pytest.raises(CrystalliteError, match="another training run is using"):
        experiments.resume_group(group, data=moduli(60), progress=False)


def test_a_folder_is_locked_while_it_is_trained_in(tmp_path, monkeypatch):
    """Another process cannot resume it; and the lock is free at the end."""
    energies(40).write(tmp_path / "data.parquet")
    code = "import sys; from crystallite.training.train import resume; resume(sys.argv[1], progress=False)"
    said = []

    def second_writer():
        words = [sys.executable, "-c", code, str(tmp_path / "run")]
        said.append(subprocess.run(words, capture_output=True, text=True, check=False).stderr)

    after_step(monkeypatch, 1, second_writer)
    folder = train(tmp_path / "data.parquet", tmp_path / "run", **{**TINY, "epochs": 2}).folder
    assert "another training run is using this folder" in said[0]
    reference = train(energies(40), tmp_path / "reference", **{**TINY, "epochs": 2}).folder
    assert same_weights(folder, reference)
    assert parts_of(folder) == parts_of(reference)
    assert RunConfig.read(folder).data.split_fingerprint
