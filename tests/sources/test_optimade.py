"""Fetching over OPTIMADE, from recorded replies of the reference server (PyPI optimade 1.5.0).

tests/integration/optimade_environment.py records them; test_optimade_server.py there runs the server itself.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from crystallite.cli.fetch_optimade import command
from crystallite.crystals.crystal import Crystal
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError, CrystalliteError
from crystallite.sources.reading.optimade_entries import crystal_of_entry
from crystallite.sources.web import client as web
from crystallite.sources.web import optimade
from crystallite.sources.web.optimade import fetch_optimade
from crystallite.sources.web.optimade_client import PROVIDERS, base_address

pytest.importorskip("httpx")
RECORDED = json.loads((Path(__file__).parents[1] / "data" / "optimade" / "replies.json").read_text())
PROPERTIES = {
    "_exmpl_formation_energy": "formation_energy_per_atom",
    "_exmpl_thermo.pbe.energy": "pbe_energy",
    "_exmpl_is_metal": "is_metal",
    "_exmpl_origin": "origin",
}
ELEMENTS = "nelements=1"
OXIDES = 'nelements=2 AND elements HAS "O"'


class Replay(ThreadingHTTPServer):
    """A server with the recorded replies. faults: what to answer instead, one per request: a status, text."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[str] = []
        self.faults: list[int | str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Replay

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault == "break":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        elif isinstance(fault, str):
            self._send(200, "text/html", fault)
        elif fault is not None:
            self._send(fault, "text/plain", "busy")
        else:
            key = self.path if "?" in self.path else f"{self.path}?"
            reply = RECORDED.get(key, {"status": 404, "body": '{"errors": [{"detail": "Not Found"}]}'})
            body = reply["body"].replace("{endpoint}", self.server.address)
            self._send(reply["status"], "application/vnd.api+json", body)

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    monkeypatch.setattr(web, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(optimade, "PAGE", 7)
    with Replay() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def fetch(server: Replay, output: Path, query: str = ELEMENTS, **options):
    return fetch_optimade(output, server.address, query=query, **options)


def test_crystals_and_properties(server, tmp_path):
    fetched = fetch(server, tmp_path / "d.parquet", properties=PROPERTIES, skip_bad=True)
    dataset = Dataset.read(tmp_path / "d.parquet")
    assert len(server.requests) == 4  # info/structures and three pages
    everything = Dataset.read("formation").select(range(130))
    rows = {name: row for row, name in enumerate(everything.ids)}
    energies = everything.values("formation_energy_per_atom")
    assert len(dataset) == 12
    for place, (name, crystal) in enumerate(zip(dataset.ids, dataset, strict=True)):
        row = rows[name]
        truth = everything.crystal(row)
        np.testing.assert_array_equal(crystal.numbers, truth.numbers)
        np.testing.assert_array_equal(crystal.lattice, truth.lattice)
        np.testing.assert_allclose(crystal.frac_coords, truth.frac_coords, atol=1e-12)
        found = dataset.values("formation_energy_per_atom")[place]
        assert found == energies[row] if row % 5 else np.isnan(found)
        nested = dataset.values("pbe_energy")[place]
        assert nested == energies[row] if row % 4 else np.isnan(nested)
        assert dataset.values("is_metal")[place] == row % 2
        assert dataset.labels("origin")[place] == ("computed" if row % 3 else None)
    assert dataset.units == {"formation_energy_per_atom": "eV/atom"}
    assert dataset.metadata["source"] == f"OPTIMADE, {server.address}/v1"
    assert dataset.metadata["query"] == ELEMENTS
    assert [source for source, _ in fetched.bad] == ["zz-1", "zz-2", "zz-3"]
    assert not (tmp_path / "d.journal").exists()


def test_bad_structures_stop_it_unless_skipped(server, tmp_path):
    with pytest.raises(
        CrystalliteError, match=r"(?s)3 of 15.*zz-1: disordered.*zz-2: periodic in 2 directions"
    ):
        fetch(server, tmp_path / "d.parquet", properties=PROPERTIES)
    asked = len(server.requests)
    fetch(server, tmp_path / "d.parquet", properties=PROPERTIES, skip_bad=True)
    assert len(server.requests) == asked + 1  # info/structures; all pages were kept


def test_an_interrupted_fetch_resumes(server, tmp_path):
    server.faults = [None, None, None, *[503] * web.ATTEMPTS]
    with pytest.raises(CrystalliteError, match=r"(?s)503.*run the same command again to resume"):
        fetch(server, tmp_path / "d.parquet", properties=PROPERTIES, skip_bad=True)
    first, server.requests = server.requests, []
    fetch(server, tmp_path / "d.parquet", properties=PROPERTIES, skip_bad=True)
    asked_again = set(first[:3]) & set(server.requests)
    assert asked_again == {"/v1/info/structures"}
    assert len(Dataset.read(tmp_path / "d.parquet")) == 12


def test_busy_and_breaking_connections_are_tried_again(server, tmp_path):
    server.faults = [None, 429, "break", 503]
    fetch(server, tmp_path / "d.parquet", properties=PROPERTIES, skip_bad=True)
    assert len(server.requests) == 4 + 3


def test_a_page_that_is_too_large_for_the_server(server, tmp_path, monkeypatch):
    monkeypatch.setattr(optimade, "PAGE", 1000)
    assert len(fetch(server, tmp_path / "d.parquet", skip_bad=True).dataset) == 12
    assert ["page_limit" in request for request in server.requests] == [True, False]


def test_limit(server, tmp_path):
    fetched = fetch(server, tmp_path / "d.parquet", properties=PROPERTIES, limit=9)
    assert len(fetched.dataset) == 9
    assert len(server.requests) == 3


def test_what_the_server_says_is_shown(server, tmp_path, monkeypatch):
    monkeypatch.setattr(optimade, "PAGE", 100)
    with pytest.raises(CrystalliteError, match="refuses the query \\(400\\): Unable to parse filter"):
        fetch(server, tmp_path / "d.parquet", query="nelements equals 2")
    with pytest.raises(
        CrystalliteError, match="has no property _exmpl_formaton_energy; did you mean _exmpl_form"
    ):
        fetch(server, tmp_path / "d.parquet", OXIDES, properties={"_exmpl_formaton_energy": "x"})
    with pytest.raises(CrystalliteError, match="has no structure that fits nelements=9"):
        fetch(server, tmp_path / "d.parquet", query="nelements=9")
    with pytest.raises(CrystalliteError, match=r"nothing at http.*/x/v1/structures \(404\)"):
        fetch_optimade(tmp_path / "d.parquet", f"{server.address}/x")
    assert list(tmp_path.iterdir()) == []


def test_html_and_no_network(server, tmp_path):
    server.faults = ["<html>Please log in</html>"]
    with pytest.raises(
        CrystalliteError, match="not as the OPTIMADE server does \\(text/html: <html>Please log in"
    ):
        fetch(server, tmp_path / "d.parquet")
    with pytest.raises(CrystalliteError, match="no connection"):
        fetch_optimade(tmp_path / "d.parquet", "http://127.0.0.1:9")


def test_addresses():
    assert base_address("OQMD") == PROVIDERS["oqmd"] + "/v1"
    for address in ("https://x.org/a", "https://x.org/a/v1/", "https://x.org/a/v1/structures?filter=y"):
        assert base_address(address) == "https://x.org/a/v1"
    assert base_address("https://x.org/v1.1") == "https://x.org/v1.1"
    with pytest.raises(CrystalliteError, match="no provider 'oqdm'; there are: aflow"):
        base_address("oqdm")


def test_command(server, tmp_path):
    arguments = [server.address, "--filter", ELEMENTS, "--skip-bad", "-o", str(tmp_path / "d.parquet")]
    for theirs, ours in PROPERTIES.items():
        arguments += ["--property", f"{theirs}={ours}"]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert "12 crystals; formation_energy_per_atom, pbe_energy, is_metal, origin" in result.output
    assert "zz-2: periodic in 2 directions, not in three" in result.output


SILICON = {
    "lattice_vectors": [[0, 2.7, 2.7], [2.7, 0, 2.7], [2.7, 2.7, 0]],
    "cartesian_site_positions": [[0, 0, 0], [1.35, 1.35, 1.35]],
    "species_at_sites": ["Si", "Si"],
    "species": [{"name": "Si", "chemical_symbols": ["Si"], "concentration": [1.0]}],
    "dimension_types": [1, 1, 1],
    "structure_features": [],
}


def crystal(**changes) -> Crystal:
    return crystal_of_entry({"id": "x", "attributes": {**SILICON, **changes}}, "x")


def species(**changes):
    return [{**SILICON["species"][0], **changes}]


def test_silicon():
    np.testing.assert_allclose(crystal().frac_coords, [[0, 0, 0], [0.25, 0.25, 0.25]])
    assert crystal(species=None, dimension_types=None).numbers.tolist() == [14, 14]
    spare = species(chemical_symbols=["Si", "vacancy"], concentration=[1.0, 0.0])
    assert crystal(species=spare).numbers.tolist() == [14, 14]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dimension_types": [1, 0, 0]}, "periodic in 1 directions"),
        ({"structure_features": ["disorder"]}, "disordered"),
        ({"structure_features": ["implicit_atoms"]}, "incomplete"),
        ({"species": species(chemical_symbols=["Si", "Ge"], concentration=[0.6, 0.4])}, "Si 0.6, Ge 0.4"),
        ({"species": species(chemical_symbols=["X"])}, "unknown element X"),
        ({"species": species(attached=["H"], nattached=[3])}, "group of atoms"),
        ({"species": species(name="Ge")}, "Si is not described"),
        ({"species_at_sites": ["Si"]}, "do not fit together"),
        ({"cartesian_site_positions": [[0, 0, 0], [None] * 3]}, "not all known"),
        ({"lattice_vectors": None}, "do not fit together|missing"),
        ({"lattice_vectors": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}, "no volume"),
    ],
)
def test_what_is_no_crystal(changes, reason):
    with pytest.raises(CrystalError, match=reason):
        crystal(**changes)


def test_an_entry_without_attributes():
    with pytest.raises(CrystalError, match="no attributes"):
        crystal_of_entry({"id": "x"}, "x")
