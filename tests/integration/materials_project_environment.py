"""The environment that the Materials Project's server and client run in, and a running server.

It is made once, in the folder CRYSTALLITE_TEST_CACHE names or in the one given: some 100 s and 1.5 GB.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
REQUIREMENTS = ["emmet-api==0.87.3", "mongomock==4.3.0", "mp-api==0.46.5", "uvicorn==0.54.0"]
KEY = "0123456789abcdef0123456789ABCDEF"
VERSION = "2026.11.22"  # of the database, as the server will say


class Server(NamedTuple):
    """A running server: its address, and the file that gets a line for every request."""

    endpoint: str
    log: Path

    def requests(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


def make_environment(root: Path) -> Path:
    """Return the interpreter of an environment with REQUIREMENTS, made in `root` if it is not there."""
    root = Path(os.environ.get("CRYSTALLITE_TEST_CACHE") or root)
    digest = hashlib.sha256("\n".join(REQUIREMENTS).encode()).hexdigest()[:12]
    folder = root / f"materials-project-{digest}"
    interpreter = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "ready").exists():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        (folder / "ready").touch()
    return interpreter


@contextmanager
def running_server(python: Path, materials: list[dict[str, Any]], folder: Path) -> Iterator[Server]:
    """Run the server over `materials` until the block ends."""
    (folder / "world.json").write_text(json.dumps(materials))
    log = folder / "requests.log"
    command = [python, HERE / "materials_project_server.py", folder / "world.json", KEY, log]
    environment = {**os.environ, "MAPI_DB_VERSION": VERSION}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port, "the server did not start"
            yield Server(f"http://127.0.0.1:{port}", log)
        finally:
            process.terminate()
