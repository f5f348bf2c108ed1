"""A search that is resumed: stopped, killed, shared by processes; and the storages it is kept in."""

from __future__ import annotations

import signal
import time
import tomllib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from training_runs import (
    ENERGY,
    Finished,
    energies,
    one_thread,  # noqa: F401
    start,
)
from tuning_searches import outcomes, rows, search, search_words

from crystallite.errors import CrystalliteError
from crystallite.settings.recipes import RECIPES
from crystallite.training import trainer
from crystallite.tuning import search as tuning
from crystallite.tuning.search import SearchInterruptedError, TuneResult, tune


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> TuneResult:
    return search(tmp_path_factory.mktemp("search"), trials=8)


# ---- stopping and resuming


def test_a_search_resumes_where_it_stopped(found, tmp_path):
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


def test_a_search_goes_on_with_the_recipe_it_began_with(found, tmp_path, monkeypatch):
    """A later release may have another recipe; errors of one search must stay comparable."""
    search(tmp_path, trials=3)
    model, training = RECIPES["modern"]
    later = (replace(model, angles="none", atom_width=16), replace(training, averaging=0.5))
    monkeypatch.setitem(RECIPES, "modern", later)
    search(tmp_path, trials=8)
    assert outcomes(tmp_path) == outcomes(found.folder)
    best = [tomllib.loads((folder / "best.toml").read_text()) for folder in (tmp_path, found.folder)]
    assert best[0]["model"] == best[1]["model"]
    assert best[0]["training"] == best[1]["training"]


def test_a_study_without_its_recipe_may_not_be_joined(tmp_path):
    search(tmp_path, trials=1)
    journal = tmp_path / "study.journal"
    assert '"recipe":' in journal.read_text()
    journal.write_text(journal.read_text().replace('"recipe":', '"trial_of_defaults":'))
    with pytest.raises(CrystalliteError, match=r"earlier version.*start another with --study or --out"):
        search(tmp_path)


def test_ctrl_c_writes_what_there_is_and_says_how_to_resume(tmp_path):
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
    prepare, calls = tuning.prepare, iter(range(2))

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if next(calls) == 1:  # the first looks whether there is anything to train
            signal.raise_signal(signal.SIGINT)
            raise ZeroDivisionError
        return prepare(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(tuning, "prepare", interrupted)
        with pytest.raises(ZeroDivisionError):
            search(tmp_path)
    assert search(tmp_path, trials=2).default is not None
    assert [row["default"] for row in rows(tmp_path)] == ["yes", "yes", ""]


def test_killed_again_and_again_it_loses_only_running_trials(tmp_path):
    out, random = tmp_path / "search", np.random.default_rng(0)
    words = [*search_words(tmp_path), "--out", out]
    seen = 0
    for _ in range(2):
        process = start(*words, "--trials", 100)
        for _ in range(2):
            seen += process.stdout.readline().startswith("trial")
        time.sleep(random.uniform(0, 0.3))
        process.kill()
        process.communicate()
    energies_file, space_file = tmp_path / "energies.parquet", tmp_path / "space.toml"
    result = tune(energies_file, ENERGY, trials=seen + 4, epochs=2, space=space_file, out=out)
    states = [row["state"] for row in rows(out)]
    assert seen == 4
    assert states.count("lost") <= 2
    assert len(states) - states.count("lost") == result.n_finished >= seen + 4
    assert not [path for path in out.iterdir() if ".trial-" in path.name]


def test_processes_share_the_work(tmp_path):
    words = [*search_words(tmp_path), "--trials", 10, "--storage", tmp_path / "shared.journal"]
    started = [start(*words, "--out", tmp_path / name) for name in "ab"]
    ended = [Finished(process) for process in started]
    assert [process.status for process in ended] == [0, 0], ended[0].err + ended[1].err
    assert outcomes(tmp_path / "a") == outcomes(tmp_path / "b")
    trials = rows(tmp_path / "a")
    assert [row["state"] in ("complete", "pruned") for row in trials] == [True] * 10
    assert sum(row["default"] == "yes" for row in trials) == 1
    assert len({row["learning_rate"] for row in trials}) == 10


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
    monkeypatch.setattr("crystallite.tuning.study.time.sleep", lambda seconds: None)
    with pytest.raises(CrystalliteError) as error:
        search(tmp_path, storage=url)
    assert "secret" not in str(error.value)
