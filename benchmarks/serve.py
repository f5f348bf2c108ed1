"""Requests a second and their latencies, of `crystallite serve` on this machine, with and without batching.

    python benchmarks/serve.py [--requests 1000] [--memory 50000]

Each request asks for one crystal of the built-in set `elastic`, sent as JSON over loopback; clients share one
process and its thread. Memory is that of the server, every tenth of the requests of --memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from crystallite import Dataset
from crystallite.serve.settings import Limits, ServeSettings
from crystallite.sources.reading.pymatgen_json import structure_dict

CLIENTS = (1, 8, 64)
N_CRYSTALS = 500


def run_server(settings: ServeSettings) -> None:
    import uvicorn

    from crystallite.serve.app import create_app

    uvicorn.run(create_app(settings), port=settings.port, log_level="error", access_log=False, ws="none")


@contextmanager
def serving(limits: Limits) -> Iterator[tuple[int, int]]:
    """Yield port and process id of a server that is ready."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(
        target=run_server, args=(ServeSettings(port=port, limits=limits),)
    )
    process.start()
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and not asyncio.run(is_ready(port)):
            time.sleep(0.1)
        assert process.pid is not None
        yield port, process.pid
    finally:
        process.terminate()
        process.join()


async def is_ready(port: int) -> bool:
    try:
        _, body = await Connection(port).ask(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    except OSError:
        return False
    return bool(json.loads(body)["ready"])


class Connection:
    """A connection that stays open: httpx would take more time than the server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer."""
        self._streams = self._streams or await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


def requests_of(model: str) -> list[bytes]:
    """Return requests for single crystals."""
    data = Dataset.read("elastic")
    made = []
    for row in range(N_CRYSTALS):
        text = json.dumps(structure_dict(data.crystal(row)))
        question = {"structures": [{"name": "x.json", "text": text}], "models": [model], "interval": 90}
        body = json.dumps(question).encode()
        head = (
            "POST /api/v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


async def load(port: int, requests: list[bytes], n_requests: int, n_clients: int) -> tuple[float, Any]:
    """Return seconds for all, and the latency of each in milliseconds."""
    waiting = islice(cycle(requests), n_requests)
    latencies = []

    async def client() -> None:
        connection = Connection(port)
        for request in waiting:
            started = time.perf_counter()
            status, body = await connection.ask(request)
            assert status == 200, body
            latencies.append(1e3 * (time.perf_counter() - started))

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(n_clients)))
    return time.perf_counter() - started, np.array(latencies)


def memory_of(process: int) -> float:
    """Return the resident memory of a process in MB (Linux)."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1_000, help="for each line of the table")
    parser.add_argument("--memory", type=int, default=0, help="requests between which memory is looked at")
    options = parser.parse_args()
    print("| models | batching | clients | requests/s | p50 (ms) | p99 (ms) |\n|---|---|---|---|---|---|")
    for model in ("all", "band_gap"):
        requests = requests_of(model)
        for batching, limits in (("yes", Limits()), ("no", Limits(together=1))):
            with serving(limits) as (port, _):
                asyncio.run(load(port, requests, 50, 8))
                for n_clients in CLIENTS:
                    seconds, ms = asyncio.run(load(port, requests, options.requests, n_clients))
                    p50, p99 = np.percentile(ms, [50, 99])
                    rate = options.requests / seconds
                    cells = [model, batching, n_clients, f"{rate:.0f}", f"{p50:.1f}", f"{p99:.1f}"]
                    print(f"| {' | '.join(map(str, cells))} |", flush=True)
    if options.memory:
        with serving(Limits()) as (port, process):
            requests, part = requests_of("band_gap"), options.memory // 10
            for k in range(11):
                print(f"after {k * part:,} requests: {memory_of(process):.0f} MB", flush=True)
                if k < 10:
                    asyncio.run(load(port, requests, part, 32))


if __name__ == "__main__":
    main()
