"""The Materials Project client against recorded replies of the Materials Project's own server code.

tests/integration/record_materials_project.py records them. A local server replays them, and misbehaves where
a test says so.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from click.testing import CliRunner, Result

from crystallite.cli import fetch as fetch_command
from crystallite.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.sources import materials_project, web
from crystallite.sources.journal import Journal, Reply
from crystallite.sources.materials_project import (
    Fetched,
    article_ids,
    fetch_materials,
    queries,
)
from crystallite.sources.materials_project.ids import format_id, id_number

RECORDED = json.loads((Path(__file__).parent / "data/materials_project/recorded.json").read_text())
MATERIALS = {material["number"]: material for material in RECORDED["materials"]}
IDS: list[str] = RECORDED["ids"]
KEY = "0123456789abcdef0123456789ABCDEF"
REFUSED = '{"message":"Invalid authentication credentials"}'

Misbehaviour = Callable[[BaseHTTPRequestHandler], None]


class Replay(ThreadingHTTPServer):
    """Replays recorded replies. misbehaviour: number of a request (from 0) -> what to do instead."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.misbehaviour: dict[int, Misbehaviour] = {}
        self.replies: dict[str, dict[str, Any]] = dict(RECORDED["replies"])
        self.endpoint = f"http://127.0.0.1:{self.server_port}"

    def asked(self) -> list[str]:
        """Return the requests but for heartbeats."""
        return [request for request in self.requests if not request.startswith("/heartbeat")]


class Handler(BaseHTTPRequestHandler):
    server: Replay

    def do_GET(self) -> None:
        request = unquote(self.path) + ("" if "?" in self.path else "?")
        number = len(self.server.requests)
        self.server.requests.append(request)
        if number in self.server.misbehaviour:
            self.server.misbehaviour[number](self)
        elif not request.startswith("/heartbeat") and self.headers["X-API-KEY"] != KEY:
            reply(403, REFUSED)(self)
        else:
            recorded = self.server.replies[request]
            reply(recorded["status"], recorded["text"], recorded["type"])(self)

    def log_message(self, *_: object) -> None:
        pass


def reply(status: int, text: str, kind: str = "application/json", **headers: str) -> Misbehaviour:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        everything = {"Content-Type": kind, "Content-Length": str(len(text.encode())), **headers}
        for name, value in everything.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(text.encode())

    return send


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without a word."""
    handler.close_connection = True


def break_off(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection in the middle of a reply."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')
    handler.close_connection = True


@pytest.fixture
def server() -> Iterator[Replay]:
    replay = Replay()
    thread = Thread(target=replay.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield replay
    replay.shutdown()
    thread.join()
    replay.server_close()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Ask with the recorded sizes; do not wait between attempts, but list the seconds."""
    seconds: list[float] = []
    monkeypatch.setattr(queries, "BATCH", RECORDED["batch"])
    monkeypatch.setattr(queries, "PAGE", RECORDED["page"])
    monkeypatch.setattr(web.time, "sleep", seconds.append)
    monkeypatch.delenv("MP_API_ENDPOINT", raising=False)
    return seconds


def fetch(server: Replay, folder: Path, **what: Any) -> Fetched:
    what = what or {"ids": IDS}
    return fetch_materials(folder / "mp.parquet", KEY, endpoint=server.endpoint, progress=False, **what)


# ---- what is fetched


def test_what_became_of_each_id(server: Replay, tmp_path: Path) -> None:
    fetched = fetch(server, tmp_path)
    by_task = {task: material for material in MATERIALS.values() for task in material["tasks"]}
    for name, item in zip(IDS, fetched.resolved, strict=True):
        number = id_number(name)
        material = by_task.get(number) or MATERIALS.get(number)
        way = "task id" if number in by_task else "material id" if material else "not found"
        assert (item.requested_id, item.found_by) == (name, way)
        assert item.number == (material and material["number"])
        assert item.deprecated == (material and material["deprecated"])
    counts = fetched.counts
    assert counts["found"] + counts["not found"] == len(IDS)
    assert counts["found"] - counts["merged"] == len(fetched.dataset) == len(MATERIALS)
    assert min(counts["task id"], counts["material id"], counts["merged"], counts["deprecated"]) > 0


def test_report_of_ids(server: Replay, tmp_path: Path) -> None:
    fetched = fetch(server, tmp_path)
    with (tmp_path / "mp.ids.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["requested_id"] for line in lines] == IDS
    assert [line["material_id"] or None for line in lines] == [r.material_id for r in fetched.resolved]
    assert {line["deprecated"] for line in lines} == {"true", "false", ""}
    assert lines[-1] == {
        "requested_id": "mp-1900007",
        "material_id": "",
        "deprecated": "",
        "found_by": "not found",
        "problem": "no material has this id",
    }


@pytest.mark.parametrize(("thermo_type", "stored"), [("GGA_GGA+U", "GGA_GGA+U"), ("R2SCAN", "r2SCAN")])
def test_rows_hold_what_the_server_has(server: Replay, tmp_path: Path, thermo_type: str, stored: str) -> None:
    fetch(server, tmp_path, ids=IDS, thermo_type=thermo_type)
    dataset = Dataset.read(tmp_path / "mp.parquet")
    for index, name in enumerate(dataset.ids):
        material = MATERIALS[id_number(name)]
        crystal = dataset.crystal(index)
        np.testing.assert_array_equal(crystal.numbers, material["numbers"])
        np.testing.assert_array_equal(crystal.lattice, material["lattice"])
        np.testing.assert_array_equal(crystal.frac_coords, material["frac_coords"])
        energies = material["thermo"].get(stored)
        assert dataset.labels("thermo_type")[index] == (thermo_type if energies else None)
        for energy in ("formation_energy_per_atom", "energy_per_atom", "energy_above_hull"):
            assert missing_as_none(dataset, energy, index) == (energies and energies[energy])
    assert 0 < dataset.labels("thermo_type").count(None) < len(dataset)


def test_properties_have_their_names(server: Replay, tmp_path: Path) -> None:
    dataset = fetch(server, tmp_path).dataset
    for index, name in enumerate(dataset.ids):
        values = MATERIALS[id_number(name)]["values"]
        found = {column: missing_as_none(dataset, column, index) for column in dataset.properties}
        assert found["band_gap"] == values["band_gap"]
        assert found["fermi_energy"] == values["efermi"]
        assert found["is_metal"] == values["is_metal"]
        assert found["poisson_ratio"] == values["homogeneous_poisson"]
        assert found["deprecated"] == MATERIALS[id_number(name)]["deprecated"]
        for modulus in ("bulk_modulus", "shear_modulus"):
            averages = values[modulus] or dict.fromkeys(("vrh", "voigt", "reuss"))
            assert found[modulus] == averages["vrh"]
            assert found[f"{modulus}_voigt"] == averages["voigt"]
            assert found[f"{modulus}_reuss"] == averages["reuss"]
            vrh = averages["vrh"]
            assert found[f"log10_{modulus}"] == (math.log10(vrh) if vrh and vrh > 0 else None)


def missing_as_none(dataset: Dataset, column: str, index: int) -> float | None:
    value = float(dataset.values(column)[index])
    return None if math.isnan(value) else value


def test_units_are_those_of_the_builtin_sets(server: Replay, tmp_path: Path) -> None:
    units = fetch(server, tmp_path).dataset.units
    for name in ("elastic", "formation", "dielectric"):
        known = Dataset.read(name).units
        assert known.items() <= units.items()


def test_where_rows_come_from(server: Replay, tmp_path: Path) -> None:
    dataset = fetch(server, tmp_path).dataset
    assert set(dataset.labels("database_version")) == {"2026.11.22"}
    assert all(day and len(day) == 10 for day in dataset.labels("query_date"))
    assert [id_number(raw or "") for raw in dataset.labels("raw_id")] == [id_number(i) for i in dataset.ids]
    assert "mp-aaaejupj" in dataset.labels("raw_id")
    assert dataset.metadata["licence"] == "Materials Project, CC-BY-4.0"


def test_everything_comes_in_pages(server: Replay, tmp_path: Path) -> None:
    dataset = fetch(server, tmp_path, everything=True).dataset
    expected = [number for number, material in MATERIALS.items() if not material["deprecated"]]
    assert [id_number(name) for name in dataset.ids] == sorted(expected)
    listing = [request for request in server.asked() if "_sort_fields" in request]
    assert [request.rpartition("=")[2] for request in listing] == ["0", "4", "8", "12"]
    assert not (tmp_path / "mp.ids.csv").exists()


def test_an_unusable_crystal_is_left_out_and_reported(server: Replay, tmp_path: Path) -> None:
    server.replies = {
        request: {**kept, "text": with_half_occupied(kept["text"], "mp-aaaejupj")}
        for request, kept in server.replies.items()
    }
    fetched = fetch(server, tmp_path)
    (why,) = fetched.problems.values()
    assert "partial occupancy" in why
    assert fetched.problems == {"mp-2000007": why}
    assert "mp-2000007" not in fetched.dataset.ids
    reported = [item.problem for item in fetched.resolved if item.material_id == "mp-2000007"]
    assert set(reported) == {why}


def with_half_occupied(text: str, material_id: str) -> str:
    content = json.loads(text)
    for document in content.get("data", []):
        if document.get("material_id") == material_id and "structure" in document:
            document["structure"]["sites"][0]["species"][0]["occu"] = 0.5
    return json.dumps(content)


# ---- a server that is busy, broken or another


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
        CrystalliteError, match=r"502 .*gave up after 8 attempts.*\n.*goes on from there"
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


# ---- interrupted and resumed


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


# ---- ids


def test_spellings_of_an_id() -> None:
    for text in ("mp-149", "149", "mp-ft", "mp-aaaaaaft", "aaaaaaft", "mvc-149"):
        assert id_number(text) == 149
    for text in ("", "mp-", "mp", "Fe2O3", "MP-149", "mp-1-2", "ft", "material_id", "mp--1"):
        with pytest.raises(ValueError, match="not an id"):
            id_number(text)
    assert format_id(149) == "mp-149"
    assert format_id(3_347_529) == "mp-3347529"
    assert format_id(3_347_530) == "mp-aaahilze"
    assert all(id_number(format_id(n)) == n for n in (0, 1, 3_347_530, 26**8, 26**8 - 1))


def test_article_lists() -> None:
    lists = {name: article_ids(name) for name in materials_project.ARTICLE_LISTS}
    assert [len(ids) for ids in lists.values()] == [46_744, 27_430, 3_402, 46_744]
    assert all(len(set(ids)) == len(ids) for ids in lists.values())
    assert lists["formation"][:3] == ["mp-754118", "mp-978908", "mp-633688"]
    assert lists["band-gap"][:3] == ["mp-754118", "mp-633688", "mp-3799"]
    assert lists["elastic"][:3] == ["mp-571420", "mp-21248", "mp-7090"]
    with pytest.raises(CrystalliteError, match="there are: formation"):
        article_ids("elasticity")


def test_ids_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MP_API_KEY", KEY)
    file = tmp_path / "ids.csv"
    file.write_text("material_id,value\nmp-1,0.5\nFe2O3,0.5\n")
    result = run("--ids", file, "-o", tmp_path / "mp.parquet")
    assert isinstance(result.exception, CrystalliteError)
    assert str(result.exception) == f"{file}: 'Fe2O3' is not an id such as mp-149"
    with pytest.raises(CrystalliteError, match="ids: no ids"):
        fetch_materials(tmp_path / "mp.parquet", KEY, ids=[])


def test_foreign_ids_are_not_mistaken(server: Replay, tmp_path: Path) -> None:
    fetched = fetch(server, tmp_path, ids=["mvc-500002", *IDS])
    assert fetched.resolved[0].found_by == "not found"
    assert "mvc-" in fetched.resolved[0].problem
    assert fetched.resolved[1:] == fetch(server, tmp_path).resolved


# ---- the command


def run(*arguments: object, input: str | None = None) -> Result:
    return CliRunner().invoke(fetch_command.command, ["mp", *map(str, arguments)], input=input)


def test_command(server: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    output = tmp_path / "mp.parquet"
    monkeypatch.setenv("MP_API_KEY", KEY)
    monkeypatch.setenv("MP_API_ENDPOINT", server.endpoint)
    result = run("--ids", tmp_path / "ids.txt", "-o", output)
    assert result.exit_code == 0, result.output
    counts = Counter(item.found_by for item in fetch(server, tmp_path).resolved)
    assert f"{len(IDS)} ids: {len(IDS) - counts['not found']} found" in result.stdout
    assert f"{counts['not found']} missing" in result.stdout
    assert "crystals have no GGA_GGA+U energies" in result.stdout
    assert f"{output}: {len(MATERIALS)} crystals of database version 2026.11.22" in result.stdout
    assert KEY not in result.output


def test_command_asks_for_the_key(server: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MP_API_KEY", raising=False)
    arguments = ("--everything", "-o", tmp_path / "mp.parquet", "--endpoint", server.endpoint)
    refused = run(*arguments)
    assert isinstance(refused.exception, CrystalliteError)
    assert "set MP_API_KEY" in str(refused.exception)
    monkeypatch.setattr(fetch_command, "_is_interactive", lambda: True)
    result = run(*arguments, input=KEY + "\n")
    assert result.exit_code == 0, result.output
    assert KEY not in result.output


@pytest.mark.parametrize("arguments", [[], ["--everything", "--chemsys", "Li-O"]])
def test_command_wants_one_kind(tmp_path: Path, arguments: list[str]) -> None:
    result = run(*arguments, "-o", tmp_path / "mp.parquet")
    assert "one of --ids, --article, --chemsys, --everything" in str(result.exception)


def test_command_knows_the_lists() -> None:
    assert fetch_command.ARTICLE_LISTS == materials_project.ARTICLE_LISTS
    assert tuple(materials_project.THERMO_TYPES) == fetch_command.THERMO_TYPES
    assert fetch_command.THERMO_TYPES[0] == materials_project.DEFAULT_THERMO_TYPE


@pytest.mark.parametrize("key", ["short", KEY + "0", "ä" * 32, ""])
def test_keys_that_cannot_be(tmp_path: Path, key: str) -> None:
    with pytest.raises(CrystalliteError, match="is 32 letters and digits") as error:
        fetch_materials(tmp_path / "mp.parquet", key, everything=True)
    assert not key or key not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_arguments_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(CrystalliteError, match=r"ends in .parquet"):
        fetch_materials(tmp_path / "mp.csv", KEY, everything=True)
    with pytest.raises(CrystalliteError, match="no thermo type 'PBE'"):
        fetch_materials(tmp_path / "mp.parquet", KEY, everything=True, thermo_type="PBE")
    with pytest.raises(CrystalliteError, match="one of them"):
        fetch_materials(tmp_path / "mp.parquet", KEY)
    with pytest.raises(CrystalliteError, match="starts with https"):
        fetch_materials(tmp_path / "mp.parquet", KEY, everything=True, endpoint="localhost:80")


def test_without_httpx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(CrystalliteError, match=r"pip install 'crystallite\[fetch\]'"):
        fetch_materials(tmp_path / "mp.parquet", KEY, everything=True)
