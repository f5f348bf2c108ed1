"""Processes of one machine add up through shared memory: right sums, equal bits, no wait for the dead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from crystallite.computing import shared_sums
from crystallite.computing.shared_sums import CAPACITY, SharedSums, open_shared_sums

pytestmark = pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs shared memory")

PROCESS = """
import sys
import numpy as np, torch
from crystallite.errors import LostProcessError
from crystallite.computing.shared_sums import SharedSums

path, rank, n_processes, out, dies = sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4], sys.argv[5] == "dies"
sums = SharedSums(path, rank, n_processes)
rng = np.random.default_rng(rank)
found = {}
try:
    arrays = [*[(3, "float32")] * 200, (70000, "float64"), (0, "float64"), (65536, "float32")]
    for k, (size, kind) in enumerate(arrays):
        if dies and rank == 1 and k == 100:
            sys.exit(0)
        tensor = torch.from_numpy(rng.normal(size=size).astype(kind))
        sums.add_up(tensor)
        found[f"{k}"] = tensor.numpy()
except LostProcessError as error:
    sys.exit(str(error))
np.savez(out, **found)
"""


def run(tmp_path: Path, n_processes: int, dies: str = "lives") -> list[subprocess.CompletedProcess[str]]:
    """The outcome of each of several processes that add up the same sequence of arrays."""
    path = shared_sums._new_file(n_processes)
    try:
        started = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    PROCESS,
                    path,
                    *map(str, (rank, n_processes, tmp_path / f"{rank}.npz", dies)),
                ],
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(n_processes)
        ]
        return [
            subprocess.CompletedProcess([], p.wait(timeout=60), "", p.stderr.read())
            for p in started
            if p.stderr
        ]
    finally:
        Path(path).unlink()


@pytest.mark.parametrize("n_processes", [2, 3])
def test_sums_are_right_and_equal_in_all(n_processes, tmp_path):
    """Arrays of one to three rounds through the slots, an empty one, and more processes than cores."""
    assert [done.returncode for done in run(tmp_path, n_processes)] == [0] * n_processes
    found = [np.load(tmp_path / f"{rank}.npz") for rank in range(n_processes)]
    own = [np.random.default_rng(rank) for rank in range(n_processes)]
    assert 2 * CAPACITY < 70000 * 8
    for name in found[0].files:
        first = found[0][name]
        parts = [rng.normal(size=len(first)).astype(first.dtype) for rng in own]
        expected = parts[0].copy()
        for part in parts[1:]:  # in the order of the processes
            expected += part
        for other in found:
            np.testing.assert_array_equal(other[name], expected)


def test_nobody_waits_for_the_dead(tmp_path):
    done = run(tmp_path, 2, "dies")
    assert done[1].returncode == 0
    assert done[0].returncode == 1
    assert "process 1 was lost" in done[0].stderr


def test_nothing_is_left_behind(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    before = set(Path("/dev/shm").glob("crystallite-*"))
    sums = open_shared_sums(0, 1, lambda text: text)
    assert isinstance(sums, SharedSums)
    tensor = torch.ones(2, 3)
    sums.add_up(tensor)
    assert tensor.sum() == 6
    assert set(Path("/dev/shm").glob("crystallite-*")) == before


def test_without_room_or_on_several_machines_sockets_have_to_do(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert open_shared_sums(0, 2, lambda text: text) is None
    monkeypatch.setattr(shared_sums, "CAPACITY", 2**50)
    before = set(Path("/dev/shm").glob("crystallite-*"))
    assert open_shared_sums(0, 1, lambda text: text) is None
    assert set(Path("/dev/shm").glob("crystallite-*")) == before
