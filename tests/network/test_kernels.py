"""The compiled float32 loops against plain tensor operations in double precision.

Tolerances are multiples of float32's rounding, 6e-8 of a number; the largest differences seen are noted.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from golden_files import GOLDEN
from networks import furthest, outputs, predictions, random_network, training_step
from numba import njit

from crystallite.computing import buffers
from crystallite.computing.threads import own_threads
from crystallite.graphs.packed import PackedGraphs, build_graphs, gather_batch
from crystallite.models.inference import network_outputs
from crystallite.network import kernels
from crystallite.network.batches import batch_inputs
from crystallite.network.kernels import WINDOW, _exp_negative, _log1p_unit, _sigmoid, _softplus
from crystallite.settings.config import GraphConfig, ModelConfig

TINY = np.finfo(np.float32).tiny  # the smallest number that is not denormal
STEP, N_CENTERS = np.float32(0.2), 41


@pytest.fixture(scope="module")
def graphs(formation) -> PackedGraphs:
    return build_graphs(list(formation.select(range(0, 3938, 40))), GraphConfig())


@contextmanager
def double_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# ---- elementary functions


@njit
def values_of(x):
    """exp(-|x|), log(1 + exp(-|x|)), sigmoid(x) and softplus(x) of an array."""
    result = np.empty((4, len(x)), np.float32)
    for i in range(len(x)):
        result[0, i] = _exp_negative(-abs(x[i]))
        result[1, i] = _log1p_unit(np.float32(1) / (np.float32(1) + abs(x[i])))
        result[2, i] = _sigmoid(x[i])
        result[3, i] = _softplus(x[i])
    return result


def relative_error(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.max(np.abs(found - exact) / exact))


def test_elementary_functions() -> None:
    """Within 5 roundings everywhere; the argument of exp, up to 87, costs none as it is reduced exactly."""
    sizes = np.concatenate([np.linspace(0, 87, 200_001), np.geomspace(1e-30, 87, 100_000)])
    x = np.concatenate([sizes, -sizes]).astype(np.float32)
    exponential, logarithm, sigmoid, softplus = values_of(x)
    exact = x.astype(np.float64)
    assert relative_error(exponential, np.exp(-np.abs(exact))) < 3e-7
    assert relative_error(logarithm, np.log1p(1 / (1 + np.abs(exact)))) < 3e-7
    assert relative_error(sigmoid, 1 / (1 + np.exp(-exact))) < 4e-7
    assert relative_error(softplus, np.logaddexp(exact, 0)) < 4e-7


def test_elementary_functions_far_out() -> None:
    """Beyond ±87, where exp is denormal or zero, the results are finite, right to 1e-37 and not denormal."""
    x = np.array([-1e30, -1e4, -104, -88, 88, 104, 1e4, 1e30], np.float32)
    exponential, _, sigmoid, softplus = values_of(x)
    assert ((exponential >= TINY) & (exponential < 2e-38)).all()
    assert (sigmoid[:4] < 2e-38).all()
    assert (sigmoid[4:] == 1).all()
    assert (softplus[:4] < 2e-38).all()
    np.testing.assert_array_equal(softplus[4:], x[4:])


# ---- Gaussians


def test_gaussians() -> None:
    """The window holds every Gaussian above 1e-17, the rest is exactly zero and nothing is denormal."""
    distances = np.concatenate(
        [np.linspace(0, 20, 50_001), np.arange(0, 12, 0.2), np.arange(0, 12, 0.2) + 1.25]
    ).astype(np.float32)
    first = np.empty(len(distances), np.int32)
    values = np.empty((len(distances), WINDOW), np.float32)
    kernels.gaussians(0, len(distances), distances, STEP, N_CENTERS, first, values)
    assert first.min() >= 0
    assert first.max() <= N_CENTERS - WINDOW
    assert ((values == 0) | (values > 1e-17)).all()
    dense = np.zeros((len(distances), N_CENTERS))
    np.put_along_axis(dense, first[:, None] + np.arange(WINDOW), values, axis=1)
    exact = np.exp(-(((distances[:, None].astype(np.float64) - 0.2 * np.arange(N_CENTERS)) / 0.2) ** 2))
    # A length in steps, up to 46, is rounded to 4e-6; the logarithm's slope is at most 12.5 a step.
    kept = exact > 1.2e-17
    np.testing.assert_allclose(dense[kept], exact[kept], rtol=1e-4)
    assert (dense[exact < 1e-17 / 2] == 0).all()
    assert (dense[distances > 8 + 1.26] == 0).all()


def test_plain_gaussians_have_no_denormals_either() -> None:
    network = random_network().double()
    for precision in (torch.float32, torch.float64):
        expanded = network.to(precision)._expanded(torch.linspace(0, 20, 20_001, dtype=precision))
        assert ((expanded == 0) | (expanded > 1e-17)).all()


# ---- the whole convolution


CONFIGS = {
    "gated": ModelConfig(convolution="gated"),
    "gated, odd widths": ModelConfig(
        convolution="gated", atom_width=19, n_convolutions=2, n_outputs=3, gaussian_stop=4.0
    ),
    "gated, one channel, 13 Gaussians": ModelConfig(
        convolution="gated", atom_width=1, n_convolutions=1, gaussian_stop=2.4
    ),
    "edge-updating": ModelConfig(convolution="edge-updating", n_convolutions=4),
    "edge-updating, odd widths": ModelConfig(
        convolution="edge-updating", atom_width=19, edge_width=7, n_outputs=3, gaussian_stop=4.0
    ),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_fused_training_step_equals_plain_double_precision(graphs, config) -> None:
    """Outputs, loss, gradients of all parameters and running statistics. Seen: 2e-6, 2e-7, 7e-6, 3e-7."""
    truth = torch.randn(graphs.n_crystals, config.n_outputs, dtype=torch.float64)
    assert batch_inputs(random_network(config), graphs, np.arange(3)).bonds is not None
    fused = training_step(random_network(config), graphs, truth)
    plain = training_step(random_network(config).double(), graphs, truth)
    torch.testing.assert_close(fused.outputs, plain.outputs, rtol=0, atol=2e-5)
    assert fused.loss == pytest.approx(plain.loss, rel=2e-6)
    assert furthest(fused.gradients, plain.gradients) < 1e-4
    assert furthest(fused.statistics, plain.statistics) < 5e-6


def test_few_gaussians_take_the_plain_path(graphs) -> None:
    """The window of the fused path needs 13 Gaussians."""
    config = ModelConfig(gaussian_stop=1.8)
    network = random_network(config)
    assert batch_inputs(network, graphs, np.arange(3)).bonds is None
    found = predictions(network, graphs)
    np.testing.assert_allclose(found, predictions(network.double(), graphs), atol=2e-5)


@pytest.mark.parametrize("convolution", ["gated", "edge-updating"])
def test_gradients_are_not_differentiated_or_computed_again(graphs, convolution) -> None:
    """The gradients are written by hand, once, and their arrays used again: never silently wrong numbers."""
    network = random_network(ModelConfig(convolution=convolution)).train()
    weights = list(network.convolutions.parameters())
    found = outputs(network, graphs).sum()
    gradients = torch.autograd.grad(found, weights, create_graph=True, allow_unused=True)
    penalty = sum(gradient.square().sum() for gradient in gradients if gradient is not None)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        penalty.backward()
    found = outputs(network, graphs).sum()
    found.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="computed once"):
        found.backward()


@pytest.mark.parametrize("convolution", ["gated", "edge-updating"])
@pytest.mark.parametrize(
    "frozen",
    ["linear", "norm", "hidden", "embedding", "embedding|convolutions.[01]", "embedding|convolutions"],
)
def test_frozen_weights_change_no_other_gradient(graphs, frozen, convolution) -> None:
    network = random_network(ModelConfig(convolution=convolution))
    target = torch.zeros(len(graphs.node_offsets) - 1, 1)
    whole = training_step(network, graphs, target).gradients
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not re.search(frozen, name))
    network.zero_grad()
    outputs(network, graphs).abs().mean().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == bool(re.search(frozen, name))
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad.double(), whole[name], rtol=0, atol=0)


@pytest.mark.parametrize("convolution", ["gated", "edge-updating"])
def test_no_part_of_a_batch(graphs, convolution) -> None:
    """What a process computes for a batch of fewer crystals than there are processes: nothing, not NaN."""
    network = random_network(ModelConfig(convolution=convolution)).train()
    inputs = batch_inputs(network, graphs, np.empty(0, np.int64))._replace(n_atoms=4.0, n_bonds=48.0)
    found = network(inputs)
    assert found.shape == (0, 1)
    found.sum().backward()
    for name, parameter in network.named_parameters():
        assert not parameter.grad.any(), name
    assert all(tensor.isfinite().all() for tensor in network.state_dict().values())


SURROUNDINGS = {
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "double precision": double_by_default,
}


@pytest.mark.parametrize("convolution", ["gated", "edge-updating"])
def test_another_default_device_changes_no_bit_of_a_training_step(graphs, convolution, monkeypatch) -> None:
    networks = [random_network(ModelConfig(convolution=convolution)) for _ in range(2)]
    truth = torch.zeros(graphs.n_crystals, 1)
    expected = training_step(networks[0], graphs, truth)
    monkeypatch.setattr(buffers, "_free", [])
    with torch.device("meta"):
        found = training_step(networks[1], graphs, truth)
    assert torch.equal(found.outputs, expected.outputs)
    for name, gradient in expected.gradients.items():
        assert torch.equal(found.gradients[name], gradient), name


@pytest.mark.parametrize("convolution", ["gated", "edge-updating"])
@pytest.mark.parametrize("surroundings", SURROUNDINGS)
@pytest.mark.usefixtures("two_threads")
def test_surroundings_change_no_bit(graphs, surroundings, convolution) -> None:
    torch.set_num_threads(2)
    network, rows = random_network(ModelConfig(convolution=convolution)), np.arange(graphs.n_crystals)
    expected = network_outputs(network, graphs, rows)
    with SURROUNDINGS[surroundings]():
        np.testing.assert_array_equal(network_outputs(network, graphs, rows), expected)


@pytest.mark.parametrize("width", [1, 64, 256])
@pytest.mark.parametrize("edge_width", [1, 32, 512])
@pytest.mark.parametrize("n_convolutions", [1, 4])
def test_a_network_has_the_weights_of_its_shape(width, edge_width, n_convolutions) -> None:
    """Files with fewer are refused: the count must never be more than there is."""
    config = ModelConfig(
        convolution="edge-updating", atom_width=width, edge_width=edge_width, n_convolutions=n_convolutions
    )
    matrices = sum(p.numel() for p in random_network(config).parameters() if p.ndim > 1)
    assert 0.9 * matrices - 100 * width < config.n_weights <= matrices


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("convolution", ["gated", "edge-updating"])
def test_threads_change_no_bit_of_a_training_step(formation, convolution) -> None:
    """Of enough crystals for three threads in every loop: the shortest take 16 blocks each, of 512 edges."""
    graphs = build_graphs(list(formation.select(range(0, 3938, 5))), GraphConfig())
    batch = gather_batch(graphs, np.arange(graphs.n_crystals))
    assert len(batch.blocks) > 3 * 16
    assert len(batch.distances) >= 3 * 16 * 512
    truth, steps = torch.linspace(-1, 1, graphs.n_crystals).unsqueeze(1), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        with own_threads():
            steps.append(training_step(random_network(ModelConfig(convolution=convolution)), graphs, truth))
    one, two = steps
    assert torch.equal(one.outputs, two.outputs)
    for name, gradient in one.gradients.items():
        assert gradient.any(), name
        assert torch.equal(gradient, two.gradients[name]), name


def test_threads_stay_as_many_as_openmp_is_told() -> None:
    """Our threads must not give PyTorch more of them: products round differently, processes crowd."""
    program = (
        "import torch, crystallite\n"
        "data = crystallite.Dataset.read('elastic').select(range(3))\n"
        f"crystallite.load_model({str(GOLDEN / 'formation-energy-per-atom.pth.tar')!r}).predict(data)\n"
        "print(torch.get_num_threads())"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"
