"""`crystallite verify`: the same bits again, and what it says when they are not."""

from __future__ import annotations

import importlib.metadata
import shutil
import signal

import numpy as np
import pytest
import torch
from grouped_runs import MODULUS, Said, moduli, train_group
from training_runs import after_step, one_thread, train  # noqa: F401

from crystallite.errors import CrystalliteError
from crystallite.models.checkpoint import read_arrays, write_arrays
from crystallite.runs.folder import environment, read_environment
from crystallite.training.verification import finished_runs, verify


@pytest.fixture(scope="module")
def finished(moduli_file, tmp_path_factory):
    return train(moduli_file, tmp_path_factory.mktemp("runs") / "run", MODULUS).folder


@pytest.fixture
def run(finished, tmp_path):
    """A finished run, to be spoiled."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture(scope="module")
def folds(moduli_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "folds"
    train_group(moduli_file, {"folds": 3}, path)
    return path


def tamper(run):
    """Change the last bit of one number."""
    arrays, header = read_arrays(run / "best.safetensors")
    bias = arrays["output.bias"]
    bias[0] = np.nextafter(bias[0], np.float32("inf"))
    write_arrays(run / "best.safetensors", arrays, header)


def replace_in_config(run, old, new):
    text = (run / "config.toml").read_text()
    assert old in text
    (run / "config.toml").write_text(text.replace(old, new))


def test_a_run_is_repeated_bit_for_bit(run, capsys):
    files = {path: path.read_bytes() for path in run.iterdir()}
    said = Said(capsys, "verify", run)
    assert (said.status, said.out, said.err) == (0, f"{run}: repeated bit for bit\n", "")
    assert {path: path.read_bytes() for path in run.iterdir()} == files


def test_one_other_bit_is_found(run, capsys):
    tamper(run)
    said = Said(capsys, "verify", run)
    assert (said.status, said.err) == (1, "")
    assert said.out.startswith(f"{run}: 1 weights differ, by ")
    assert verify(run, progress=False).different == ["output.bias"]


def test_weights_of_another_shape_differ(run):
    arrays, header = read_arrays(run / "best.safetensors")
    arrays["output.bias"] = np.zeros(3, np.float32)
    arrays["more"] = arrays.pop("output.weight")
    write_arrays(run / "best.safetensors", arrays, header)
    verdict = verify(run, progress=False)
    assert sorted(verdict.different) == ["more", "output.bias", "output.weight"]
    assert verdict.largest == float("inf")


@pytest.mark.parametrize("package", ["torch", "numpy", "numba"])
def test_other_software_is_named(package, run, capsys):
    version = importlib.metadata.version(package)
    assert read_environment(run)[package].startswith(version)
    now = environment()[package]
    replace_in_config(run, f'{package} = "{now}"', f'{package} = "0.1"')
    said = Said(capsys, "verify", run)
    assert said.status == 0
    assert said.err == f"{run}: {package} was 0.1, is {now}: results may differ in rounding\n"


def test_what_counts_for_the_bits_is_written_down(run):
    names = {"crystallite", "python", "torch", "numpy", "numba", "processes", "machine", "device"}
    assert set(read_environment(run)) == names
    replace_in_config(run, "processes = 1", "processes = 2")
    assert verify(run, progress=False).changed_environment == {"processes": ("2", "1")}


def test_any_number_of_threads_gives_the_same_bits(moduli_file, tmp_path):
    torch.set_num_threads(3)
    try:
        run = train(moduli_file, tmp_path / "run", MODULUS, epochs=1).folder
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
    verdict = verify(run, progress=False)
    assert (verdict.changed_environment, verdict.same) == ({}, True)


def test_other_settings_are_other_bits(run):
    replace_in_config(run, "learning_rate = 0.004", "learning_rate = 0.02")
    verdict = verify(run, progress=False)
    assert len(verdict.different) > 10
    assert verdict.largest > 1e-4


def test_an_unfinished_run_is_refused(run, capsys):
    (run / "summary.json").unlink()
    said = Said(capsys, "verify", run)
    message = f"Error: {run} is not finished; resume with: crystallite train --resume {run}\n"
    assert (said.status, said.out, said.err) == (1, "", message)
    with pytest.raises(CrystalliteError, match="is not finished"):
        verify(run)


def test_what_is_no_run_is_refused(tmp_path, capsys):
    said = Said(capsys, "verify", tmp_path)
    assert (said.status, said.err) == (
        1,
        f"Error: {tmp_path} is not a run folder: no readable config.toml in it\n",
    )


def test_changed_data_is_refused(run, moduli_file, tmp_path):
    moduli(39).write(tmp_path / "other.parquet")
    replace_in_config(run, str(moduli_file), str(tmp_path / "other.parquet"))
    with pytest.raises(CrystalliteError, match="have changed; start a new run"):
        verify(run)


def test_ctrl_c_leaves_the_run_as_it_was(run, monkeypatch):
    with monkeypatch.context() as patch:
        after_step(patch, 1, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(CrystalliteError, match=f"stopped; {run} is unchanged"):
            verify(run, progress=False)
    assert verify(run, progress=False).same


def test_every_run_of_a_group_is_repeated(folds, tmp_path, capsys):
    names = ["fold-1", "fold-2", "fold-3"]
    said = Said(capsys, "verify", folds)
    lines = [f"{folds / name}: repeated bit for bit" for name in names]
    assert (said.status, said.out.splitlines(), said.err) == (0, lines, "")
    spoiled = shutil.copytree(folds, tmp_path / "folds")
    tamper(spoiled / "fold-2")
    said = Said(capsys, "verify", spoiled)
    assert said.status == 1
    first, second, third = said.out.splitlines()
    assert "1 weights differ" in second
    assert first.endswith("repeated bit for bit")
    assert third.endswith("repeated bit for bit")


def test_an_unfinished_group_is_refused_at_once(folds, tmp_path):
    unfinished = shutil.copytree(folds, tmp_path / "folds")
    (unfinished / "fold-3" / "best.safetensors").unlink()
    with pytest.raises(CrystalliteError, match=f"{unfinished} is not finished"):
        finished_runs(unfinished)
    (unfinished / "summary.json").unlink()
    with pytest.raises(CrystalliteError, match=f"{unfinished} is not finished"):
        finished_runs(unfinished)


def test_runs_of_a_group_come_in_order(folds, tmp_path):
    group = shutil.copytree(folds, tmp_path / "folds")
    shutil.copytree(group / "fold-1", group / "fold-10")
    assert [run.name for run in finished_runs(group)] == ["fold-1", "fold-2", "fold-3", "fold-10"]
