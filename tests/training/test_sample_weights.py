"""Sample weights: what they do to the loss, that they do nothing else, and which are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from grouped_runs import MODULUS, TINY, TINY_OPTIONS, Said, moduli, train_group
from training_runs import metrics, of_target, one_thread, parts_of, same_weights, summary, table, train  # noqa: F401

from crystallite.errors import CrystalliteError
from crystallite.network.batches import batch_inputs
from crystallite.training.optimization import loss_of
from crystallite.training.preparation import prepare
from crystallite.training.run_settings import run_config
from crystallite.training.trainer import Trainer

ROWS = np.arange(12)


def weighted(weights, n_crystals=40, **columns):
    dataset = moduli(n_crystals).with_property("importance", weights)
    for name, values in columns.items():
        dataset = dataset.with_property(name, values)
    return dataset


def trainer_of(dataset, target=MODULUS, **settings) -> Trainer:
    """A trainer in double precision, so that equal means equal."""
    settings = {**TINY, "batch_size": 12, "weight_column": "importance", "averaging": 0.0, **settings}
    trainer = prepare(dataset, run_config(dataset, dataset, target, **settings))
    trainer.network.double()
    trainer.normalized = torch.from_numpy(
        (trainer.targets.transformed(trainer.values) - trainer.targets.mean) / np.array(trainer.targets.std)
    )
    return trainer


def gradients_of_a_step(trainer: Trainer) -> dict[str, torch.Tensor]:
    trainer.train_step(ROWS)
    return {name: p.grad.clone() for name, p in trainer.network.named_parameters()}


def gradients_of(trainer: Trainer, repeated: np.ndarray) -> dict[str, torch.Tensor]:
    """Of the mean loss of ROWS[repeated]: each crystal as often as it is named, in one batch of ROWS."""
    outputs = trainer.network(batch_inputs(trainer.network, trainer.graphs, ROWS))[repeated]
    loss, count = loss_of(
        outputs, trainer.normalized[ROWS][repeated], trainer.config, trainer.targets.task
    )  # fmt: skip
    trainer.network.zero_grad()
    (loss / count).backward()
    return {name: p.grad.clone() for name, p in trainer.network.named_parameters()}


@pytest.mark.parametrize(
    ("target", "settings"),
    [
        (MODULUS, {"loss": "mae"}),
        (MODULUS, {"loss": "mse"}),
        (MODULUS, {"loss": "huber"}),
        (["holes", "poisson_ratio"], {}),
        ("stiff", {"task": "classification", "dropout": 0.0}),
    ],
    ids=["mae", "mse", "huber", "several targets", "classes"],
)
def test_a_weight_is_how_often_a_crystal_counts(target, settings):
    weights = np.ones(40)
    weights[:4] = [0, 2, 3, 0]
    dataset = moduli(40)
    holes = np.where(np.arange(40) % 3 == 1, np.nan, dataset.values(MODULUS))
    dataset = weighted(weights, stiff=dataset.values("bulk_modulus") > 100, holes=holes)
    torch.manual_seed(0)
    found = gradients_of_a_step(trainer_of(dataset, target, **settings))
    repeated = np.repeat(ROWS, weights[ROWS].astype(int))
    expected = gradients_of(trainer_of(dataset, target, **settings), repeated)
    assert len(repeated) == 13
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12, msg=name)
    plain = gradients_of(trainer_of(dataset, target, **settings), ROWS)
    assert not torch.allclose(found["output.weight"], plain["output.weight"], rtol=1e-3)


def test_only_their_ratios_count():
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.5, 2, 40)
    ours, theirs = (gradients_of_a_step(trainer_of(weighted(scale * weights))) for scale in (1, 8))
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-9, atol=1e-12)


def test_weights_of_one_change_no_bit(tmp_path):
    dataset = weighted(np.ones(40))
    plain = train(dataset, tmp_path / "plain", MODULUS)
    run = train(dataset, tmp_path / "run", MODULUS, weight_column="importance")
    assert same_weights(plain.folder, run.folder)
    other = weighted(np.linspace(0.1, 2, 40))
    changed = train(other, tmp_path / "other", MODULUS, weight_column="importance")
    assert not same_weights(plain.folder, changed.folder, ("last",))


def test_a_crystal_of_weight_0_is_left_out_altogether(tmp_path):
    """Normaliser, batch norms, loss, validation and test: as if the crystal were not there."""
    out = np.arange(60) % 6 == 0
    labels = np.where(np.arange(60) % 3 == 1, "val", np.where(np.arange(60) % 3 == 2, "test", "train"))
    out |= np.isin(np.arange(60), (1, 2))  # one crystal of each held-out part as well
    dataset = moduli(60)
    wild = dataset.with_property(MODULUS, np.where(out, -60_000, dataset.values(MODULUS)), "log10(GPa)")
    wild = wild.with_property("part", labels.tolist()).with_property("importance", np.where(out, 0.0, 1.0))
    settings = {"split_column": "part", "weight_column": "importance"}
    run = train(wild, tmp_path / "run", MODULUS, **settings)
    fewer = train(wild.select(~out), tmp_path / "fewer", MODULUS, **settings)
    assert same_weights(run.folder, fewer.folder, ("last",))
    assert (run.folder / "test_predictions.csv").read_bytes() == (
        fewer.folder / "test_predictions.csv"
    ).read_bytes()
    assert run.model.targets == fewer.model.targets
    assert set(parts_of(run.folder)[""]) == {name for name, gone in zip(wild.ids, out, strict=True) if gone}


def test_a_random_split_is_of_the_crystals_with_a_weight(tmp_path):
    run = train(
        weighted(np.arange(60) % 2, 60), tmp_path / "run", MODULUS, weight_column="importance", epochs=1
    )
    assert [len(part) for part in parts_of(run.folder).values()] == [24, 3, 3, 30]


def test_errors_are_not_weighted(tmp_path):
    run = train(
        weighted(np.linspace(0.1, 9, 40)), tmp_path / "run", MODULUS, weight_column="importance",
        split="60/20/20", epochs=1, averaging=0.0,
    )  # fmt: skip
    truth, predicted = np.array([row[1:] for row in table(run.folder / "test_predictions.csv")[1]], float).T
    assert of_target(run.summary)["test_mae"] == pytest.approx(np.abs(truth - predicted).mean(), rel=1e-5)
    validated = np.isin(moduli(40).ids, parts_of(run.folder)["validation"])
    dataset = moduli(40).select(validated)
    error = np.abs(dataset.values(MODULUS) - run.predict(dataset)).mean()
    assert of_target(metrics(run.folder)[0])["validation_mae"] == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1.0, r"sample weights importance: -1 for \S+; 1 of 32 training crystals"),
        (np.nan, r"sample weights importance: missing for \S+; 1 of 32"),
    ],
)
def test_bad_weights_are_named(value, message, tmp_path):
    dataset = weighted(np.where(np.arange(40) == 2, value, 1.0))
    labels = ["train"] * 32 + ["val"] * 4 + ["test"] * 4
    dataset = dataset.with_property("part", labels)
    settings = {"weight_column": "importance", "split_column": "part"}
    with pytest.raises(CrystalliteError, match=message) as error:
        train(dataset, tmp_path / "run", MODULUS, **settings)
    assert dataset.ids[2] in str(error.value)
    assert not (tmp_path / "run").exists()


def test_only_training_crystals_need_a_weight(tmp_path):
    labels = ["train"] * 32 + ["val"] * 4 + ["test"] * 4
    dataset = weighted(np.where(np.arange(40) < 32, 1.0, np.nan)).with_property("part", labels)
    run = train(dataset, tmp_path / "run", MODULUS, weight_column="importance", split_column="part", epochs=1)
    assert of_target(run.summary)["test_mae"] > 0


def test_all_of_0_is_an_error(tmp_path):
    with pytest.raises(CrystalliteError, match="of 0 crystals with a value leaves the training set empty"):
        train(weighted(np.zeros(40)), tmp_path / "run", MODULUS, weight_column="importance")


def test_folds_pass_them_on(tmp_path):
    rising = weighted(np.linspace(0.1, 9, 40))
    train_group(rising, {"folds": 3}, tmp_path / "run", weight_column="importance")
    train_group(rising, {"folds": 3}, tmp_path / "plain")
    assert not same_weights(tmp_path / "run" / "fold-1", tmp_path / "plain" / "fold-1", ("last",))


def test_the_command(tmp_path, capsys):
    weighted(np.linspace(0.1, 9, 40)).write(tmp_path / "data.parquet")
    words = ["train", tmp_path / "data.parquet", "--target", MODULUS, *TINY_OPTIONS]
    said = Said(capsys, *words, "--out", tmp_path / "run", "--weight-column", "importance")
    assert (said.status, said.err) == (0, "")
    dataset = weighted(np.linspace(0.1, 9, 40))
    run = train(dataset, tmp_path / "python", MODULUS, weight_column="importance", **TINY)
    assert same_weights(run.folder, tmp_path / "run")
    said = Said(capsys, *words, "--out", tmp_path / "other", "--weight-column", "importence")
    assert (said.status, said.out) == (1, "")
    assert "importance" in said.err
