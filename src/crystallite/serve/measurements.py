"""Numbers for Prometheus: requests, crystals, batches. Several processes of a server are added up."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MULTIPLE = "PROMETHEUS_MULTIPROC_DIR"  # where the processes leave their numbers
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@contextmanager
def shared_by_processes() -> Iterator[None]:
    """Keep a folder, while the block runs, in which the processes of a server leave their numbers."""
    folder = tempfile.mkdtemp(prefix="crystallite-serve-")
    os.environ[MULTIPLE] = folder
    try:
        yield
    finally:
        os.environ.pop(MULTIPLE, None)
        shutil.rmtree(folder, ignore_errors=True)


class Measurements:
    """The numbers of one server."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "crystallite_requests", "Requests by route and status.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "crystallite_request_seconds",
            "Duration of requests.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.crystals = Counter("crystallite_crystals", "Crystals that were evaluated.", registry=registry)
        self.batches = Histogram(
            "crystallite_batch_crystals", "Crystals of a batch.", buckets=_SIZES, registry=registry
        )

    def batch(self, n_crystals: int) -> None:
        """Count a batch."""
        self.crystals.inc(n_crystals)
        self.batches.observe(n_crystals)

    def text(self) -> bytes:
        """Return all numbers as Prometheus reads them."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = self._registry
        if MULTIPLE in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class Measured:
    """ASGI middleware that counts requests and their seconds by route."""

    def __init__(self, app: Any, measurements: Measurements) -> None:
        self._app, self._measurements = app, measurements

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand the request on, and count it when it is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 500

        async def sent(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._measurements.requests.labels(route, status).inc()
            self._measurements.seconds.labels(route).observe(time.monotonic() - started)
