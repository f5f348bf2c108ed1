"""Graphs are built once, read from disk afterwards, and never trusted when damaged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from graph_arrays import assert_same
from strategies import made, rock_salt

from crystallite.crystals.crystal import pack_crystals
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError
from crystallite.files import array_folder
from crystallite.files.caching import cache_folder
from crystallite.graphs import store as graph_store
from crystallite.graphs.packed import PackedGraphs, build_graphs, graph_parts
from crystallite.graphs.store import dataset_graphs, store_key
from crystallite.settings.config import GraphConfig

CONFIG = GraphConfig()


@pytest.fixture(scope="module")
def dataset(elastic) -> Dataset:
    return elastic.select(range(150))


@pytest.fixture(scope="module")
def expected(dataset) -> PackedGraphs:
    return build_graphs(dataset.arrays, CONFIG)


@pytest.fixture
def builds(monkeypatch) -> list[int]:
    """One entry for each time graphs are built."""
    calls: list[int] = []

    def counted(*arguments, **options):
        calls.append(1)
        return graph_parts(*arguments, **options)

    monkeypatch.setattr(graph_store, "graph_parts", counted)
    return calls


def store_of(folder: Path) -> Path:
    (store,) = (path for path in (folder / "graphs").iterdir() if path.is_dir())
    return store


def is_mapped(array: np.ndarray) -> bool:
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


@pytest.mark.parametrize("limit", [0, 1 << 30], ids=["mapped", "in memory"])
def test_second_call_reads_the_files(limit, dataset, expected, builds, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(array_folder, "IN_MEMORY", limit)
    assert_same(dataset_graphs(dataset, CONFIG, folder=tmp_path), expected)
    again = dataset_graphs(dataset, CONFIG, folder=tmp_path)
    assert_same(again, expected)
    assert len(builds) == 1
    assert all(is_mapped(getattr(again, name)) == (limit == 0) for name in graph_store.STORED)
    assert not again.distances.flags.writeable


def test_files_that_are_cut_while_they_are_used(dataset, expected, tmp_path) -> None:
    """Of mapped files the process would die (SIGBUS)."""
    graphs = dataset_graphs(dataset, CONFIG, folder=tmp_path)
    for path in store_of(tmp_path).glob("*.npy"):
        assert path.stat().st_mode & 0o222 == 0
        os.truncate(path, 0)
    assert_same(graphs, expected)
    assert_same(dataset_graphs(dataset, CONFIG, folder=tmp_path), expected)


def test_default_folder(dataset, builds) -> None:
    dataset_graphs(dataset.select(range(3)), CONFIG)
    dataset_graphs(dataset.select(range(3)), CONFIG)
    assert len(builds) == 1
    assert (cache_folder() / "graphs").is_dir()


def flip_a_byte(store: Path) -> None:
    path = store / "distances.npy"
    contents = bytearray(path.read_bytes())
    contents[-3] ^= 1
    path.write_bytes(contents)


def flip_the_byte_order(store: Path) -> None:
    """One bit of the header turns '<f4' into '>f4': same bytes, other numbers."""
    path = store / "weights.npy"
    path.write_bytes(path.read_bytes().replace(b"'<f4'", b"'>f4'"))


def truncate(store: Path) -> None:
    path = store / "neighbors.npy"
    path.write_bytes(path.read_bytes()[:-100])


def empty(store: Path) -> None:
    (store / "numbers.npy").write_bytes(b"")


def break_the_header(store: Path) -> None:
    path = store / "edge_offsets.npy"
    path.write_bytes(path.read_bytes().replace(b"(", b"[", 1))


def delete(store: Path) -> None:
    (store / "multiplicities.npy").unlink()


def garbage_manifest(store: Path) -> None:
    (store / "manifest.json").write_bytes(b"\xff\x00 not JSON")


def list_manifest(store: Path) -> None:
    (store / "manifest.json").write_text("[1, 2]")


def short_manifest(store: Path) -> None:
    (store / "manifest.json").write_text("{}")


DAMAGES: list[Callable[[Path], None]] = [
    flip_a_byte,
    flip_the_byte_order,
    truncate,
    empty,
    break_the_header,
    delete,
    garbage_manifest,
    list_manifest,
    short_manifest,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_store_is_built_anew(damage, dataset, expected, builds, tmp_path) -> None:
    dataset_graphs(dataset, CONFIG, folder=tmp_path)
    damage(store_of(tmp_path))
    assert_same(dataset_graphs(dataset, CONFIG, folder=tmp_path), expected)
    assert len(builds) == 2
    assert_same(dataset_graphs(dataset, CONFIG, folder=tmp_path), expected)
    assert len(builds) == 2  # the new one is whole


ASK = """
import sys, time
from pathlib import Path
from crystallite.graphs import store as graph_store
from crystallite.settings.config import GraphConfig
from crystallite.datasets.dataset import Dataset
from crystallite.graphs.packed import graph_parts

folder = Path(sys.argv[1])

def slow(*arguments, **options):
    with (folder / "builds").open("a") as file:
        file.write("built\\n")
    time.sleep(1)
    return graph_parts(*arguments, **options)

graph_store.graph_parts = slow
dataset = Dataset.read("elastic").select(range(150))
(folder / f"ready-{sys.argv[2]}").touch()
while len(list(folder.glob("ready-*"))) < 2:
    time.sleep(0.01)
graphs = graph_store.dataset_graphs(dataset, GraphConfig(), folder=folder)
print(float(graphs.distances.sum(dtype="f8")), len(graphs.weights))
"""


def test_two_processes_build_once(expected, tmp_path) -> None:
    command = [sys.executable, "-c", ASK, str(tmp_path)]
    processes = [subprocess.Popen([*command, str(k)], stdout=subprocess.PIPE, text=True) for k in range(2)]
    answers = [process.communicate(timeout=60)[0] for process in processes]
    assert answers == 2 * [f"{expected.distances.sum(dtype='f8')} {len(expected.weights)}\n"]
    assert (tmp_path / "builds").read_text() == "built\n"


def test_settings_and_crystals_have_stores_of_their_own(dataset, tmp_path) -> None:
    keys = {
        store_key(dataset.fingerprint, CONFIG),
        store_key(dataset.fingerprint, GraphConfig(ties="first")),
        store_key(dataset.fingerprint, GraphConfig(n_neighbors=11)),
        store_key(dataset.fingerprint, GraphConfig(ties="first", cutoff=7)),
        store_key(dataset.fingerprint, GraphConfig(tolerance=1e-2)),
        store_key(dataset.select(range(149)).fingerprint, CONFIG),
    }
    assert len(keys) == 6
    shared = dataset_graphs(dataset, CONFIG, folder=tmp_path)
    first = dataset_graphs(dataset, GraphConfig(ties="first"), folder=tmp_path)
    assert not np.array_equal(shared.weights, first.weights)
    assert store_key(dataset.select(range(150)).fingerprint, GraphConfig()) in keys


def test_what_has_no_effect_has_no_store_of_its_own(dataset) -> None:
    assert store_key(dataset.fingerprint, GraphConfig(cutoff=7)) == store_key(
        dataset.fingerprint, GraphConfig()
    )


def test_algorithm_version_counts(dataset, monkeypatch) -> None:
    before = store_key(dataset.fingerprint, CONFIG)
    monkeypatch.setattr(graph_store, "ALGORITHM_VERSION", graph_store.ALGORITHM_VERSION + 1)
    assert store_key(dataset.fingerprint, CONFIG) != before


def test_no_place_to_write(dataset, expected, tmp_path) -> None:
    """A folder below a regular file cannot be made, whoever asks."""
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="cannot be cached"):
        graphs = dataset_graphs(dataset, CONFIG, folder=tmp_path / "file" / "cache")
    assert_same(graphs, expected)


def test_workers_change_nothing(elastic, tmp_path) -> None:
    one = dataset_graphs(elastic, CONFIG, workers=1, folder=tmp_path / "one")
    assert_same(dataset_graphs(elastic, CONFIG, workers=3, folder=tmp_path / "three"), one)


def test_small_on_disk(formation, tmp_path) -> None:
    dataset_graphs(formation, CONFIG, folder=tmp_path)
    size = sum(path.stat().st_size for path in store_of(tmp_path).iterdir())
    assert size < 1000 * len(formation)


def test_nothing_is_left_when_a_crystal_is_bad(tmp_path) -> None:
    overlapping = made([5, 5, 5], [1, 8], [[0, 0, 0], [0, 0, 0.01]])
    dataset = Dataset.from_arrays(pack_crystals([rock_salt(5), overlapping]), ["good", "bad"])
    with pytest.raises(CrystalError, match=r"bad: two atoms are 0\.050 Å apart"):
        dataset_graphs(dataset, CONFIG, folder=tmp_path)
    assert not [path for path in (tmp_path / "graphs").iterdir() if path.is_dir()]


# ---- built in parts


KILLED = """
import os, signal, sys
from pathlib import Path
from crystallite.datasets.dataset import Dataset
from crystallite.files import array_folder
from crystallite.graphs import store as graph_store
from crystallite.graphs.packed import graph_parts
from crystallite.settings.config import GraphConfig

def killed(*arguments, **options):
    for number, part in enumerate(graph_parts(*arguments, **options)):
        if number == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        yield part

array_folder.SAVE_EVERY = 75_000
graph_store.graph_parts = killed
graph_store.dataset_graphs(Dataset.read("elastic"), GraphConfig(), folder=Path(sys.argv[1]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nothing kills like that here")
def test_building_goes_on_after_a_kill(elastic, tmp_path, monkeypatch) -> None:
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=120, check=False)
        assert killed.returncode == -signal.SIGKILL
    built = []

    def counted(crystals, *arguments, **options):
        built.append(crystals.n_crystals)
        return graph_parts(crystals, *arguments, **options)

    monkeypatch.setattr(graph_store, "graph_parts", counted)
    graphs = dataset_graphs(elastic, CONFIG, folder=tmp_path)
    assert_same(graphs, build_graphs(elastic.arrays, CONFIG))
    assert len(elastic) // 3 < built[0] < len(elastic) - 300


def test_memory_does_not_grow_with_the_crystals(formation, tmp_path, monkeypatch) -> None:
    """What NumPy takes at most while graphs are built: on disk that of some parts, else that of all."""
    monkeypatch.setattr(array_folder, "IN_MEMORY", 0)

    def peak(build: Callable[[], PackedGraphs]) -> int:
        tracemalloc.start()
        build()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, many = formation.select(range(1000)), formation.select(range(3938))
    build_graphs(few.arrays, CONFIG)  # compiles
    on_disk = [peak(lambda data=data: dataset_graphs(data, CONFIG, folder=tmp_path)) for data in (few, many)]
    in_memory = [peak(lambda data=data: build_graphs(data.arrays, CONFIG)) for data in (few, many)]
    assert on_disk[1] < 1.4 * on_disk[0]
    assert in_memory[1] > 2 * in_memory[0]


def test_a_name_for_the_crystal_of_a_later_part(formation, tmp_path) -> None:
    overlapping = made([5, 5, 5], [1, 8], [[0, 0, 0], [0, 0, 0.01]])
    crystals = [*formation.select(range(500)), overlapping]
    dataset = Dataset.from_crystals(crystals[:-1], [f"c{k}" for k in range(500)])
    arrays = pack_crystals(crystals)
    dataset = Dataset.from_arrays(arrays, [*dataset.ids, "bad"])
    with pytest.raises(CrystalError, match=r"bad: two atoms are 0\.050 Å apart"):
        dataset_graphs(dataset, CONFIG, folder=tmp_path)
