"""Fine-tuning: from any model, with its last layer or a new one, and with parts that stay as they are."""

from __future__ import annotations

import signal
import warnings

import numpy as np
import pytest
import torch
from golden_files import GOLDEN
from grouped_runs import MODULUS, Said, moduli, train_group
from training_runs import ENERGY, after_step, assert_same_run, energies, one_thread, train  # noqa: F401

from crystallite import load_model
from crystallite.errors import CrystalliteError
from crystallite.models.checkpoint import read_arrays, read_model
from crystallite.models.loading import read_any_model
from crystallite.runs.folder import RunConfig
from crystallite.training.preparation import prepare
from crystallite.training.run_settings import run_config
from crystallite.training.train import TrainingInterruptedError, resume

PUBLISHED = GOLDEN / "formation-energy-per-atom.pth.tar"
METALS = GOLDEN / "semi-metal-classification.pth.tar"
ALL = np.arange(40)
ORDERS = ("order_hidden", "order_output")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The folder of a small training run on energies."""
    return train(energies(60), tmp_path_factory.mktemp("first") / "run").folder


def other_energies():
    """Crystals the first training run has not seen, with other values: another mean and another spread."""
    dataset = energies(140).select(range(100, 140))
    return dataset.with_property(ENERGY, 3 * dataset.values(ENERGY) + 1, "eV/atom")


def before_the_first_step(dataset, target, model, **settings):
    return prepare(dataset, run_config(dataset, dataset, target, start_from=str(model), **settings))


# ---- what is taken over


@pytest.mark.parametrize("source", ["run", "file", "published"])
def test_the_same_target_starts_with_the_models_predictions(source, first):
    model = {"run": first, "file": first / "best.safetensors", "published": PUBLISHED}[source]
    dataset = other_energies()
    trainer = before_the_first_step(dataset, ENERGY, model)
    assert trainer.targets.mean != read_any_model(model).targets.mean
    expected = load_model(model).predict(dataset)
    # the last layer is rescaled in float32: 1e-7 of the spread of the values, which is 3 eV
    np.testing.assert_allclose(trainer.predict(ALL)[:, 0], expected, rtol=0, atol=2e-6)


def test_several_targets_on_two_scales(tmp_path):
    targets = ["bulk_modulus:log10", "shear_modulus"]
    run = train(moduli(), tmp_path / "run", targets, epochs=1)
    trainer = before_the_first_step(moduli(100).select(range(60, 100)), targets, run.folder)
    expected = run.predict(moduli(100).select(range(60, 100)))
    np.testing.assert_allclose(trainer.predict(ALL), expected, rtol=1e-5)


def test_the_same_classes_start_with_the_models_probabilities():
    dataset = energies(40).with_property("is_metal", np.arange(40) % 2)
    trainer = before_the_first_step(dataset, "is_metal", METALS, task="classification")
    expected = load_model(METALS).predict(dataset)
    np.testing.assert_allclose(trainer.predict(ALL)[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("target", "task"),
    [(MODULUS, "regression"), (f"{ENERGY}:log10", "regression"), ("stiff", "classification")],
)
@pytest.mark.parametrize("source", ["run", "published"])
def test_another_target_keeps_all_but_the_last_layer(source, target, task, first):
    model = first if source == "run" else PUBLISHED
    dataset = moduli(40)
    dataset = dataset.with_property("stiff", dataset.values("bulk_modulus") > 100)
    dataset = dataset.with_property(ENERGY, np.linspace(1, 2, 40))
    theirs = read_any_model(model).network.state_dict()
    trainer = before_the_first_step(dataset, target, model, task=task)
    assert trainer.network.config.task == task
    ours = trainer.network.state_dict()
    assert ours["output.bias"].shape == ((2,) if task == "classification" else (1,))
    for name in ours.keys() - {"output.weight", "output.bias"}:
        assert torch.equal(ours[name], theirs[name]), name
    if task == "regression":
        assert not torch.equal(ours["output.weight"], theirs["output.weight"])
    other = before_the_first_step(dataset, target, model, task=task, seed=1).network.state_dict()
    assert not torch.equal(ours["output.weight"], other["output.weight"])


@pytest.fixture(scope="module")
def absolute(tmp_path_factory):
    """The published model of formation energies under the name of that of absolute energies."""
    contents = torch.load(PUBLISHED, weights_only=True)
    contents["args"]["data_options"] = ["final_energy_per_atom"]
    path = tmp_path_factory.mktemp("published") / "final-energy-per-atom.pth.tar"
    torch.save(contents, path)
    return path


@pytest.mark.parametrize(
    ("target", "unit", "taken_over", "warned"),
    [
        ("uncorrected_energy_per_atom", "eV/atom", True, None),
        ("energy_per_atom", "eV/atom", False, None),
        ("uncorrected_energy_per_atom", "meV/atom", False, "is in meV/atom here and in eV/atom in the model"),
        ("uncorrected_energy_per_atom", None, False, "is without a unit here and in eV/atom in the model"),
        ("uncorrected_energy_per_atom:log10", "eV/atom", False, "in eV/atom, learned as log10 here"),
    ],
)
def test_the_last_layer_stays_for_the_same_name_in_the_same_unit(target, unit, taken_over, warned, absolute):
    """Corrected energies start anew from the published model of uncorrected ones, up to 0.5 eV/atom away."""
    dataset = energies(40).with_property(target.split(":")[0], np.linspace(1, 2, 40), unit)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        trainer = before_the_first_step(dataset, target, absolute)
    expected = load_model(absolute).predict(dataset)
    assert np.allclose(trainer.predict(ALL)[:, 0], expected, rtol=0, atol=2e-6) == taken_over
    messages = [str(warning.message) for warning in said if "last layer" in str(warning.message)]
    assert len(messages) == (warned is not None)
    assert all("the last layer is initialised anew" in message and warned in message for message in messages)


def test_graphs_are_those_of_the_model(tmp_path):
    run = train(energies(40), tmp_path / "run", epochs=1, n_neighbors=8, ties="first")
    assert before_the_first_step(energies(40), ENERGY, run.folder).graphs.weights.max() <= 8
    config = run_config(energies(40), energies(40), ENERGY, start_from=str(run.folder))
    assert (config.graph.n_neighbors, config.graph.ties) == (8, "first")


def test_a_published_regression_is_trained_on_to_classes(tmp_path):
    dataset = energies(40)
    labelled = dataset.with_property("stable", dataset.values(ENERGY) < -1)
    settings = {"start_from": PUBLISHED, "task": "classification", "epochs": 2, "batch_size": 16}
    run = train_without_shape(labelled, tmp_path / "run", "stable", **settings)
    assert 0 <= run.predict(labelled).min() <= run.predict(labelled).max() <= 1
    assert run.model.network.config.n_outputs == 2


def train_without_shape(data, out, target=ENERGY, **settings):
    """Train with the shape that comes from the model to start from."""
    from crystallite import train

    return train(data, target, out=out, progress=False, **settings)


# ---- parts that stay


def parameters(folder, name="best"):
    """Weights of a run without running statistics, by name."""
    tensors, _ = read_arrays(folder / f"{name}.safetensors")
    return {
        key.removeprefix("network."): tensor
        for key, tensor in tensors.items()
        if not key.startswith(("average.", "optimizer.", "seen.", "reliability."))
        and not key.endswith(("_mean", "_var", "_tracked"))
    }


@pytest.mark.parametrize(
    "frozen",
    [
        ("embedding",),
        ("convolutions.1",),
        ("embedding", "convolutions"),
        ("embedding", "convolutions", "hidden"),
    ],
)
def test_frozen_parts_keep_every_bit_and_the_others_are_trained(frozen, first, tmp_path):
    run = train_without_shape(
        other_energies(), tmp_path / "run", start_from=first, frozen=frozen, epochs=2, batch_size=16
    )
    before = parameters(first)
    stay = {name for name in before if name.startswith(tuple(f"{part}." for part in frozen))}
    stay.add("element_features")
    for after in (parameters(run.folder), parameters(run.folder, "last")):
        assert after.keys() == before.keys()
        assert {name for name in after if np.array_equal(after[name], before[name])} == stay
    if "convolutions" in frozen:
        assert "convolutions.0.message_norm.weight" in stay
        norm = "convolutions.0.node_norm.running_mean"
        ours, theirs = (read_model(f / "best.safetensors").network.state_dict() for f in (run.folder, first))
        assert not torch.equal(ours[norm], theirs[norm])


def test_interrupted_and_resumed_it_ends_in_the_same_bits(first, tmp_path, monkeypatch):
    settings = {"start_from": first, "frozen": ("embedding",), "epochs": 2, "batch_size": 16}
    reference = train_without_shape(other_energies(), tmp_path / "reference", **settings).folder
    with monkeypatch.context() as patch:
        after_step(patch, 3, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(TrainingInterruptedError):
            train_without_shape(other_energies(), tmp_path / "run", **settings)
    resume(tmp_path / "run", data=other_energies(), progress=False)
    assert_same_run(tmp_path / "run", reference)


def test_members_of_an_ensemble_start_from_one_model(first, tmp_path):
    shape = {"atom_width": 16, "hidden_width": 16, "n_convolutions": 2}
    settings = {**shape, "batch_size": 8, "start_from": first, "frozen": ("embedding",)}
    train_group(other_energies(), {"members": 2}, tmp_path / "run", ENERGY, **settings)
    weights = [parameters(tmp_path / "run" / name) for name in ("member-1", "member-2")]
    assert np.array_equal(weights[0]["embedding.weight"], parameters(first)["embedding.weight"])
    assert np.array_equal(weights[0]["embedding.weight"], weights[1]["embedding.weight"])
    assert not np.array_equal(weights[0]["output.weight"], weights[1]["output.weight"])
    with pytest.raises(CrystalliteError, match="several runs; choose one"):
        before_the_first_step(other_energies(), ENERGY, tmp_path / "run")


# ---- mistakes, and the command


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"frozen": ("embeding",)},
            "no part 'embeding'; parts: convolutions.0.edge_update, .*embedding, hidden.0",
        ),
        ({"frozen": ("convolutions.3",)}, r"no part 'convolutions\.3'"),
        ({"frozen": ("conv",)}, "no part 'conv'"),
        (
            {"frozen": (*ORDERS, "embedding", "edge_embedding", "convolutions", "hidden", "output")},
            "nothing is left to train",
        ),
        ({"atom_width": 8}, "start from has atom_width = 16, not 8; leave these settings out"),
        (
            {"convolution": "plain", "n_hidden": 2},
            "n_hidden = 1, not 2, convolution = edge-updating, not plain",
        ),
        ({"start_from": "nowhere"}, "nowhere: no such model"),
    ],
)
def test_mistakes_leave_no_folder(settings, message, first, tmp_path):
    with pytest.raises(CrystalliteError, match=message):
        train_without_shape(energies(40), tmp_path / "run", **{"start_from": first, **settings})
    assert not (tmp_path / "run").exists()


def test_the_command(first, tmp_path, capsys, monkeypatch):
    other_energies().write(tmp_path / "data.parquet")
    monkeypatch.chdir(first.parent)
    words = ["train", tmp_path / "data.parquet", "--from", "run", "--freeze", "embedding", "--freeze"]
    words += ["convolutions.0", "--epochs", 1, "--out", tmp_path / "tuned"]
    said = Said(capsys, *words)
    assert (said.status, said.err) == (0, "")
    config = RunConfig.read(tmp_path / "tuned")
    assert config.training.frozen == ("embedding", "convolutions.0")
    assert config.training.start_from == str(first)
    assert (config.model.atom_width, config.model.n_convolutions) == (16, 2)
    monkeypatch.chdir(tmp_path)
    assert Said(capsys, "verify", "tuned").status == 0
    said = Said(capsys, *words[:-1], tmp_path / "again", "--set", "atom_width=8")
    assert (said.status, said.out) == (1, "")
