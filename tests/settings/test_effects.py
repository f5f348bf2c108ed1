"""A setting that changes nothing is refused by name; what the table lists changes nothing, and only that."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from grouped_runs import TINY_OPTIONS, Said
from training_runs import ENERGY, energies, one_thread  # noqa: F401

from crystallite.errors import CrystalliteError
from crystallite.settings.config import GraphConfig
from crystallite.settings.effects import CONDITIONS, Condition
from crystallite.settings.recipes import configure, setting_names, setting_values
from crystallite.training.preparation import prepare
from crystallite.training.run_settings import run_config

TINY = {"epochs": 2, "batch_size": 16, "atom_width": 8, "hidden_width": 8, "n_convolutions": 1, "seed": 1}
# Two other values of every setting with a condition.
OTHER: dict[str, tuple[Any, Any]] = {
    "cutoff": (3.0, 6.0),
    "dropout": (0.0, 0.8),
    "loss": ("mse", "huber"),
    "edge_width": (4, 16),
    "hidden_width": (4, 16),
    "n_hidden": (2, 3),
    "momentum": (0.0, 0.5),
    "warmup": (0.1, 0.9),
    "milestones": ((1,), (2,)),
}
VALUES = {
    "ties": ("shared", "first"), "task": ("regression", "classification"), "readout": ("pooled", "per-atom"),
    "convolution": ("gated", "plain", "edge-updating"),
    "optimizer": ("adamw", "sgd"), "schedule": ("one-cycle", "step", "constant"),
}  # fmt: skip
PAIRS = [(condition, value) for condition in CONDITIONS for value in VALUES[condition.needs]]


@pytest.fixture(scope="module")
def data():
    dataset = energies(40)
    values = dataset.values(ENERGY)
    return dataset.with_property("stable", (values < np.median(values)).astype(float))


def test_every_setting_with_a_condition_is_tried():
    assert {condition.setting for condition in CONDITIONS} == set(OTHER) <= setting_names()
    assert {condition.needs for condition in CONDITIONS} == set(VALUES)
    assert not {condition.setting for condition in CONDITIONS} & set(VALUES)


@pytest.mark.parametrize(("condition", "value"), PAIRS, ids=lambda x: getattr(x, "setting", x))
def test_a_setting_is_refused_where_it_has_no_effect(condition: Condition, value: str):
    settings = {condition.setting: OTHER[condition.setting][0], condition.needs: value}
    task = settings.pop("task", "regression")
    if value == condition.value:
        values = setting_values(configure("modern", task, 1, settings))
        assert values[condition.setting] == settings[condition.setting]
        return
    with pytest.raises(CrystalliteError, match=rf"{condition.setting} has an effect only with.*{value}"):
        configure("modern", task, 1, settings)
    configure("modern", task, 1, {name: x for name, x in settings.items() if name != condition.setting})


def weights(data: Any, task: str, settings: dict[str, Any]) -> dict[str, torch.Tensor]:
    """What a training run ends with, whether configure accepts its settings or not."""
    base = run_config(data, data, ENERGY if task == "regression" else "stable", task=task)
    parts = {}
    for part in ("graph", "model", "training"):
        config = getattr(base, part)
        chosen = {name: value for name, value in {**TINY, **settings}.items() if hasattr(config, name)}
        parts[part] = type(config)(**{**config.to_dict(), **chosen})
    trainer = prepare(data, type(base)(base.data, **parts))
    while not trainer.finished:
        trainer.run_epoch()
    return trainer.kept_network.state_dict()


@pytest.mark.parametrize(("condition", "value"), PAIRS, ids=lambda x: getattr(x, "setting", x))
def test_the_table_is_right(condition: Condition, value: str, data):
    """Two values of a setting train the same network exactly where the table says so."""
    task = value if condition.needs == "task" else "regression"
    settings = {} if condition.needs == "task" else {condition.needs: value}
    found = [weights(data, task, {**settings, condition.setting: x}) for x in OTHER[condition.setting]]
    tensors = [one.values() for one in found]
    same = all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(*tensors, strict=False))
    same = same and len(found[0]) == len(found[1])
    assert same == (value != condition.value)


def test_a_model_to_start_from_may_have_settings_without_effect():
    inherited = {"cutoff": 6.0, "dropout": 0.2, "hidden_width": 7, "readout": "per-atom"}
    graph, model, _ = configure("modern", "regression", 1, {}, inherited)
    assert (graph.effective(), model.hidden_width) == (GraphConfig(), 7)
    with pytest.raises(CrystalliteError, match="dropout has an effect only with"):
        configure("modern", "regression", 1, {"dropout": 0.2}, inherited)


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"split": "70/20/10"}, "split"), ({"split_seed": 3}, "split_seed")],
)
def test_a_split_column_leaves_nothing_to_split(settings, name, data):
    with pytest.raises(CrystalliteError, match=f"^{name} has no effect beside split_column"):
        run_config(data, data, ENERGY, split_column="stable", **settings)
    run_config(data, data, ENERGY, split_column="stable", split="80/10/10")
    run_config(data, data, ENERGY, split_column="stable", split_seed=3, train_limit=10)


# ---- the command


@pytest.fixture
def train_words(data, tmp_path) -> list[Any]:
    data.write(tmp_path / "data.parquet")
    return ["train", tmp_path / "data.parquet", "--target", ENERGY, "--out", tmp_path / "run"]


def config_of(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "config.toml").read_text())


@pytest.mark.parametrize(
    "words",
    [
        ["--set", "cutoff=6"],
        ["--set", "dropout=0.5"],
        ["--set", "momentum=0.9"],
        ["--readout", "per-atom", "--set", "hidden_width=32"],
        ["--set", "schedule=constant", "--set", "warmup=0.1"],
        ["--recipe", "paper", "--set", "warmup=0.1"],
    ],
)
def test_the_command_refuses_in_one_line(words, train_words, tmp_path, capsys):
    said = Said(capsys, *train_words, *words)
    assert (said.status, said.out) == (1, "")
    assert "has an effect only with" in said.err
    assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_several_side_by_side_need_several(train_words, capsys):
    said = Said(capsys, *train_words, "--parallel", 2)
    assert said.status == 2
    assert "--parallel" in said.err


def test_a_complete_file_may_list_what_has_no_effect(train_words, tmp_path, capsys):
    assert Said(capsys, *train_words, *TINY_OPTIONS).status == 0
    text = (tmp_path / "run" / "config.toml").read_text()
    for old, new in {"cutoff = 8.0": "cutoff = 6.0", "momentum = 0.9": "momentum = 0.3"}.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "all.toml").write_text(text)
    words = [*train_words[:-1], tmp_path / "again", "--config", tmp_path / "all.toml"]
    assert Said(capsys, *words).status == 0
    assert config_of(tmp_path / "again") == config_of(tmp_path / "run")
    words[-3] = tmp_path / "sgd"
    assert Said(capsys, *words, "--set", "optimizer=sgd").status == 0
    assert config_of(tmp_path / "sgd")["training"]["momentum"] == 0.3
    words[-3] = tmp_path / "refused"
    said = Said(capsys, *words, "--set", "momentum=0.3")
    assert "momentum has an effect only with optimizer = sgd" in said.err
    words[-3] = tmp_path / "atoms"
    assert Said(capsys, *words, "--readout", "per-atom").status == 0
    assert config_of(tmp_path / "atoms")["model"]["hidden_width"] == 128
