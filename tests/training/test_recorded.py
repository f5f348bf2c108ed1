"""Gradients of padded batches are those of a training step; recorded on a GPU, they are the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_runs import energies, of_target, summary, train

from crystallite.training.preparation import prepare
from crystallite.training.recorded import RecordedGradients
from crystallite.training.run_settings import run_config
from crystallite.training.trainer import Trainer

ENERGY = "formation_energy_per_atom"
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def small_trainer(device: str = "cpu", **settings) -> Trainer:
    """With missing values and sample weights, in double precision."""
    dataset = energies(120)
    random = np.random.default_rng(0)
    missing = np.where(random.random(120) < 0.3, np.nan, dataset.values(ENERGY))
    dataset = dataset.with_property("other", missing, "eV/atom")
    dataset = dataset.with_property("importance", random.random(120) + 0.5)
    settings = {"atom_width": 8, "hidden_width": 8, "n_convolutions": 2, "batch_size": 16, **settings}
    names = [ENERGY, "other"]
    config = run_config(dataset, dataset, names, weight_column="importance", **settings)
    trainer = prepare(dataset, config, device=device)
    trainer.network.double()
    trainer.normalized = trainer.normalized.double()
    return trainer


def recorded(trainer: Trainer) -> RecordedGradients:
    return RecordedGradients(
        trainer.network, trainer.graphs, trainer.normalized, trainer.weights, trainer._loss_of, 16
    )


@pytest.mark.parametrize("loss", ["mae", "mse", "huber"])
@pytest.mark.parametrize("n_rows", [1, 15, 16])
def test_padded_gradients_are_those_of_a_training_step(loss, n_rows):
    ours, theirs = small_trainer(loss=loss), small_trainer(loss=loss)
    rows = theirs.split.train[:n_rows]
    gradients = recorded(ours)
    gradients._of = gradients.computed  # the CPU records nothing
    value = gradients.put(rows)
    expected = theirs._put_gradients(rows)
    assert value == pytest.approx(expected, rel=1e-6)  # the other's is rounded to single precision nowhere
    for found, other in zip(ours.network.parameters(), theirs.network.parameters(), strict=True):
        torch.testing.assert_close(found.grad, other.grad, rtol=1e-7, atol=1e-10)


@needs_gpu
def test_recorded_kernels_compute_what_they_compute_one_by_one():
    ours, theirs = small_trainer("cuda"), small_trainer("cuda")
    ours_recorded, theirs_recorded = recorded(ours), recorded(theirs)
    theirs_recorded._of = lambda rows, shape: theirs_recorded.computed(rows.cuda(), shape)
    for step in range(12):  # a few shapes, each met again
        rows = np.random.default_rng(step % 6).permutation(ours.split.train)[: 15 + step % 2]
        assert ours_recorded.put(rows) == pytest.approx(theirs_recorded.put(rows), rel=1e-9)
        for found, other in zip(ours.network.parameters(), theirs.network.parameters(), strict=True):
            torch.testing.assert_close(found.grad, other.grad, rtol=1e-6, atol=1e-9)
    for found, other in zip(ours.network.buffers(), theirs.network.buffers(), strict=True):
        torch.testing.assert_close(found, other, rtol=1e-6, atol=1e-9)
    assert 1 < len(ours_recorded._recordings) < 12


@needs_gpu
def test_dropout_and_classes_are_recorded_too(tmp_path):
    dataset = energies(200)
    stable = (dataset.values(ENERGY) < np.median(dataset.values(ENERGY))).astype(float)
    dataset = dataset.with_property("stable", stable)
    settings = {"task": "classification", "dropout": 0.2, "epochs": 8}
    here = train(dataset, tmp_path / "cpu", "stable", **settings)
    there = train(dataset, tmp_path / "cuda", "stable", device="cuda", **settings)
    aucs = [of_target(summary(run.folder))["test_auc"] for run in (here, there)]
    assert min(aucs) > 0.75  # other random numbers on a GPU: as good, not the same
