"""Resumed fetches from the Materials Project: nothing is asked twice, and the journal they are kept in."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from materials_project_replay import (
    KEY,
    MATERIALS,
    RECORDED,
    Replay,
    as_recorded,  # noqa: F401
    fetch,
    replaying,
    reply,
)

from crystallite.errors import CrystalliteError
from crystallite.sources.web.journal import Journal, Reply

server = pytest.fixture(replaying)


@pytest.mark.parametrize("number", range(1, len(RECORDED["requests"]["ids"])))
def test_nothing_is_asked_twice(server: Replay, tmp_path: Path, number: int) -> None:
    server.misbehaviour = {number: reply(404, "{}")}
    with pytest.raises(CrystalliteError):
        fetch(server, tmp_path)
    assert not (tmp_path / "mp.parquet").exists()
    failed = server.requests[number]
    fetched = fetch(server, tmp_path)
    assert Counter(server.asked()) == Counter([failed, *RECORDED["requests"]["ids"][1:]])
    assert len(fetched.dataset) == len(MATERIALS)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mp.ids.csv", "mp.parquet"]


def test_resumed_gives_the_same_file(server: Replay, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    whole = (tmp_path / "mp.parquet").read_bytes()
    server.misbehaviour = {len(server.requests) + 11: reply(404, "{}")}
    with pytest.raises(CrystalliteError):
        fetch(server, tmp_path)
    assert (tmp_path / "mp.parquet").read_bytes() == whole  # the old file stays until there is a new one
    fetch(server, tmp_path)
    assert (tmp_path / "mp.parquet").read_bytes() == whole


def interrupted(server: Replay, folder: Path) -> Journal:
    server.misbehaviour = {12: reply(404, "{}")}
    with pytest.raises(CrystalliteError):
        fetch(server, folder)
    return Journal(folder / "mp.journal")


def test_journal_is_compressed_json_without_the_key(server: Replay, tmp_path: Path) -> None:
    journal = interrupted(server, tmp_path)
    assert len(journal) == 11
    for file in journal.folder.glob("*.json.gz"):
        text = gzip.decompress(file.read_bytes()).decode()
        assert set(json.loads(text)) == {"request", "day", "content"}
        assert KEY not in text
    assert not [file for file in journal.folder.iterdir() if file.name.startswith(".")]


def test_damaged_journal_file_is_asked_again(server: Replay, tmp_path: Path) -> None:
    journal = interrupted(server, tmp_path)
    first, second, *_ = sorted(journal.folder.glob("*.json.gz"))
    first.write_bytes(first.read_bytes()[:50])
    second.write_bytes(gzip.compress(b'{"request": 3}'))
    assert len(fetch(server, tmp_path).dataset) == len(MATERIALS)
    assert len(server.asked()) == len(RECORDED["requests"]["ids"]) + 2


def test_versions_are_not_mixed(server: Replay, tmp_path: Path) -> None:
    interrupted(server, tmp_path)
    newer = RECORDED["replies"]["/heartbeat?"]["text"].replace("2026.11.22", "2027.01.01")
    server.replies["/heartbeat?"] = {**server.replies["/heartbeat?"], "text": newer}
    with pytest.raises(CrystalliteError, match=r"database_version 2026.11.22, but now it is 2027.01.01"):
        fetch(server, tmp_path)
    assert len(Journal(tmp_path / "mp.journal")) == 11


def test_two_fetches_do_not_share_a_journal(server: Replay, tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "mp.journal").locked(),
        pytest.raises(CrystalliteError, match="in use by another"),
    ):
        fetch(server, tmp_path)


def test_journal_leaves_other_files_alone(server: Replay, tmp_path: Path) -> None:
    (tmp_path / "mp.journal").mkdir()
    (tmp_path / "mp.journal" / "mine.txt").touch()
    fetch(server, tmp_path)
    assert [file.name for file in (tmp_path / "mp.journal").iterdir()] == ["mine.txt"]


def test_journal_checks_the_request(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("a", Reply({"x": 1}, "2026-11-22"))
    assert journal.read("a") == Reply({"x": 1}, "2026-11-22")
    assert journal.read("b") is None
