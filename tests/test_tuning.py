"""The search: what it tries, that it never sees the test part, and that nothing is lost when it is killed."""

from __future__ import annotations

import signal
import time
import tomllib
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from click.testing import CliRunner
from training_runs import (
    ENERGY,
    Finished,
    energies,
    one_thread,  # noqa: F401
    start,
    table,
)

import crystallite
from crystallite import graph_store, trainer, training, tuning
from crystallite.cli import cli
from crystallite.config import GraphConfig
from crystallite.errors import CrystalliteError
from crystallite.search_space import DEFAULT_SPACE, Range, SearchSpace
from crystallite.tuning import SearchInterruptedError, TuneResult, tune

optuna = pytest.importorskip("optuna")

SPACE = """\
n_neighbors = { low = 8, high = 12, step = 4 }
learning_rate = { low = 0.001, high = 0.1, log = true }
optimizer = ["adamw", "sgd"]
n_convolutions = 1
atom_width = 8
hidden_width = 8
batch_size = 64
"""


def search(out: Path, data: Any = None, space: str = SPACE, **options: Any) -> TuneResult:
    """A search over tiny networks."""
    chosen = {"trials": 5, "epochs": 2, **options}
    data = energies(120) if data is None else data
    return tune(data, ENERGY, space=SearchSpace.parse(space, "test"), out=out, **chosen)


def rows(folder: Path) -> list[dict[str, str]]:
    """The trials of a folder."""
    header, lines = table(folder / "trials.csv")
    return [dict(zip(header, line, strict=True)) for line in lines]


def outcomes(folder: Path) -> list[dict[str, str]]:
    """What must repeat: all but the time it took."""
    return [{name: cell for name, cell in row.items() if name != "seconds"} for row in rows(folder)]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> TuneResult:
    return search(tmp_path_factory.mktemp("search"), trials=8)


@pytest.fixture
def data_file(tmp_path) -> Path:
    energies(120).write(tmp_path / "energies.parquet")
    return tmp_path / "energies.parquet"


@pytest.fixture
def space_file(tmp_path) -> Path:
    (tmp_path / "space.toml").write_text(SPACE)
    return tmp_path / "space.toml"


# ---- the space


def test_the_default_space_is_what_is_documented():
    space = SearchSpace.default()
    assert set(space.searched) == {
        "n_convolutions", "atom_width", "hidden_width", "n_hidden", "n_neighbors", "optimizer",
        "learning_rate", "weight_decay", "batch_size", "loss",
    }  # fmt: skip
    assert not space.fixed


def test_the_default_settings_lie_in_the_default_space():
    space = SearchSpace.default()
    assert set(space.start()) == set(space.searched)


def test_classification_does_not_search_the_loss():
    assert "loss" not in SearchSpace.default("classification").searched


def test_a_file_says_ranges_choices_and_values():
    space = SearchSpace.parse(SPACE, "test")
    assert space.searched["learning_rate"] == Range(0.001, 0.1, log=True)
    assert space.searched["optimizer"] == ("adamw", "sgd")
    assert space.fixed["atom_width"] == 8


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("depth = [1, 2]", "no setting depth"),
        ("atom_width = { low = 8 }", "a range is"),
        ("atom_width = { low = 8, high = 16, steps = 8 }", "a range is"),
        ("atom_width = { low = 16, high = 8 }", "low must be less"),
        ("atom_width = { low = 8, high = 20, step = 8 }", "do not lead"),
        ("atom_width = { low = 8, high = 16, step = 0 }", "do not lead"),
        ("atom_width = { low = 8, high = 16, step = 0.5 }", "whole number"),
        ("atom_width = { low = 0, high = 16 }", "at least 1"),
        ("atom_width = [8.5, 16]", "whole number"),
        ("learning_rate = { low = 0.001, high = 0.1, log = true, step = 0.1 }", "no step"),
        ("learning_rate = { low = -1.0, high = 0.1 }", "positive"),
        ('loss = { low = "mae", high = "mse" }', "needs numbers"),
        ('loss = ["mae", "mae"]', "each once"),
        ("loss = []", "at least one"),
        ('loss = ["cubed"]', "loss must be one of"),
        ("atom_width = 8", "nothing to search"),
        ("epochs = [10, 20]", "--epochs"),
        ("seed = [1, 2]", "--seed"),
        ("atom_width = ", "test: "),
    ],
)
def test_a_wrong_space_says_why(text, reason):
    with pytest.raises(CrystalliteError, match="test: ") as error:
        SearchSpace.parse(text, "test")
    assert reason in str(error.value)


def test_print_space_prints_a_space_that_is_taken():
    printed = CliRunner().invoke(cli, ["tune", "--print-space"]).output
    assert printed == DEFAULT_SPACE
    assert SearchSpace.parse(printed, "printed") == SearchSpace.default()


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
    run = crystallite.train(energies(120), ENERGY, epochs=2, out=tmp_path / "run", progress=False)
    assert found.default == pytest.approx(run.summary["validation_mae"], rel=1e-6)
    assert float(first["validation_mae"]) == pytest.approx(found.default, rel=1e-5)


def test_the_best_is_the_smallest_validation_error(found):
    errors = {int(row["trial"]): float(row["validation_error"]) for row in rows(found.folder)
              if row["state"] == "complete"}  # fmt: skip
    assert found.trial == min(errors, key=lambda trial: errors[trial])
    assert found.best <= found.default


def test_figures_can_be_read(found):
    for name in ("history.png", "importance.png"):
        assert matplotlib.image.imread(found.folder / name).shape[0] > 100


def test_train_takes_the_best_settings(found, data_file, tmp_path):
    words = ["train", data_file, "--target", ENERGY, "--config", found.folder / "best.toml"]
    result = CliRunner().invoke(cli, [*map(str, words), "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    best = tomllib.loads((found.folder / "best.toml").read_text())
    assert {part: config[part] for part in best} == best
    curve = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert f'"validation_mae": {found.best}' in curve


def test_options_of_train_win_over_its_config(found, data_file, tmp_path):
    words = ["train", data_file, "--target", ENERGY, "--config", found.folder / "best.toml"]
    words += ["--epochs", 1, "--seed", 3, "--set", "atom_width=4", "--out", tmp_path / "run"]
    assert CliRunner().invoke(cli, list(map(str, words))).exit_code == 0
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert (config["training"]["epochs"], config["training"]["seed"]) == (1, 3)
    assert config["model"]["atom_width"] == 4
    assert config["model"]["hidden_width"] == 8


@pytest.mark.parametrize("text", ["[graph]\n", "graph = ", "[graph]\n[model]\nwidth = 3\n[training]\n"])
def test_train_refuses_another_file(text, data_file, tmp_path):
    (tmp_path / "best.toml").write_text(text)
    words = ["train", str(data_file), "--target", ENERGY, "--config", str(tmp_path / "best.toml")]
    assert isinstance(CliRunner().invoke(cli, words).exception, CrystalliteError)


# ---- the test part, the split and the graphs


def test_changing_test_targets_changes_nothing(found, tmp_path):
    data = energies(120)
    split = training.prepare(data, training.run_config(data, data, ENERGY)).split
    values = data.values(ENERGY).copy()
    values[split.test] = 1000 * np.random.default_rng(0).normal(size=len(split.test))
    search(tmp_path, data.with_property(ENERGY, values), trials=8)
    assert outcomes(tmp_path) == outcomes(found.folder)


def test_rows_of_the_test_part_are_never_gathered(tmp_path, monkeypatch):
    splits, gathered = [], []
    prepare, gather = tuning.prepare, trainer.gather_batch

    def spy_prepare(*arguments: Any, **options: Any) -> Any:
        prepared = prepare(*arguments, **options)
        splits.append(prepared.split)
        return prepared

    def spy_gather(graphs: Any, chosen: Any) -> Any:
        gathered.extend(np.asarray(chosen).tolist())
        return gather(graphs, chosen)

    monkeypatch.setattr(tuning, "prepare", spy_prepare)
    monkeypatch.setattr(trainer, "gather_batch", spy_gather)
    monkeypatch.setattr("crystallite.inference.gather_batch", spy_gather)
    search(tmp_path)
    test = splits[0].test
    assert len(splits) == 5
    assert set(gathered) == {*splits[0].train.tolist(), *splits[0].validation.tolist()}
    assert not set(gathered) & set(test.tolist())


def test_one_split_for_all_graph_settings(elastic):
    target = "log10_bulk_modulus"
    splits = [
        training.prepare(elastic, training.run_config(elastic, elastic, target, n_neighbors=n)).split
        for n in (8, 12, 16)
    ]
    for split in splits[1:]:
        assert all(map(np.array_equal, split, splits[0]))


def test_graphs_are_built_once_for_each_setting(tmp_path, monkeypatch):
    built = []
    build = graph_store.build_graphs

    def spy(arrays: Any, config: GraphConfig, *rest: Any, **options: Any) -> Any:
        built.append(config.n_neighbors)
        return build(arrays, config, *rest, **options)

    monkeypatch.setenv("CRYSTALLITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(graph_store, "build_graphs", spy)
    search(tmp_path / "search", trials=6)
    assert sorted(built) == [8, 12]


# ---- stopping and going on


def test_a_search_goes_on_where_it_stopped(found, tmp_path):
    search(tmp_path, trials=3)
    search(tmp_path, trials=8)
    assert outcomes(tmp_path) == outcomes(found.folder)


def test_a_finished_search_adds_nothing(tmp_path):
    search(tmp_path, trials=2)
    assert search(tmp_path, trials=2).n_finished == 2
    assert len(rows(tmp_path)) == 2


@pytest.mark.parametrize(
    "change", [{"epochs": 3}, {"seed": 1}, {"split": "70/15/15"}, {"space": "batch_size = [8, 16]"}]
)
def test_another_search_may_not_join(change, tmp_path):
    search(tmp_path, trials=1)
    with pytest.raises(CrystalliteError, match=f"other {next(iter(change))}"):
        search(tmp_path, **change)


def test_other_targets_may_not_join(tmp_path):
    search(tmp_path, trials=1)
    data = energies(120)
    with pytest.raises(CrystalliteError, match="other fingerprint"):
        search(tmp_path, data.with_property(ENERGY, data.values(ENERGY) + 1))


def test_ctrl_c_writes_what_there_is_and_says_how_to_go_on(tmp_path):
    def interrupt(text: str) -> None:
        if text.startswith("trial 2"):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(SearchInterruptedError, match=r"3 of 5 trials finished.*same command"):
        search(tmp_path, say=interrupt)
    assert (tmp_path / "best.toml").exists()
    assert search(tmp_path).n_finished == 5


def test_ctrl_c_inside_a_trial_loses_only_that(tmp_path, monkeypatch):
    step = trainer.Trainer.train_step

    def interrupted(self: Any, chosen: Any) -> float:
        signal.raise_signal(signal.SIGINT)
        return step(self, chosen)

    search(tmp_path, trials=2)
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "train_step", interrupted)
        with pytest.raises(SearchInterruptedError, match="2 of 5"):
            search(tmp_path)
    assert search(tmp_path).n_finished == 5
    assert [row["state"] for row in rows(tmp_path)].count("lost") == 1


def test_a_lost_trial_of_default_settings_is_repeated(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(tuning, "prepare", lambda *_, **__: signal.raise_signal(signal.SIGINT) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            search(tmp_path)
    assert search(tmp_path, trials=2).default is not None
    assert [row["default"] for row in rows(tmp_path)] == ["yes", "yes", ""]


def test_killed_again_and_again_it_loses_only_running_trials(data_file, space_file, tmp_path):
    out, random = tmp_path / "search", np.random.default_rng(0)
    words = ["tune", data_file, "--target", ENERGY, "--space", space_file, "--epochs", 2, "--out", out]
    seen = 0
    for _ in range(2):
        process = start(*words, "--trials", 100)
        for _ in range(2):
            seen += process.stdout.readline().startswith("trial")
        time.sleep(random.uniform(0, 0.3))
        process.kill()
        process.communicate()
    result = tune(data_file, ENERGY, trials=seen + 4, epochs=2, space=space_file, out=out)
    states = [row["state"] for row in rows(out)]
    assert seen == 4
    assert states.count("lost") <= 2
    assert len(states) - states.count("lost") == result.n_finished >= seen + 4
    assert not [path for path in out.iterdir() if ".trial-" in path.name]


def test_processes_share_the_work(data_file, space_file, tmp_path):
    words = ["tune", data_file, "--target", ENERGY, "--space", space_file, "--epochs", 2, "--trials", 10]
    words += ["--storage", tmp_path / "shared.journal"]
    started = [start(*words, "--out", tmp_path / name) for name in "ab"]
    ended = [Finished(process) for process in started]
    assert [process.status for process in ended] == [0, 0], ended[0].err + ended[1].err
    assert outcomes(tmp_path / "a") == outcomes(tmp_path / "b")
    trials = rows(tmp_path / "a")
    assert [row["state"] in ("complete", "pruned") for row in trials] == [True] * 10
    assert sum(row["default"] == "yes" for row in trials) == 1
    assert len({row["learning_rate"] for row in trials}) == 10


# ---- trials that go wrong


def test_a_diverged_trial_is_counted_and_not_the_best(tmp_path, monkeypatch):
    run_epoch = trainer.Trainer.run_epoch

    def diverge(self: Any, after_step: Any) -> Any:
        if self.config.learning_rate != 0.01:
            raise CrystalliteError("the training diverged")
        return run_epoch(self, after_step)

    monkeypatch.setattr(trainer.Trainer, "run_epoch", diverge)
    result = search(tmp_path)
    assert result.trial == 0
    assert [row["state"] for row in rows(tmp_path)] == ["complete"] + ["diverged"] * 4


def test_the_default_settings_are_never_pruned(tmp_path, monkeypatch):
    monkeypatch.setattr("crystallite.study._pruner", lambda epochs: optuna.pruners.ThresholdPruner(upper=0))
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


# ---- storages


def test_half_a_line_at_the_end_of_the_journal_is_cut_off(tmp_path):
    search(tmp_path, trials=2)
    with (tmp_path / "study.journal").open("a") as file:
        file.write('{"op_code":4,"wor')
    assert search(tmp_path, trials=4).n_finished == 4


def test_a_storage_that_fails_during_the_search_says_so(tmp_path, monkeypatch):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    append = "optuna.storages.journal.JournalFileBackend.append_logs"
    with monkeypatch.context() as patch, pytest.raises(CrystalliteError, match=r"No space left.*same"):
        search(tmp_path, say=lambda text: patch.setattr(append, full))
    assert search(tmp_path, trials=2).n_finished == 2


def test_another_file_is_no_journal(tmp_path):
    (tmp_path / "notes.txt").write_text("notes\nmore notes\n")
    with pytest.raises(CrystalliteError, match="not a journal"):
        search(tmp_path, storage=str(tmp_path / "notes.txt"))


def test_a_database_keeps_trials_too(found, tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    search(tmp_path, trials=3, storage=url)
    search(tmp_path, trials=8, storage=url)
    assert outcomes(tmp_path) == outcomes(found.folder)


@pytest.mark.parametrize(
    "url",
    ["postgresql://nobody:secret@127.0.0.1:9/none", "nonsense://somewhere", "sqlite:////no/such/folder/x"],
)
def test_a_database_that_cannot_be_opened_says_so(url, tmp_path, monkeypatch):
    monkeypatch.setattr("crystallite.study.time.sleep", lambda seconds: None)
    with pytest.raises(CrystalliteError) as error:
        search(tmp_path, storage=url)
    assert "secret" not in str(error.value)
