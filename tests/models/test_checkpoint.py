"""Models on disk come back as they were; anything else is refused and executes nothing."""

from __future__ import annotations

import json
import pickle
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_files import GOLDEN
from networks import random_network, settled
from safetensors import safe_open
from safetensors.numpy import save_file

from crystallite.errors import CrystalliteError
from crystallite.graphs.packed import PackedGraphs, build_graphs
from crystallite.models.checkpoint import (
    TrainedModel,
    read_arrays,
    read_model,
    same_arrays,
    save_model,
    write_arrays,
)
from crystallite.models.inference import predict_graphs
from crystallite.models.published import load_published
from crystallite.network.targets import Targets
from crystallite.settings.config import GraphConfig, ModelConfig

GRAPH = GraphConfig(n_neighbors=10, ties="first")
TARGETS = Targets(("bulk", "shear"), ("GPa", "GPa"), "regression", (100.0, 50.0), (70.0, 40.0))


@pytest.fixture(scope="module")
def graphs(elastic) -> PackedGraphs:
    return build_graphs(list(elastic.select(range(40))), GRAPH)


@pytest.fixture
def model(graphs) -> TrainedModel:
    network = settled(random_network(ModelConfig(atom_width=16, n_outputs=2, n_hidden=2)), graphs)
    return TrainedModel.of(network, GRAPH, TARGETS, {"epochs": 3})


@pytest.fixture
def file(model, tmp_path) -> Path:
    save_model(tmp_path / "model.safetensors", model)
    return tmp_path / "model.safetensors"


def test_round_trip(model, file, graphs) -> None:
    loaded = read_model(file)
    assert same_arrays(loaded.weights, model.weights)
    assert (loaded.graph, loaded.targets, loaded.info) == (model.graph, model.targets, model.info)
    assert loaded.config == model.network.config
    assert not loaded.network.training
    np.testing.assert_array_equal(predict_graphs(loaded, graphs), predict_graphs(model, graphs))


def test_round_trip_of_a_classifier(tmp_path, graphs) -> None:
    network = settled(random_network(ModelConfig(n_outputs=2, task="classification")), graphs)
    targets = Targets(("is_metal",), ("",), "classification", (0.0,), (1.0,))
    model = TrainedModel.of(network, GRAPH, targets)
    save_model(tmp_path / "m.safetensors", model)
    odds = predict_graphs(read_model(tmp_path / "m.safetensors"), graphs)
    np.testing.assert_array_equal(odds, predict_graphs(model, graphs))
    assert odds.shape == (40, 1)
    assert ((odds > 0) & (odds < 1)).all()


def test_header_says_everything(file) -> None:
    with safe_open(file, framework="np") as opened:
        header = json.loads(opened.metadata()["crystallite"])
        assert opened.get_tensor("element_features").shape == (101, 92)
    assert header["format"] == 4
    assert header["graph"] == GRAPH.to_dict()
    assert header["model"]["atom_width"] == 16
    assert header["targets"]["names"] == ["bulk", "shear"]
    assert header["targets"]["units"] == ["GPa", "GPa"]
    assert header["targets"]["mean"] == [100.0, 50.0]
    assert header["info"] == {"epochs": 3}


def test_every_truncation_is_refused(file) -> None:
    contents = file.read_bytes()
    for length in (0, 1, 7, 8, 100, len(contents) // 2, len(contents) - 1):
        file.write_bytes(contents[:length])
        with pytest.raises(CrystalliteError, match=re.escape(str(file))):
            read_model(file)


@pytest.mark.parametrize("contents", [b"garbage" * 100, b"\x80\x02}q\x00.", b"PK\x03\x04", b"\xff" * 64])
def test_garbage_is_refused(contents: bytes, tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(contents)
    with pytest.raises(CrystalliteError, match="damaged or not a safetensors file"):
        read_model(path)


def test_missing_file_and_folder(tmp_path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(CrystalliteError, match=r"cannot read .*: (No such file|a folder)"):
            read_model(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "has no header"),
        ({"format": "pt"}, "has no header"),
        ({"crystallite": "not JSON"}, "damaged"),
        ({"crystallite": "[]"}, "not a Crystallite model"),
        ({"crystallite": '{"format": 99}'}, "newer version"),
        ({"crystallite": '{"format": 1}'}, "not a Crystallite model"),
        ({"crystallite": '{"format": 1, "model": {"colour": 3}}'}, "no setting colour"),
        (
            {"crystallite": '{"format": 1, "model": {}, "graph": {}, "targets": {}}'},
            "not a Crystallite model",
        ),
    ],
)
def test_foreign_safetensors_are_refused(metadata, message: str, tmp_path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": np.zeros(3)}, path, metadata)
    with pytest.raises(CrystalliteError, match=message):
        read_model(path)


def flipped(path: Path, content: bytes, place: int, bit: int) -> None:
    damaged = bytearray(content)
    damaged[place] ^= 1 << bit
    path.write_bytes(damaged)


def test_every_flipped_bit_is_seen(file) -> None:
    content, rng = file.read_bytes(), np.random.default_rng(0)
    begin = int.from_bytes(content[:8], "little") + 8
    for place in [*rng.integers(begin, size=150), *rng.integers(begin, len(content), size=50)]:
        flipped(file, content, int(place), int(rng.integers(8)))
        with pytest.raises(CrystalliteError, match=re.escape(str(file))) as caught:
            read_model(file)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["output.bias", "convolutions.0.message_norm.running_var"])
def test_weights_that_are_not_finite_are_refused(value, name, model, tmp_path) -> None:
    model.network.state_dict()[name][0] = value
    save_model(tmp_path / "m.safetensors", model)
    with pytest.raises(CrystalliteError, match=rf"its weights are not finite \({name}\)"):
        read_model(tmp_path / "m.safetensors")
    contents = torch.load(GOLDEN / "formation-energy-per-atom.pth.tar", weights_only=True)
    contents["state_dict"]["convs.0.bn1.running_var"][0] = value
    torch.save(contents, tmp_path / "m.pth.tar")
    with pytest.raises(CrystalliteError, match="its weights are not finite"):
        load_published(tmp_path / "m.pth.tar")


def test_a_scale_that_is_not_finite_is_refused(tmp_path) -> None:
    for name, value in (("mean", float("nan")), ("std", float("inf")), ("std", 0.0), ("std", -1.0)):
        contents = torch.load(GOLDEN / "formation-energy-per-atom.pth.tar", weights_only=True)
        contents["normalizer"][name] = torch.tensor(value)
        torch.save(contents, tmp_path / "m.pth.tar")
        with pytest.raises(CrystalliteError, match=f"published code: {name} must be"):
            load_published(tmp_path / "m.pth.tar")


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("targets", "mean", "x", "mean must be a list"),
        ("targets", "mean", [1.0], "must each have a unit, mean, std and transform"),
        ("targets", "mean", None, "mean must be a list"),
        ("targets", "mean", [1e301, 0.0], "mean must be at least"),
        ("targets", "std", [0.0, 1.0], "std must be positive"),
        ("targets", "std", [None, 1.0], "each of std must be a number"),
        ("targets", "std", [True, 1.0], "each of std must be a number"),
        ("targets", "names", ["a", "a"], "different names"),
        ("targets", "names", [1, 2], "each of names must be text"),
        ("targets", "transforms", ["log2", "standard"], "transforms must be some of"),
        ("targets", "task", "guess", "task must be one of"),
        ("targets", "task", "classification", "not have the outputs of its targets|one target"),
        ("model", "gaussian_step", 1e-300, "gaussian_step must be"),
        ("model", "atom_width", 10**400, "atom_width must be"),
        ("model", "gaussian_stop", 10**400, "gaussian_stop must be a finite number"),
        ("model", "atom_width", 16.5, "atom_width must be a whole number"),
        ("model", "n_outputs", 1, "."),
        ("graph", "cutoff", "far", "cutoff must be a number"),
        ("graph", "ties", "none", "ties must be one of shared, first"),
        ("", "graph", [], "GraphConfig must be a table"),
        ("", "model", 3, "ModelConfig must be a table"),
        ("", "targets", None, "Targets must be a table"),
        ("", "info", 3, "."),
        ("", "format", "2", "."),
    ],
)
def test_odd_headers_are_refused(part, name, value, message, file) -> None:
    tensors, header = read_arrays(file)
    (header[part] if part else header)[name] = value
    write_arrays(file, tensors, header)
    with pytest.raises(CrystalliteError, match=f"is not a Crystallite model: .*({message})") as caught:
        read_model(file)
    assert len(str(caught.value).splitlines()) == 1


def test_a_deep_header_is_refused(file) -> None:
    save_file({"w": np.zeros(3)}, file, {"crystallite": "[" * 100_000})
    with pytest.raises(CrystalliteError, match="damaged"):
        read_model(file)


def test_files_without_a_checksum_are_read(model, file) -> None:
    tensors, header = read_arrays(file)
    save_file(tensors, file, {"crystallite": json.dumps(header)})
    assert same_arrays(read_model(file).weights, model.weights)


def test_a_failed_save_leaves_the_old_file(model, file) -> None:
    before = file.read_bytes()
    broken = TrainedModel.of(model.network, GRAPH, TARGETS, {"not JSON": object()})
    with pytest.raises(TypeError):
        save_model(file, broken)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


# ---- the published format


class Malicious:
    """Creates a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["whole", "args", "state_dict"])
def test_malicious_pickle_executes_nothing(place: str, zipped: bool, tmp_path) -> None:
    contents: object = torch.load(GOLDEN / "formation-energy-per-atom.pth.tar", weights_only=True)
    victim, path = tmp_path / "executed", tmp_path / "model.pth.tar"
    if place == "whole":
        contents = Malicious(victim)
    else:
        contents[place]["extra"] = Malicious(victim)
    torch.save(contents, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CrystalliteError, match="more than numbers"):
        load_published(path)
    assert not victim.exists()
    torch.load(path, weights_only=False)
    assert victim.exists()  # the trap was armed


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_plain_pickle_executes_nothing(tmp_path) -> None:
    victim, path = tmp_path / "executed", tmp_path / "model.pth.tar"
    path.write_bytes(pickle.dumps({"state_dict": Malicious(victim)}))
    with pytest.raises(CrystalliteError):
        load_published(path)
    assert not victim.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_published_checkpoints(zipped: bool, tmp_path) -> None:
    path = tmp_path / "model.pth.tar"
    checkpoint = torch.load(GOLDEN / "formation-energy-per-atom.pth.tar", weights_only=True)
    torch.save(checkpoint, path, _use_new_zipfile_serialization=zipped)
    assert load_published(path).targets.names == ("formation_energy_per_atom",)
    contents = path.read_bytes()
    rng = np.random.default_rng(0)
    for length in (0, 1, 2, 100, *rng.integers(0, len(contents), 30)):
        path.write_bytes(contents[:length])
        with pytest.raises(CrystalliteError):
            load_published(path)
    for _ in range(100):  # a flipped byte may pass unseen, but never ends in another kind of error
        damaged = bytearray(contents)
        damaged[rng.integers(10_000)] = rng.integers(256)
        path.write_bytes(damaged)
        with suppress(CrystalliteError):
            load_published(path)


@pytest.mark.parametrize("contents", [b"", b"hello", b"PK\x03\x04garbage", b"\x80\x02", b"I5\n."])
def test_published_garbage(contents: bytes, tmp_path) -> None:
    path = tmp_path / "model.pth.tar"
    path.write_bytes(contents)
    with pytest.raises(CrystalliteError, match=re.escape(str(path))):
        load_published(path)


@pytest.mark.parametrize(
    "contents",
    [
        3,
        {},
        {"state_dict": {}},
        {"state_dict": [], "args": {}, "normalizer": {}},
        {"state_dict": 1, "args": 2},
    ],
)
def test_other_contents_are_not_a_published_checkpoint(contents: object, tmp_path) -> None:
    torch.save(contents, tmp_path / "model.pth.tar")
    with pytest.raises(CrystalliteError, match="not a checkpoint of the published code"):
        load_published(tmp_path / "model.pth.tar")


def test_wrong_shapes_are_not_a_published_checkpoint(tmp_path) -> None:
    for name, value in (("embedding.weight", torch.tensor(1.0)), ("convs.2.bn1.bias", torch.zeros(3))):
        contents = torch.load(GOLDEN / "formation-energy-per-atom.pth.tar", weights_only=True)
        contents["state_dict"][name] = value
        torch.save(contents, tmp_path / "model.pth.tar")
        with pytest.raises(CrystalliteError, match="not a checkpoint of the published code"):
            load_published(tmp_path / "model.pth.tar")
