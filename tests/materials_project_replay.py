"""A local server that replays what the Materials Project's own server code replied, or misbehaves.

tests/integration/record_materials_project.py records the replies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import pytest

from crystallite.sources.web import client as web
from crystallite.sources.web.materials_project import Fetched, fetch_materials, queries

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


def replaying() -> Iterator[Replay]:
    """A running server, as a fixture."""
    replay = Replay()
    thread = Thread(target=replay.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield replay
    replay.shutdown()
    thread.join()
    replay.server_close()


@pytest.fixture(autouse=True)
def as_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask with the recorded sizes; do not wait between attempts."""
    monkeypatch.setattr(queries, "BATCH", RECORDED["batch"])
    monkeypatch.setattr(queries, "PAGE", RECORDED["page"])
    monkeypatch.setattr(web.time, "sleep", lambda seconds: None)
    monkeypatch.delenv("MP_API_ENDPOINT", raising=False)


def fetch(server: Replay, folder: Path, **what: Any) -> Fetched:
    what = what or {"ids": IDS}
    return fetch_materials(folder / "mp.parquet", KEY, endpoint=server.endpoint, progress=False, **what)
