"""Epochs are shuffled whole, or in shards where graphs are large: by seed and epoch alone, every row once."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from training_runs import after_step, assert_same_run, energies, one_thread, train  # noqa: F401

from crystallite.training import epoch_order as module
from crystallite.training.epoch_order import epoch_order
from crystallite.training.train import TrainingInterruptedError, resume

ROWS = np.flatnonzero(np.random.default_rng(5).random(2000) < 0.8)
LARGE = module.WHOLE + 1


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(module, "SHARD", 20)
    monkeypatch.setattr(module, "WINDOW", 5)


def test_small_sets_are_shuffled_as_ever():
    expected = np.random.default_rng([3, 7]).permutation(ROWS)
    np.testing.assert_array_equal(epoch_order(ROWS, module.WHOLE, 3, 7), expected)


def test_large_sets_are_read_window_by_window(small_shards):
    order = epoch_order(ROWS, LARGE, 3, 7)
    np.testing.assert_array_equal(np.sort(order), ROWS)
    shards = order // 20
    places = [np.flatnonzero(shards == shard) for shard in range(100)]
    assert max(np.ptp(of_shard) for of_shard in places) < 5 * 20  # a shard is read within a window
    assert np.abs(np.diff(order)).mean() > 20  # neighbours on disk are not neighbours in a batch
    assert np.ptp(shards[:60]) > 20  # and a window is of all parts of the disk


def test_seed_and_epoch_decide(small_shards):
    orders = [epoch_order(ROWS, LARGE, *numbers) for numbers in ((1, 0), (1, 0), (1, 1), (2, 0))]
    same = [np.array_equal(orders[0], other) for other in orders[1:]]
    assert same == [True, False, False]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_rows(n, small_shards):
    assert sorted(epoch_order(ROWS[:n], LARGE, 0, 0).tolist()) == ROWS[:n].tolist()


def test_a_run_in_shards_resumes_bit_for_bit(tmp_path, monkeypatch, small_shards):
    monkeypatch.setattr(module, "WHOLE", 0)
    data = tmp_path / "data.parquet"
    energies(120).write(data)
    size = {"epochs": 2, "batch_size": 16}
    never = train(data, tmp_path / "never", **size).folder
    with monkeypatch.context() as patch:
        after_step(patch, 5, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(TrainingInterruptedError):
            train(data, tmp_path / "run", **size)
    resume(tmp_path / "run", progress=False)
    assert_same_run(tmp_path / "run", never)
