"""Searches that share a real PostgreSQL server, and the dashboard on top of it.

    apt-get install postgresql
    pip install '.[test,tune]' optuna-dashboard
    pytest tests/integration/test_tuning_postgresql.py

The server is this test's own: it lives in a temporary folder, listens on the loopback only and is stopped in
the end. Nothing on the machine is configured for it.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from training_runs import ENERGY, Finished, energies, start
from tuning_searches import NETWORKS, rows, search_words

from crystallite.errors import CrystalliteError
from crystallite.tuning import study
from crystallite.tuning.search import tune

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a PostgreSQL server without databases."""
    folder = Path(tempfile.mkdtemp(prefix="crystallite-postgresql-"))
    programs, port = postgresql_programs(), free_port()
    user = as_postgres(folder)
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = [*user, programs / "pg_ctl", "-D", folder / "data", "-w"]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
    try:
        subprocess.run(
            [*user, programs / "initdb", "-D", folder / "data", "-U", "crystallite", "-A", "trust"], **quiet
        )
        subprocess.run([*control, "-l", folder / "log", "-o", options, "start"], **quiet)
        yield f"crystallite@127.0.0.1:{port}"
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def postgresql_programs() -> Path:
    """The folder of initdb and pg_ctl: on the path, or where Debian keeps each version."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    return folders[-1]


def as_postgres(folder: Path) -> list[str]:
    """How to run a program as a user who owns the folder: the server refuses to be root's."""
    if os.getuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("run it as an ordinary user, or create the user postgres")
    shutil.chown(folder, "postgres", "postgres")
    return ["runuser", "-u", "postgres", "--"]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.fixture
def database(server, request) -> str:
    """The URL of a new database."""
    import psycopg

    name = f"test_{abs(hash(request.node.name)) % 10**8}"
    with psycopg.connect(f"postgresql://{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://{server}/{name}"


@pytest.fixture
def words(database, tmp_path) -> list[object]:
    """A search by the command line."""
    return [*search_words(tmp_path, NETWORKS), "--storage", database]


def states(folder: Path) -> list[str]:
    return [row["state"] for row in rows(folder)]


def test_processes_that_start_together_share_the_work(words, tmp_path):
    """Each has a folder of its own, as on machines that share nothing but the database."""
    started = [start(*words, "--trials", 12, "--out", tmp_path / name) for name in "abc"]
    ended = [Finished(process) for process in started]
    assert [process.status for process in ended] == [0, 0, 0], "".join(process.err for process in ended)
    trials = rows(tmp_path / "a")
    rates = [row["learning_rate"] for row in trials if row["default"] != "yes"]
    assert 12 <= len(trials) <= 14  # without a common folder they may start the last trial together
    assert set(states(tmp_path / "a")) <= {"complete", "pruned"}
    assert len(set(rates)) == len(rates)
    assert sum("trial" in line.split(" ")[0] for process in ended for line in process.out.splitlines()) >= 12


def killed_while_running(words: list[object], folder: Path) -> None:
    process = start(*words, "--trials", 1000, "--out", folder)
    for _ in range(3):
        process.stdout.readline()
    while not list(folder.glob("*.trial-*")):
        time.sleep(0.01)
    process.kill()
    process.communicate()


def test_killed_and_restarted_it_resumes(words, database, tmp_path):
    killed_while_running(words, tmp_path / "out")
    ended = Finished(start(*words, "--trials", 6, "--out", tmp_path / "out"))
    assert ended.status == 0, ended.err
    found = states(tmp_path / "out")
    assert found.count("lost") <= 1
    assert len(found) - found.count("lost") == 6


def test_another_machine_takes_over_by_heartbeat(words, database, tmp_path, monkeypatch):
    killed_while_running(words, tmp_path / "here")
    monkeypatch.setattr(study, "HEARTBEAT", 1)
    monkeypatch.setattr(study, "GRACE", 2)
    time.sleep(3)
    result = tune(
        tmp_path / "energies.parquet", ENERGY, trials=6, epochs=2, space=tmp_path / "space.toml",
        storage=database, out=tmp_path / "there",
    )  # fmt: skip
    assert result.n_finished == 6
    assert "running" not in states(tmp_path / "there")


def test_a_wrong_address_does_not_show_the_password(server, tmp_path, monkeypatch):
    monkeypatch.setattr("crystallite.tuning.study.time.sleep", lambda seconds: None)
    address = server.replace("crystallite@", "crystallite:secret@")
    with pytest.raises(CrystalliteError, match="cannot open postgresql") as error:
        tune(energies(60), ENERGY, storage=f"postgresql://{address}/no_such_database", out=tmp_path)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("storage", ["database", "journal"])
def test_the_dashboard_opens_the_study(storage, words, database, tmp_path):
    pytest.importorskip("optuna_dashboard")
    address = database.replace("postgresql://", "postgresql+psycopg://")
    if storage == "journal":  # the default, in the folder of the results
        words, address = words[: words.index("--storage")], str(tmp_path / "out" / "study.journal")
    assert Finished(start(*words, "--trials", 2, "--out", tmp_path / "out")).status == 0
    port = free_port()
    program = [sys.executable, "-c", "from optuna_dashboard._cli import main; main()"]
    dashboard = subprocess.Popen([*program, address, "--port", str(port)], stderr=subprocess.DEVNULL)
    try:
        assert [entry["study_name"] for entry in studies(port)] == [f"energies-{ENERGY}"]
    finally:
        dashboard.terminate()
        dashboard.wait()


def studies(port: int) -> list[dict[str, object]]:
    """What the dashboard lists, once it answers."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies") as answer:
                return list(json.load(answer)["study_summaries"])
        except OSError:
            time.sleep(0.3)
    raise AssertionError("the dashboard does not answer")
