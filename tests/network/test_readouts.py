"""The linear readout per atom (the article's site energies), and its eq. 4 convolutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from grouped_runs import MODULUS, TINY, TINY_PER_ATOM, Said, moduli, train_group
from networks import random_network
from strategies import SUPERCELLS, in_cell, perovskite, rock_salt, rotated, shifted
from torch.nn.functional import softplus
from training_runs import one_thread  # noqa: F401

import crystallite
from crystallite import load_model
from crystallite.errors import CrystalliteError
from crystallite.graphs.packed import build_graph, pack_graphs
from crystallite.network.batches import batch_inputs
from crystallite.runs.folder import RunConfig
from crystallite.settings.config import GraphConfig, ModelConfig

MODULI = ["bulk_modulus", "shear_modulus"]
# Contributions are float32: a few units in the last place of moduli near 200 GPa.
CLOSE = {"rtol": 1e-5, "atol": 1e-4}


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """A trained model of two targets with the readout per atom."""
    out = tmp_path_factory.mktemp("sites") / "run"
    return crystallite.train(
        moduli(), MODULI, readout="per-atom", out=out, progress=False, **{**TINY_PER_ATOM, "epochs": 3}
    )


def test_contributions_average_to_the_prediction(sites):
    for crystal in moduli(10):
        contributions = sites.site_contributions(crystal)
        assert contributions.shape == (len(crystal), 2)
        np.testing.assert_allclose(contributions.mean(axis=0), sites.predict(crystal)[0], **CLOSE)
    assert np.ptp(contributions, axis=0).min() > 0.01  # GPa: not all the same


@pytest.mark.parametrize(
    ("crystal", "kinds"),
    [(rock_salt(5.6), [range(4), range(4, 8)]), (perovskite(3.9), [[0], [1], [2, 3, 4]])],
    ids=["rock salt", "perovskite"],
)
def test_equivalent_atoms_contribute_the_same(crystal, kinds, sites):
    contributions = sites.site_contributions(crystal)
    for kind in kinds:
        of_kind = contributions[list(kind)]
        np.testing.assert_allclose(of_kind, np.broadcast_to(of_kind[0], of_kind.shape), **CLOSE)
    first = contributions[[kind[0] for kind in kinds]]
    assert np.ptp(first, axis=0).min() > 0.01


def test_contributions_depend_on_the_surroundings_alone(sites):
    rng = np.random.default_rng(0)
    for crystal in [perovskite(3.9), *moduli(3)]:
        alone = sites.site_contributions(crystal)
        large = sites.site_contributions(in_cell(crystal, SUPERCELLS["2x2x2"]))
        np.testing.assert_allclose(large, np.repeat(alone, 8, axis=0), **CLOSE)
        moved = sites.site_contributions(rotated(shifted(crystal, rng), rng))
        np.testing.assert_allclose(moved, alone, **CLOSE)


def test_those_of_an_ensemble_average_to_its_prediction(tmp_path):
    train_group(moduli(), {"members": 2}, tmp_path / "run", readout="per-atom", split="60/20/20")
    ensemble, crystal = load_model(tmp_path / "run"), moduli().crystal(5)
    contributions = ensemble.site_contributions(crystal)
    np.testing.assert_allclose(contributions.mean(), ensemble.predict(crystal)[0], **CLOSE)
    alone = load_model(tmp_path / "run" / "member-1").site_contributions(crystal)
    assert np.abs(alone - contributions).max() > 1e-3


@pytest.mark.parametrize(
    ("target", "settings"),
    [
        (MODULUS, {}),
        ("bulk_modulus:log10", {"readout": "per-atom"}),
        ("stiff", {"readout": "per-atom", "task": "classification"}),
    ],
    ids=["pooled", "log10", "classes"],
)
def test_other_models_have_no_contributions(target, settings, tmp_path):
    dataset = moduli(40)
    dataset = dataset.with_property("stiff", dataset.values("bulk_modulus") > 100)
    tiny = TINY_PER_ATOM if settings.get("readout") == "per-atom" else TINY
    run = crystallite.train(dataset, target, out=tmp_path / "run", progress=False, **tiny, **settings)
    with pytest.raises(CrystalliteError, match="readout = per-atom and without log10"):
        run.site_contributions(dataset.crystal(0))


# ---- eq. 4


def test_the_plain_convolution_is_equation_4():
    """v_i <- softplus(W_c sum_j [v_j, u_ij] + W_s v_i + b), bond by bond on the full graph."""
    network = random_network(ModelConfig(convolution="plain", n_convolutions=1, atom_width=6)).double()
    crystals = [perovskite(3.9), *moduli(3)]
    graphs = pack_graphs([build_graph(crystal, GraphConfig(), reduced=False) for crystal in crystals])
    inputs = batch_inputs(network, graphs, np.arange(len(crystals)))
    (layer,) = network.convolutions
    with torch.no_grad():
        atoms = network.embedding(network.element_features[inputs.numbers])
        sums = torch.zeros(len(atoms), 6 + 41, dtype=torch.float64)
        for source, other, distance, weight in zip(
            inputs.sources, inputs.neighbors, inputs.distances, inputs.weights, strict=True
        ):
            expanded = torch.exp(-(((distance - network.centers) / 0.2) ** 2))
            sums[source] += weight * torch.cat([atoms[other], expanded])
        expected = softplus(layer.of_neighbors(sums) + layer.of_self(atoms))
        torch.testing.assert_close(network.atoms(inputs), expected, rtol=1e-10, atol=1e-12)


def test_the_command_trains_both(tmp_path, capsys):
    moduli(40).write(tmp_path / "data.parquet")
    words = [
        "train",
        tmp_path / "data.parquet",
        "--target",
        MODULUS,
        *(f"--set={name}={value}" for name, value in TINY_PER_ATOM.items()),
        "--out",
        tmp_path / "run",
    ]
    said = Said(capsys, *words, "--readout", "per-atom", "--convolution", "plain")
    assert (said.status, said.err) == (0, "")
    config = RunConfig.read(tmp_path / "run").model
    assert (config.readout, config.convolution) == ("per-atom", "plain")
    assert Said(capsys, "predict", tmp_path / "run", tmp_path / "data.parquet").status == 0
    assert len(load_model(tmp_path / "run").site_contributions(moduli().crystal(0))) > 0
