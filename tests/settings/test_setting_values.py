"""Values of settings that make no sense end in one line that names them, wherever they come from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from golden_files import GOLDEN
from grouped_runs import MODULUS, TINY_OPTIONS, Said
from safetensors.torch import load_file, save_file
from training_runs import one_thread  # noqa: F401

from crystallite.errors import CrystalliteError
from crystallite.models.checkpoint import read_arrays
from crystallite.models.loading import load_model
from crystallite.settings.recipes import configure

PUBLISHED = GOLDEN / "formation-energy-per-atom.pth.tar"


@pytest.fixture(scope="module")
def finished(moduli_file, tmp_path_factory):
    from crystallite.cli import main

    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.raises(SystemExit):
        main(["train", str(moduli_file), "--target", MODULUS, *TINY_OPTIONS, "--out", str(folder)])
    return folder


@pytest.mark.parametrize(
    "setting",
    [
        "weight_decay=-1", "split_seed=-1", "split_seed=x", "split_seed=1.5", "train_limit=nan",
        "train_limit=1.5", "train_limit=-1", "start_from=5", "gaussian_step=1e-300", "gaussian_stop=1e12",
        "atom_width=100000000", "n_neighbors=1000000000", "tolerance=100", "frozen=[1]", "milestones=[1.5]",
        "seed=99999999999999999999999", "seed=-1", "momentum=1", "patience=-1", "batch_size=0", "epochs=true",
    ],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_named(setting, moduli_file, tmp_path, capsys):
    said = Said(capsys, "train", moduli_file, "--target", MODULUS, "--out", tmp_path / "o", "--set", setting)
    assert (said.status, said.out, len(said.err.splitlines())) == (1, "", 1)
    assert setting.partition("=")[0] in said.err
    assert not (tmp_path / "o").exists()


def test_the_seed_of_an_option_has_the_same_limit(moduli_file, tmp_path, capsys):
    words = ["train", moduli_file, "--target", MODULUS, "--out", tmp_path / "o", "--seed", 10**23]
    assert "seed must be at least 0 and at most" in Said(capsys, *words).err


def test_limits_belong_to_the_sensible_values():
    largest = {"n_neighbors": 1000, "tolerance": 0.1, "gaussian_stop": 100, "gaussian_step": 0.1}
    configure("modern", "regression", 1, {**largest, "seed": 2**63 - 1, "patience": 0, "weight_decay": 0})
    with pytest.raises(CrystalliteError, match="gaussian_step must be at least a thousandth"):
        configure("modern", "regression", 1, {"gaussian_stop": 100, "gaussian_step": 0.09})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "train_limit=500"], "train_limit = 500 has no effect"),
        (["--patience", 1], "patience = 1 has no effect in 1 epochs"),
        (
            ["--set", "schedule=step", "--set", "milestones=[1, 7]"],
            "milestones after the last epoch have no effect: 1, 7",
        ),
    ],
)
def test_what_comes_too_late_is_told(words, said, moduli_file, tmp_path, capsys):
    done = Said(
        capsys, "train", moduli_file, "--target", MODULUS, *TINY_OPTIONS, "--out", tmp_path / "o", *words
    )
    assert done.status == 0
    assert [line for line in done.err.splitlines() if line.startswith(f"Notice: {said}")]


def test_what_is_in_time_is_not_told(recwarn):
    late = {"epochs": 10, "patience": 9, "schedule": "step", "milestones": (5, 9)}
    configure("modern", "regression", 1, late)
    configure("paper", "regression", 1, {"epochs": 5})
    assert not recwarn.list


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--epochs", 1, "--set", "epochs=2"], "epochs: given by --set and by an option"),
        (["--set", "dropout=0", "--set", "dropout=0.1"], "dropout is set twice"),
        (["--config", "none.toml", "--recipe", "paper"], "--recipe has no effect beside --config"),
    ],
)
def test_options_given_in_vain_are_refused(words, said, moduli_file, tmp_path, capsys):
    done = Said(capsys, "train", moduli_file, "--target", MODULUS, "--out", tmp_path / "o", *words)
    assert done.status == 2
    assert said in " ".join(done.err.split())
    assert not (tmp_path / "o").exists()


def test_a_seed_without_a_split_is_refused(moduli_file, capsys):
    assert (
        "--seed has no effect without --split" in Said(capsys, "data", "audit", moduli_file, "--seed", 1).err
    )


# ---- files


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('task = "regression"', 'task = "r\udce9gression"'),  # a byte that is no UTF-8
        ("split_seed = 0", "split_seed = true"),
        ("train_limit = 0", 'train_limit = "all"'),
        ("train_limit = 0", "train_limit = -1"),
        (f'    "{MODULUS}",', "    7,"),
        ("atom_width = 8", 'atom_width = "wide"'),
        ("[environment]", "size = 3\n[environment]"),
        ("[environment]", "x = " + "[" * 5000 + "\n[environment]"),
        ("[graph]", "[graphs]"),
        (f'    "{MODULUS}",', f'    "{MODULUS}", "{MODULUS}:log10",'),
        ("n_outputs = 1", "n_outputs = 2"),
        ("atom_width = 8", "atom_width = 99999999999999999999"),
        ("milestones = []", "milestones = [-1]"),
        ("[data]", "data = 3\n[other]"),
    ],
    ids=[
        "latin1",
        "seed",
        "limit",
        "negative",
        "target",
        "width",
        "unknown",
        "deep",
        "table",
        "twice",
        "outputs",
        "huge",
        "milestone",
        "no table",
    ],
)
def test_a_damaged_config_is_named(old, new, finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    text = (run / "config.toml").read_text()
    assert old in text
    (run / "config.toml").write_bytes(text.replace(old, new).encode("utf-8", "surrogateescape"))
    for words in (["train", "--resume", run], ["verify", run]):
        said = Said(capsys, *words)
        assert (said.status, len(said.err.splitlines())) == (1, 1)
        assert f"Error: {run / 'config.toml'} is damaged: " in said.err


@pytest.mark.parametrize("value", ["abc", float("nan"), float("inf"), 10**9, 0])
def test_a_published_checkpoint_with_an_odd_argument_is_none(value, tmp_path):
    contents = torch.load(PUBLISHED, weights_only=True)
    contents["args"]["max_num_nbr"] = value
    torch.save(contents, tmp_path / "odd.pth.tar")
    with pytest.raises(CrystalliteError, match=r"odd\.pth\.tar is not a checkpoint of the published code"):
        load_model(tmp_path / "odd.pth.tar")


@pytest.mark.parametrize(("part", "name", "value"), [("graph", "n_neighbors", 10**9), ("model", "task", 3)])
def test_a_model_with_an_odd_header_is_none(part, name, value, finished, tmp_path):
    header = read_arrays(finished / "best.safetensors")[1]
    header[part][name] = value
    path = tmp_path / "odd.safetensors"
    save_file(load_file(finished / "best.safetensors"), path, {"crystallite": json.dumps(header)})
    with pytest.raises(CrystalliteError, match=rf"odd\.safetensors is not a Crystallite model: {name} must"):
        load_model(path)


# ---- resuming


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nosuch", "--epochs", 500, "--lr", 5, "--target", "nosuch"], "DATA, --target, --epochs, --lr"),
        (["--set", "epochs=3"], "--set"),
        (["--folds", 3], "--folds"),
        (["--out", "elsewhere"], "--out"),
        (["--seed", 0], "--seed"),
    ],
)
def test_resume_refuses_what_it_would_ignore(words, named, finished, capsys):
    before = {path: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    said = Said(capsys, "train", *words, "--resume", finished)
    assert said.status == 2
    assert f"--resume uses the settings in config.toml: leave out {named}" in " ".join(said.err.split())
    assert {path: path.read_bytes() for path in finished.iterdir() if path.is_file()} == before


def test_resume_takes_what_it_follows(finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    assert Said(capsys, "train", "--resume", run, "--workers", 2, "--device", "cpu").status == 0
    assert "--parallel needs several" in Said(capsys, "train", "--resume", run, "--parallel", 2).err


# ---- defaults of torch

SCRIPT = """
import sys, torch, crystallite
data = crystallite.Dataset.read(sys.argv[1])
setting = {"dtype": lambda: torch.set_default_dtype(torch.float64),
           "device": lambda: torch.set_default_device("meta"), "none": lambda: None}[sys.argv[3]]
setting()
run = crystallite.train(data, "log10_bulk_modulus", out=sys.argv[2], epochs=1, batch_size=32, atom_width=8,
                        hidden_width=8, n_convolutions=1, progress=False)
print(run.predict(data).tolist(), crystallite.load_model(sys.argv[2]).predict(data).tolist(),
      crystallite.load_model(sys.argv[4]).predict(data).tolist())
"""


def test_what_torch_makes_by_default_does_not_matter(moduli_file, tmp_path):
    """MACE sets the default precision, users of matgl the default device."""
    printed = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT, moduli_file, tmp_path / name, name, PUBLISHED],
            check=True, capture_output=True, text=True,
        ).stdout
        for name in ("none", "dtype", "device")
    ]  # fmt: skip
    assert printed[0].count("[") == 3
    assert printed[1] == printed[2] == printed[0]
    assert Path(tmp_path / "device" / "best.safetensors").exists()
