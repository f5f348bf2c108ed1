"""The environment that the Materials Project's server and client run in, and a running server.

Making it takes some 100 s and 1.5 GB, see installed_server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from installed_server import Server, installed, running

HERE = Path(__file__).parent
REQUIREMENTS = ["emmet-api==0.87.3", "mongomock==4.3.0", "mp-api==0.46.5", "uvicorn==0.54.0"]
KEY = "0123456789abcdef0123456789ABCDEF"
VERSION = "2026.11.22"  # of the database, as the server will say


def make_environment(root: Path) -> Path:
    """Return the interpreter of the environment, made in `root` if it is not there."""
    return installed("materials-project", REQUIREMENTS, root)


@contextmanager
def running_server(python: Path, materials: list[dict[str, Any]], folder: Path) -> Iterator[Server]:
    """Run the server over `materials` until the block ends."""
    (folder / "world.json").write_text(json.dumps(materials))
    log = folder / "requests.log"
    command = [python, HERE / "materials_project_server.py", folder / "world.json", KEY, log]
    with running(command, log, MAPI_DB_VERSION=VERSION) as server:
        yield server
