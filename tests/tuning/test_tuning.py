"""The search: what it tries, that it never sees the test set, and trials that go wrong."""

from __future__ import annotations

import tomllib
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from click.testing import CliRunner
from training_runs import (
    ENERGY,
    energies,
    of_target,
    one_thread,  # noqa: F401
)
from tuning_searches import optuna, outcomes, rows, search

import crystallite
from crystallite.cli import cli
from crystallite.errors import CrystalliteError, DivergedError
from crystallite.graphs import store as graph_store
from crystallite.models import inference
from crystallite.network import batches
from crystallite.settings.config import GraphConfig
from crystallite.training import preparation, trainer
from crystallite.training.run_settings import run_config
from crystallite.tuning import search as tuning
from crystallite.tuning.search import TuneResult
from crystallite.tuning.study import mark_diverged

SMALL_NETWORK = "n_convolutions = 1\natom_width = 8\nhidden_width = 8\nbatch_size = 64\n"


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> TuneResult:
    return search(tmp_path_factory.mktemp("search"), trials=8)


# ---- what a search leaves behind


def test_trials_are_inside_the_space(found):
    whole = [row for row in rows(found.folder) if row["default"] != "yes"]
    assert len(whole) == 7
    assert {row["n_neighbors"] for row in whole} <= {"8", "12"}
    assert {row["optimizer"] for row in whole} <= {"adamw", "sgd"}
    assert all(0.001 <= float(row["learning_rate"]) <= 0.1 for row in whole)
    assert len({row["learning_rate"] for row in whole}) == 7


def test_the_first_trial_takes_the_default_settings(found, tmp_path):
    first = rows(found.folder)[0]
    assert (first["default"], first["state"]) == ("yes", "complete")
    fixed = {"epochs": 2, **found.fixed}
    run = crystallite.train(energies(120), ENERGY, out=tmp_path / "run", progress=False, **fixed)
    assert found.default == pytest.approx(of_target(run.summary)["validation_mae"], rel=1e-6)
    assert float(first["validation_mae"]) == found.default


def test_the_best_is_the_smallest_validation_error(found):
    errors = {int(row["trial"]): float(row["validation_error"]) for row in rows(found.folder)
              if row["state"] == "complete"}  # fmt: skip
    assert found.trial == min(errors, key=lambda trial: errors[trial])
    assert found.best <= found.default


def test_figures_can_be_read(found):
    for name in ("history.png", "importance.png"):
        assert matplotlib.image.imread(found.folder / name).shape[0] > 100


def test_train_takes_the_best_settings(found, energies_file, tmp_path):
    words = ["train", energies_file, "--target", ENERGY, "--config", found.folder / "best.toml"]
    result = CliRunner().invoke(cli, [*map(str, words), "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    best = tomllib.loads((found.folder / "best.toml").read_text())
    assert {part: config[part] for part in best} == best
    curve = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert f'"validation_mae": {found.best}' in curve


def test_options_of_train_win_over_its_config(found, energies_file, tmp_path):
    words = ["train", energies_file, "--target", ENERGY, "--config", found.folder / "best.toml"]
    words += ["--epochs", 1, "--seed", 3, "--set", "atom_width=4", "--out", tmp_path / "run"]
    assert CliRunner().invoke(cli, list(map(str, words))).exit_code == 0
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert (config["training"]["epochs"], config["training"]["seed"]) == (1, 3)
    assert config["model"]["atom_width"] == 4
    assert config["model"]["hidden_width"] == 8


def test_settings_from_before_there_were_angles_have_none(found, energies_file, tmp_path):
    text = (found.folder / "best.toml").read_text()
    assert 'angles = "orders"\n' in text
    (tmp_path / "best.toml").write_text(text.replace('angles = "orders"\n', ""))
    words = ["train", energies_file, "--target", ENERGY, "--config", tmp_path / "best.toml"]
    result = CliRunner().invoke(cli, [*map(str, words), "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert tomllib.loads((tmp_path / "run" / "config.toml").read_text())["model"]["angles"] == "none"


@pytest.mark.parametrize("text", ["[graph]\n", "graph = ", "[graph]\n[model]\nwidth = 3\n[training]\n"])
def test_train_refuses_another_file(text, energies_file, tmp_path):
    (tmp_path / "best.toml").write_text(text)
    words = ["train", str(energies_file), "--target", ENERGY, "--config", str(tmp_path / "best.toml")]
    assert isinstance(CliRunner().invoke(cli, words).exception, CrystalliteError)


# ---- the test set, the split and the graphs


def test_changing_test_targets_changes_nothing(found, tmp_path):
    data = energies(120)
    split = preparation.prepare(data, run_config(data, data, ENERGY)).split
    values = data.values(ENERGY).copy()
    values[split.test] = 1000 * np.random.default_rng(0).normal(size=len(split.test))
    search(tmp_path, data.with_property(ENERGY, values), trials=8)
    assert outcomes(tmp_path) == outcomes(found.folder)


def test_rows_of_the_test_part_are_never_gathered(tmp_path, monkeypatch):
    splits, gathered = [], []
    prepare, gather = tuning.prepare, batches.gather_batch

    def spy_prepare(*arguments: Any, **options: Any) -> Any:
        prepared = prepare(*arguments, **options)
        splits.append(prepared.split)
        return prepared

    def spy_gather(graphs: Any, chosen: Any) -> Any:
        gathered.extend(np.asarray(chosen).tolist())
        return gather(graphs, chosen)

    monkeypatch.setattr(tuning, "prepare", spy_prepare)
    for module in (batches, inference):
        monkeypatch.setattr(module, "gather_batch", spy_gather)
    search(tmp_path)
    test = splits[0].test
    assert len(splits) == 6  # one before the study, and one per trial
    assert set(gathered) == {*splits[0].train.tolist(), *splits[0].validation.tolist()}
    assert not set(gathered) & set(test.tolist())


def test_one_split_for_all_graph_settings(elastic):
    target = "log10_bulk_modulus"
    splits = [
        preparation.prepare(elastic, run_config(elastic, elastic, target, n_neighbors=n)).split
        for n in (8, 12, 16)
    ]
    for split in splits[1:]:
        assert all(map(np.array_equal, split, splits[0]))


def test_graphs_are_built_once_for_each_setting(tmp_path, monkeypatch):
    built = []
    build = graph_store.graph_parts

    def spy(arrays: Any, config: GraphConfig, *rest: Any, **options: Any) -> Any:
        built.append(config.n_neighbors)
        return build(arrays, config, *rest, **options)

    monkeypatch.setenv("CRYSTALLITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(graph_store, "graph_parts", spy)
    search(tmp_path / "search", trials=6)
    assert sorted(built) == [8, 12]


# ---- trials that go wrong


def test_a_diverged_trial_is_counted_and_not_the_best(tmp_path, monkeypatch):
    run_epoch = trainer.Trainer.run_epoch

    def diverge(self: Any, after_step: Any) -> Any:
        if self.config.learning_rate != 0.004 and self.epoch == 1:
            raise DivergedError("training diverged")
        return run_epoch(self, after_step)

    monkeypatch.setattr(trainer.Trainer, "run_epoch", diverge)
    monkeypatch.setattr("crystallite.tuning.study._pruner", lambda epochs: optuna.pruners.NopPruner())
    said: list[str] = []
    result = search(tmp_path, say=said.append)
    assert (result.trial, result.n_finished) == (0, 5)
    assert [row["state"] for row in rows(tmp_path)] == ["complete"] + ["diverged"] * 4
    assert {row["validation_error"] for row in rows(tmp_path)[1:]} == {""}
    assert all("diverged in epoch 2" in line for line in said[1:])
    assert matplotlib.image.imread(tmp_path / "history.png").shape[0] > 100


def test_a_real_divergence_is_one(tmp_path):
    """A rate of 1e9: the loss, the weights or what they predict are no numbers."""
    space = 'learning_rate = [0.01, 1e9]\noptimizer = "sgd"\n' + SMALL_NETWORK
    result = search(tmp_path, space=space, trials=8)
    states = {row["state"] for row in rows(tmp_path) if float(row["learning_rate"]) == 1e9}
    assert states == {"diverged"}
    assert result.config.training.learning_rate == 0.01


def test_errors_before_a_divergence_are_the_worst_for_sampler_and_pruner():
    """A trial that was best until it diverged: Hyperband must not let others compete with it."""
    # The name decides the bracket; in this one there are notes at two rungs.
    study = optuna.create_study(study_name="b", pruner=optuna.pruners.HyperbandPruner(1, 9))
    trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    for step in range(1, 5):
        trial.report(0.001, step)
        trial.should_prune()
    study.tell(trial, mark_diverged(trial, "the loss is nan"))
    (frozen,) = study.trials
    rungs = [value for name, value in frozen.system_attrs.items() if name.startswith("completed_rung")]
    assert rungs
    assert {*rungs, frozen.value} == {np.inf}
    assert (frozen.state.name, frozen.user_attrs["best"]) == ("COMPLETE", {})


# ---- inside the space


def test_the_default_trial_takes_what_is_fixed(found):
    assert found.fixed == {"n_convolutions": 1, "atom_width": 8, "hidden_width": 8, "batch_size": 64}
    assert found.config.model.atom_width == 8


def test_defaults_outside_the_space_are_no_trial(tmp_path):
    said: list[str] = []
    space = 'optimizer = ["sgd"]\nlearning_rate = { low = 1e-6, high = 1e-5 }\n' + SMALL_NETWORK
    result = search(tmp_path, space=space, trials=2, say=said.append)
    assert result.default is None
    assert said[0] == (
        "no trial takes the default settings: optimizer = adamw, learning_rate = 0.004 lies outside the space"
    )
    assert 1e-6 <= result.config.training.learning_rate <= 1e-5
    assert result.config.training.optimizer == "sgd"
    assert [row["default"] for row in rows(tmp_path)] == ["", ""]


def test_a_setting_is_searched_where_it_has_its_effect(tmp_path):
    space = (
        'optimizer = ["adamw", "sgd"]\nmomentum = { low = 0.1, high = 0.8 }\nwarmup = 0.2\n' + SMALL_NETWORK
    )
    search(tmp_path, space=space, trials=8)
    trials = rows(tmp_path)
    assert {row["optimizer"] for row in trials} == {"adamw", "sgd"}
    assert {row["optimizer"] for row in trials if row["momentum"]} == {"sgd"}
    assert {row["optimizer"] for row in trials if not row["momentum"]} == {"adamw"}


def test_what_is_fixed_counts_where_it_has_its_effect(tmp_path):
    space = 'optimizer = ["adamw", "sgd"]\nmomentum = 0.5\n' + SMALL_NETWORK
    result = search(tmp_path, space=space, trials=3)
    assert result.config.training.momentum == (0.5 if result.config.training.optimizer == "sgd" else 0.9)


@pytest.mark.parametrize("entry", ["{ low = 0.1, high = 0.3 }", "0.2"])
@pytest.mark.parametrize("name", ["dropout", "momentum"])
def test_a_space_without_effect_is_refused(entry, name, tmp_path):
    with pytest.raises(CrystalliteError, match=f"{name} has an effect only with .*no trial here has"):
        search(tmp_path / "out", space=f"{name} = {entry}\nbatch_size = [8, 16]\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [{"split": "x"}, {"device": "nowhere"}, {"split": "90/0/10"}])
def test_mistakes_leave_no_study(options, tmp_path):
    with pytest.raises(CrystalliteError):
        search(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    assert search(tmp_path / "out", trials=1).n_finished == 1


def test_the_default_settings_are_never_pruned(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "crystallite.tuning.study._pruner", lambda epochs: optuna.pruners.ThresholdPruner(upper=0)
    )
    result = search(tmp_path)
    assert (result.trial, result.best) == (0, result.default)
    assert [row["epochs"] for row in rows(tmp_path)] == ["2", "1", "1", "1", "1"]


def test_it_needs_validation_crystals(tmp_path):
    with pytest.raises(CrystalliteError, match="--split"):
        search(tmp_path, split="90/0/10")


def test_it_tells_classes_apart(tmp_path):
    data = energies(120)
    values = data.values(ENERGY)
    data = data.with_property(ENERGY, (values < np.median(values)).astype(float))
    result = search(tmp_path, data, trials=3, task="classification", split="60/30/10")
    assert result.measure == "validation AUC"
    assert 0 <= result.default <= result.best <= 1
