"""Starting and stopping the server."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from ..errors import CrystalliteError
from ..extras import needed
from .measurements import shared_by_processes
from .settings import ServeSettings

GRACE = 10  # seconds that requests have to end when the server is stopped
MOST_CONNECTIONS = 1_000
REQUIREMENT = "crystallite[serve]"


def serve(settings: ServeSettings, on_start: Callable[[], None] = lambda: None) -> None:
    """Answer requests until the process is told to stop (Ctrl-C or SIGTERM).

    Args:
        settings: where to listen, to whom, and which run folders to show.
        on_start: is called when nothing speaks against starting.

    Raises:
        CrystalliteError: for settings that are unsafe, a port that is taken, and where packages of the extra
            `serve` are missing.
    """
    settings.check()
    uvicorn = needed("uvicorn", "serve", REQUIREMENT)
    for module in ("fastapi", "prometheus_client", "spglib", "ase"):
        needed(module, "serve", REQUIREMENT)
    _refuse_taken(settings)
    on_start()
    settings.to_environment()
    with shared_by_processes() if settings.workers > 1 else nullcontext():
        uvicorn.run(
            "crystallite.serve.server:worker",
            factory=True,
            host=settings.host.strip("[]"),
            port=settings.port,
            workers=settings.workers,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=GRACE,
            ws="none",
        )


def worker() -> Any:
    """Return the application of a process of a server: it stops when the one that started it is gone."""
    from .app import create_app

    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_stop_after, args=(parent,), daemon=True).start()
    return create_app(ServeSettings.from_environment())


def _stop_after(parent: Any) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _refuse_taken(settings: ServeSettings) -> None:
    """Raise CrystalliteError if the port cannot be had, before anything is loaded."""
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, settings.port))
        except OSError as error:
            raise CrystalliteError(
                f"cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}; choose "
                "another with --port"
            ) from None
