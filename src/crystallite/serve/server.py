"""Starting and stopping the server."""

from __future__ import annotations

import socket
from contextlib import nullcontext

from ..errors import CrystalliteError
from ..extras import needed
from .measurements import shared_by_processes
from .settings import ServeSettings

GRACE = 10  # seconds that requests have to end when the server is stopped
MOST_CONNECTIONS = 1_000
REQUIREMENT = "crystallite[serve]"


def serve(settings: ServeSettings) -> None:
    """Answer requests until the process is told to stop (Ctrl-C or SIGTERM).

    Args:
        settings: where to listen, to whom, and which run folders to show.

    Raises:
        CrystalliteError: for settings that are unsafe, a port that is taken, and where packages of the extra
            `serve` are missing.
    """
    settings.check()
    uvicorn = needed("uvicorn", "serve", REQUIREMENT)
    for module in ("fastapi", "prometheus_client", "moyopy", "ase"):
        needed(module, "serve", REQUIREMENT)
    _refuse_taken(settings)
    settings.to_environment()
    with shared_by_processes() if settings.workers > 1 else nullcontext():
        uvicorn.run(
            "crystallite.serve.app:create_app",
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
