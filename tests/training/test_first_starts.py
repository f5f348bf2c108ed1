"""A start that is refused leaves nothing behind; a full disk or a damaged checkpoint is one line."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from grouped_runs import MODULUS, TINY, Said, moduli

import crystallite
from crystallite.errors import CrystalliteError
from crystallite.models.checkpoint import read_arrays, write_arrays
from crystallite.training.train import resume

pytest.importorskip("optuna")


@pytest.mark.parametrize(
    "words",
    [
        ["--split", "x"],
        ["--device", "nothing"],
        ["--split-column", "none"],
        ["--target", "none"],
        ["--space", "none.toml"],
        ["--seed", str(10**23)],
        ["--task", "classification"],
    ],
)
def test_a_refused_search_leaves_nothing(words, moduli_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    target = [] if "--target" in words else ["--target", MODULUS]
    said = Said(capsys, "tune", moduli_file, *target, "--trials", 1, "--epochs", 1, "--out", "t", *words)
    assert (said.status, len(said.err.splitlines())) == (1, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_journal_that_can_be_no_file(kind, moduli_file, tmp_path, capsys):
    journal = tmp_path / "study.journal"
    if kind == "pipe":
        os.mkfifo(journal)
    elif kind == "device":
        journal.symlink_to("/dev/null")
    else:
        journal.mkdir()
    said = Said(
        capsys, "tune", moduli_file, "--target", MODULUS, "--trials", 1, "--epochs", 1, "--out", tmp_path
    )
    assert (said.status, len(said.err.splitlines())) == (1, 1)
    assert "study.journal: it is a" in said.err


@pytest.fixture
def full(tmp_path):
    """A disk without room, which only root may mount."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "none", place], check=False).returncode
    ):
        pytest.skip("no small disk can be mounted here")
    with (place / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    yield place
    subprocess.run(["umount", "--lazy", place], check=False)


def test_searches_and_databases_on_a_full_disk(full, moduli_file, capsys):
    said = Said(
        capsys, "tune", moduli_file, "--target", MODULUS, "--trials", 1, "--epochs", 1, "--out", full / "t"
    )
    assert (said.status, len(said.err.splitlines())) == (1, 1)
    assert "No space left on device" in said.err
    said = Said(capsys, "data", "export", moduli_file, "-o", full / "x.db")
    assert (said.status, len(said.err.splitlines())) == (1, 1)
    assert f"cannot write {full / 'x.db'}" in said.err
    assert {path.name for path in full.iterdir()} <= {"filler", "t"}


def test_damaged_states_and_groups_are_named(tmp_path):
    data = moduli(40)
    run = crystallite.train(data, MODULUS, out=tmp_path / "run", progress=False, **TINY)
    tensors, counters = read_arrays(run.folder / "last.safetensors")
    (epoch,) = counters["history"]
    for damage in (
        {"loss_sum": []},
        {"step": None},
        {"step": float("inf")},
        {"history": [3]},
        {"history": [{**epoch, "seconds": []}]},
        {"history": [{**epoch, "validation_error": "x"}]},
        {"history": [{**epoch, "validation_error": float("nan")}]},
        {"history": [{**epoch, "targets": {MODULUS: {"validation_mae": float("inf")}}}]},
        {"history": [{name: value for name, value in epoch.items() if name != "validation_error"}]},
    ):
        write_arrays(run.folder / "last.safetensors", tensors, {**counters, **damage})
        with pytest.raises(CrystalliteError, match=r"last\.safetensors is damaged or of another training"):
            resume(run.folder, data=data, progress=False)
    write_arrays(run.folder / "last.safetensors", {}, {"step": 1})
    with pytest.raises(CrystalliteError, match=r"last\.safetensors is damaged or of another training"):
        resume(run.folder, data=data, progress=False)
    group = Path(shutil.copytree(run.folder, tmp_path / "group"))
    for text in (
        "[]",
        "{}",
        '{"folds": "x"}',
        '{"folds": -3}',
        '{"hands": 3}',
        '{"sizes": [1.5]}',
        "[" * 9999,
    ):
        (group / "group.json").write_text(text)
        with pytest.raises(CrystalliteError, match=r"group\.json is damaged"):
            crystallite.experiments.experiment.resume_group(group)
    for text in (
        "[]",
        "{}",
        '{"members": ["..", "run"]}',
        '{"members": 3, "calibration": []}',
        '{"members": [1]}',
    ):
        (tmp_path / "ensemble.json").write_text(text)
        with pytest.raises(CrystalliteError, match=r"ensemble\.json is damaged"):
            crystallite.load_model(tmp_path)
    for calibration in ("3", "[]", "{}", "[[1]]", '{"x": {}}', "null"):
        (tmp_path / "ensemble.json").write_text(f'{{"members": ["run"], "calibration": {calibration}}}')
        with pytest.raises(CrystalliteError, match=r"ensemble\.json is damaged"):
            crystallite.load_model(tmp_path)
