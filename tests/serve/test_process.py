"""The server as a process: it starts, stops when told, and comes back after it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest
from serving import example, process, wait_for


def test_it_finishes_what_it_has_begun_when_told_to_stop() -> None:
    answers: list[int] = []
    with process() as (server, url):
        question = {"structures": [{**example("garnet.cif"), "name": f"{k}.cif"} for k in range(300)]}

        def ask() -> None:
            answers.append(httpx.post(f"{url}/api/v1/predict", json=question, timeout=120).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        wait_for(lambda: batches(url) > 1)  # one was the warm-up
        server.send_signal(signal.SIGTERM)
        asking.join()
        assert answers == [200]
        server.wait(timeout=30)


def batches(url: str) -> float:
    lines = dict(line.rsplit(" ", 1) for line in httpx.get(f"{url}/metrics").text.splitlines())
    return float(lines["crystallite_batch_crystals_count"])


def test_killed_in_mid_request_it_leaves_nobody_hanging_and_starts_again() -> None:
    with process() as (server, url):
        question = {"structures": [{**example("garnet.cif"), "name": f"{k}.cif"} for k in range(300)]}
        killing = threading.Timer(0.3, server.kill)
        killing.start()
        started = time.monotonic()
        with pytest.raises(httpx.TransportError):
            ask_for_ever(url, question)
        assert time.monotonic() - started < 60
        killing.join()
    with process() as (_, url):
        answer = httpx.post(f"{url}/api/v1/predict", json={"structures": [example()]}, timeout=60)
        assert answer.status_code == 200


def ask_for_ever(url: str, question: dict) -> None:
    while True:
        httpx.post(f"{url}/api/v1/predict", json=question, timeout=60)


def test_several_processes_answer_alike_and_count_together() -> None:
    with process("--workers", "2") as (_, url):
        question = {"structures": [example()], "models": ["band_gap"]}
        values = set()
        for _ in range(30):  # a connection each, so that both processes get some
            answer = httpx.post(f"{url}/api/v1/predict", json=question, timeout=60)
            values.add(answer.json()["predictions"][0]["properties"][0]["value"])
        assert len(values) == 1
        lines = httpx.get(f"{url}/metrics").text.splitlines()
        [count] = [
            line for line in lines
            if line.startswith('crystallite_requests_total{route="/api/v1/predict",status="200"}')
        ]  # fmt: skip
        assert float(count.rsplit(" ", 1)[1]) == 30


def test_it_needs_no_pytorch_and_tells_a_taken_port() -> None:
    with process() as (_, url):
        port = url.rpartition(":")[2]
        second = subprocess.run(
            [sys.executable, "-m", "crystallite", "serve", "--port", port], capture_output=True, text=True
        )
        assert second.returncode == 1
        assert f"port {port}" in second.stderr
        assert "--port" in second.stderr
    program = "import sys, crystallite.serve.app, crystallite.serve.server; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
