"""The device: written down, said when it is another one than before, and refused in one line."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
from grouped_runs import MODULUS, TINY, TINY_OPTIONS, Said, start
from training_runs import one_thread  # noqa: F401

import crystallite
from crystallite.computing.devices import device_name
from crystallite.errors import CrystalliteError
from crystallite.models.checkpoint import read_arrays
from crystallite.models.loading import load_model
from crystallite.training.train import resume
from crystallite.training.verification import verify

BAD = ["nowhere", "meta", "cpu:x", "xla"]  # `meta` moves a network, but computes nothing


@pytest.fixture(scope="module")
def finished(moduli_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return crystallite.train(moduli_file, MODULUS, out=out, progress=False, device="cpu:0", **TINY).folder


@pytest.fixture
def elsewhere(finished, tmp_path) -> Path:
    """A run that says it was trained on a GPU."""
    run = shutil.copytree(finished, tmp_path / "run")
    text = (run / "config.toml").read_text()
    assert 'device = "cpu"' in text
    (run / "config.toml").write_text(text.replace('device = "cpu"', 'device = "cuda (NVIDIA H100)"'))
    return run


def environment_of(folder: Path) -> dict[str, str]:
    return tomllib.loads((folder / "config.toml").read_text())["environment"]


def test_a_run_says_where_it_was_trained(finished):
    assert device_name("cpu:0") == environment_of(finished)["device"] == "cpu"
    assert read_arrays(finished / "best.safetensors")[1]["info"]["environment"]["device"] == "cpu"


def test_a_group_says_it_too(moduli_file, tmp_path):
    folder = start(moduli_file, {"members": 2}, tmp_path / "run", device="cpu:0")
    assert environment_of(folder)["device"] == "cpu"


def test_verify_on_another_device_says_so(elsewhere, capsys):
    said = Said(capsys, "verify", elsewhere)
    line = f"{elsewhere}: device was cuda (NVIDIA H100), is cpu: results may differ in rounding\n"
    assert (said.status, said.err) == (0, line)
    assert verify(elsewhere, progress=False).changed_environment == {"device": ("cuda (NVIDIA H100)", "cpu")}


def test_resume_on_another_device_says_so(elsewhere, capsys):
    (elsewhere / "summary.json").unlink()
    said = Said(capsys, "train", "--resume", elsewhere)
    text = (
        f"{elsewhere} was trained on cuda (NVIDIA H100) and is resumed on cpu: results may differ in rounding"
    )
    assert (said.status, said.err) == (0, f"Notice: {text} (--device)\n")
    with pytest.warns(UserWarning, match="is resumed on cpu"):
        resume(elsewhere, progress=False)


def test_the_same_device_is_no_news(finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    assert Said(capsys, "verify", run).err == ""
    assert Said(capsys, "train", "--resume", run).err == ""


def test_a_run_of_0_1_0_does_not_say(elsewhere, capsys):
    text = (elsewhere / "config.toml").read_text()
    (elsewhere / "config.toml").write_text(text.replace('device = "cuda (NVIDIA H100)"\n', ""))
    assert Said(capsys, "verify", elsewhere).err == ""
    assert Said(capsys, "train", "--resume", elsewhere).err == ""


@pytest.mark.parametrize("device", BAD)
def test_a_device_that_is_none_ends_in_one_line(device, moduli_file, finished, tmp_path, capsys):
    train = ["train", moduli_file, "--target", MODULUS, *TINY_OPTIONS, "--out", tmp_path / "out"]
    for words in (
        train,
        [*train, "--members", 2],
        ["train", "--resume", finished],
        ["verify", finished],
        ["predict", finished, moduli_file],
        ["tune", moduli_file, "--target", MODULUS, "--out", tmp_path / "out"],
    ):
        said = Said(capsys, *words, "--device", device)
        assert (said.status, said.out) == (1, "")
        assert said.err.startswith(f"Error: cannot use device {device!r}: ")
        assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(CrystalliteError, match="cannot use device"):
        load_model(finished, device=device)


def test_predict_takes_a_device(moduli_file, finished, capsys):
    usual = Said(capsys, "predict", finished, moduli_file)
    named = Said(capsys, "predict", finished, moduli_file, "--device", "cpu:0")
    assert (named.status, named.out) == (0, usual.out)
