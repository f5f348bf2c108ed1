"""Real servers for the tests: in a thread of this process, or a process of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn

import crystallite
from crystallite.serve.app import HERE, create_app
from crystallite.serve.settings import ServeSettings

EXAMPLES = HERE / "examples"
PATIENCE = 120  # seconds for a server to start on a busy machine, whose loops may have to be compiled


def example(name: str = "rock_salt.cif") -> dict[str, str]:
    """A structure as it is sent."""
    return {"name": name, "text": (EXAMPLES / name).read_text()}


@contextmanager
def serving(settings: ServeSettings | None = None, **headers: str) -> Iterator[httpx.Client]:
    """A client of a server that runs in a thread."""
    app = create_app(settings or ServeSettings())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, headers=headers) as client:
            wait_for(lambda: client.get("/health").json()["ready"])
            yield client
    finally:
        server.should_exit = True
        thread.join()


def wait_for(condition, seconds: float = PATIENCE) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


@contextmanager
def process(*options: str, **environment: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """`crystallite serve` as a process, and where it listens; ready to answer."""
    port = free_port()
    command = [sys.executable, "-m", "crystallite", "serve", "--port", str(port), *options]
    source = str(Path(crystallite.__file__).parents[1])
    server = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": source, **environment}, stderr=subprocess.PIPE, text=True
    )
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        assert server.poll() is None, server.communicate()[1]
        try:
            return bool(httpx.get(f"{url}/health", timeout=5).json()["ready"])
        except httpx.TransportError:
            return False

    try:
        wait_for(is_ready)
        yield server, url
    finally:
        if server.poll() is None:
            server.kill()
        server.communicate()
