"""Screenings on a Ray cluster of this machine, with a node that dies in the middle."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
from screenings import GAP, contents, here, with_twins

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.screening.ray_cluster import ray_cluster
from crystallite.screening.screening import screen_with
from crystallite.screening.shortlist import Choice
from crystallite.sources import pieces
from crystallite.sources.formats import export_dataset

ray = pytest.importorskip("ray")


@pytest.fixture
def cluster(monkeypatch):
    """A cluster whose head does no work, with two nodes of one core."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_DISABLE_IMPORT_WARNING", "1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    yield cluster, nodes
    ray.shutdown()
    cluster.shutdown()


def test_a_cluster_gives_the_same_files_even_if_a_node_dies(elastic, tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(pieces, "CRYSTALS", 20)
    at, nodes = cluster
    data = tmp_path / "twins.parquet"
    with_twins(elastic, 300).write(data)
    screen_with(here, GAP, [data], tmp_path / "here")
    folder = tmp_path / "ray"
    killed: list[int] = []

    def kill_a_node() -> None:
        while not (done := len(list(folder.glob("predictions/part-*")))):
            time.sleep(0.02)
        killed.append(done)
        at.remove_node(nodes[0], allow_graceful=False)

    killer = threading.Thread(target=kill_a_node)
    killer.start()
    screen_with(partial(ray_cluster, address=at.address), GAP, [data], folder)
    killer.join()
    assert contents(folder) == contents(tmp_path / "here")
    assert killed[0] < 10  # of 20 parts: there was work left


@pytest.fixture
def started(tmp_path):
    """The address of a cluster that `ray start` has started: a head without cores and a node of one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, start = f"127.0.0.1:{port}", [Path(sys.executable).with_name("ray"), "start", "--block"]
    head = ["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false"]
    with ExitStack() as at_work:
        for options in (head, [f"--address={address}", "--num-cpus=1"]):
            process = at_work.enter_context(
                subprocess.Popen([*start, *options], stdout=subprocess.DEVNULL, start_new_session=True)
            )
            at_work.callback(os.killpg, process.pid, signal.SIGTERM)
            _wait_for(port)
        yield address
        ray.shutdown()


def _wait_for(port: int) -> None:
    """Wait until something listens at a port."""
    for _ in range(600):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise TimeoutError("no head of a Ray cluster after a minute")


def test_names_may_begin_where_the_command_runs(elastic, tmp_path, started, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export_dataset(elastic.select(range(30)), tmp_path / "cifs", target="bulk_modulus")
    with tarfile.open("some.tar", "w") as bundle:
        bundle.add("cifs", "cifs")
    choice = Choice(by="band_gap DESC", top=7)
    for engine, folder in ((here, "here"), (partial(ray_cluster, address=started), "ray")):
        summary = screen_with(engine, GAP, ["cifs", "some.tar"], Path(folder), choice)
        assert summary.predictions == 30
        assert summary.listed == 7
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
    one, other = (Dataset.read(tmp_path / folder / "shortlist.parquet") for folder in ("here", "ray"))
    assert one.fingerprint == other.fingerprint


def test_without_a_cluster_one_line_says_so(tmp_path, elastic):
    data = Path(tmp_path / "few.parquet")
    elastic.select(range(3)).write(data)
    with pytest.raises(CrystalliteError, match=r"--ray 127\.0\.0\.1:9: no cluster answers"):
        screen_with(partial(ray_cluster, address="127.0.0.1:9"), GAP, [data], tmp_path / "out")
