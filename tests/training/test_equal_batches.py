"""An epoch is cut into nearly equal batches, so that no step hangs on a handful of crystals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_runs import ENERGY, SMALL, energies, one_thread  # noqa: F401

from crystallite.training.preparation import prepare
from crystallite.training.run_settings import run_config
from crystallite.training.trainer import equal_batches


@given(st.integers(1, 2000), st.integers(1, 300))
def test_batches_are_as_few_and_as_equal_as_can_be(n_rows, batch_size):
    rows = np.random.default_rng(n_rows).permutation(n_rows)
    batches = equal_batches(rows, batch_size)
    sizes = [len(batch) for batch in batches]
    assert len(batches) == math.ceil(n_rows / batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    np.testing.assert_array_equal(np.concatenate(batches), rows)


@pytest.mark.parametrize(("n_train", "sizes"), [(32, [32]), (33, [17, 16]), (65, [22, 22, 21]), (1, [1])])
def test_a_training_run_takes_them(n_train, sizes, monkeypatch):
    """33 crystals in batches of 32 once meant a last step on one crystal, with full weight."""
    data = energies(100)
    settings = {name: value for name, value in SMALL.items() if name != "progress"}
    config = run_config(data, data, ENERGY, **{**settings, "train_limit": max(n_train, 2)})
    trainer = prepare(data, config)
    trainer.split = trainer.split._replace(train=trainer.split.train[:n_train])
    trainer.steps_per_epoch = len(sizes)
    taken = []
    step = trainer.train_step
    monkeypatch.setattr(trainer, "train_step", lambda rows: taken.append(rows) or step(rows))
    trainer.run_epoch()
    assert [len(rows) for rows in taken] == sizes
    assert sorted(np.concatenate(taken)) == sorted(trainer.split.train)
