"""The Materials Project client and a server that is busy, broken, another or not there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from materials_project_replay import (
    KEY,
    MATERIALS,
    RECORDED,
    REFUSED,
    Misbehaviour,
    Replay,
    as_recorded,  # noqa: F401
    break_off,
    fetch,
    hang_up,
    replaying,
    reply,
)

from crystallite.errors import CrystalliteError
from crystallite.sources.web import client as web
from crystallite.sources.web.materials_project import fetch_materials

server = pytest.fixture(replaying)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds to wait between attempts, which pass at once."""
    seconds: list[float] = []
    monkeypatch.setattr(web.time, "sleep", seconds.append)
    return seconds


@pytest.mark.parametrize("number", [0, 1, 9, 18])
@pytest.mark.parametrize(
    "misbehaviour",
    [reply(429, "{}"), reply(500, "oops"), reply(503, "<html>", "text/html"), hang_up, break_off],
    ids=["429", "500", "503", "hang up", "break off"],
)
def test_what_may_pass_is_tried_again(
    server: Replay, tmp_path: Path, waits: list[float], misbehaviour: Misbehaviour, number: int
) -> None:
    server.misbehaviour = {number: misbehaviour, number + 1: misbehaviour}
    dataset = fetch(server, tmp_path).dataset
    assert len(dataset) == len(MATERIALS)
    assert len(server.requests) == len(RECORDED["requests"]["ids"]) + 2
    assert [math.floor(seconds) for seconds in waits] == [1, 2]


def test_retry_after_is_obeyed(server: Replay, tmp_path: Path, waits: list[float]) -> None:
    server.misbehaviour = {
        2: reply(429, "", Retry_After="17"),
        4: reply(503, "", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
        6: reply(503, "", Retry_After="86400"),
    }
    fetch(server, tmp_path)
    assert 17 <= waits[0] < 21
    assert waits[1] == 0
    assert web.LONGEST_WAIT <= waits[2] <= 1.2 * web.LONGEST_WAIT


def test_giving_up(server: Replay, tmp_path: Path) -> None:
    server.misbehaviour = {number: reply(502, "") for number in range(5, 50)}
    with pytest.raises(
        CrystalliteError, match=r"502 .*gave up after 8 attempts.*\n.*run the same command again to resume"
    ) as e:
        fetch(server, tmp_path)
    assert KEY not in str(e.value)
    assert len(server.requests) == 5 + web.ATTEMPTS


def test_no_network(tmp_path: Path) -> None:
    with pytest.raises(CrystalliteError, match=r"no connection .*is there a network"):
        fetch_materials(tmp_path / "a.parquet", KEY, everything=True, endpoint="http://127.0.0.1:9")
    assert list(tmp_path.iterdir()) == []


def test_refused_key(server: Replay, tmp_path: Path) -> None:
    for status in (401, 403):
        server.misbehaviour = {len(server.requests) + 1: reply(status, REFUSED)}
        with pytest.raises(CrystalliteError, match=rf"refused the key \({status}: .*Copy it from") as error:
            fetch(server, tmp_path)
        assert KEY not in str(error.value)
    assert list(tmp_path.iterdir()) == []
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "other",
    [
        reply(200, "<html>Please log in</html>", "text/html"),
        reply(200, '{"greeting": "hello"}'),
        reply(200, '{"data": {}, "meta": {"total_doc": 1}}'),
        reply(200, "[1, 2]"),
        reply(302, "", location="https://example.org"),
        reply(400, RECORDED["bad_request"]["text"]),
        reply(404, '{"detail":"Not Found"}'),
    ],
    ids=["html", "other json", "data no list", "list", "redirect", "bad request", "not found"],
)
@pytest.mark.parametrize("number", [0, 1])
def test_another_server(server: Replay, tmp_path: Path, other: Misbehaviour, number: int) -> None:
    server.misbehaviour = {number: other}
    with pytest.raises(CrystalliteError, match=r"but not as the Materials Project does|answered \d\d\d"):
        fetch(server, tmp_path)
    assert len(server.requests) == number + 1
    assert list(tmp_path.iterdir()) == []


def test_a_list_that_ends_early(server: Replay, tmp_path: Path) -> None:
    empty = {"data": [], "meta": {"total_doc": 13}}
    server.misbehaviour = {2: reply(200, json.dumps(empty))}
    with pytest.raises(CrystalliteError, match="announced 13 documents and stopped after 4"):
        fetch(server, tmp_path, everything=True)


@pytest.mark.parametrize("field", ["band_gap", "is_metal", "bulk_modulus"])
def test_a_value_of_another_kind(server: Replay, tmp_path: Path, field: str) -> None:
    def spoilt(text: str) -> str:
        content = json.loads(text)
        for document in content.get("data", []):
            if field in document:
                document[field] = "high"
        return json.dumps(content)

    server.replies = {
        request: {**kept, "text": spoilt(kept["text"])} for request, kept in server.replies.items()
    }
    with pytest.raises(CrystalliteError, match=f"answered {field} of mp-.* as 'high'"):
        fetch(server, tmp_path)
