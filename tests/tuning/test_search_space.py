"""The space that a search looks in: the default, files that say another, and mistakes in them."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from tuning_searches import SPACE

from crystallite.cli import cli
from crystallite.errors import CrystalliteError
from crystallite.tuning.space import DEFAULT_SPACE, Range, SearchSpace, recipe_values


def test_the_default_space_is_what_is_documented():
    space = SearchSpace.default()
    assert set(space.searched) == {
        "n_convolutions", "atom_width", "hidden_width", "n_hidden", "n_neighbors", "optimizer",
        "learning_rate", "weight_decay", "batch_size", "loss",
    }  # fmt: skip
    assert not space.fixed


def test_the_default_settings_lie_in_the_default_space():
    space = SearchSpace.default()
    assert set(space.start(recipe_values())) == set(space.searched)
    assert space.outside(recipe_values()) == {}


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
