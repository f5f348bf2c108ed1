"""Another project's server for a test: an environment it is installed in, and the server running.

An environment is made once, in the folder CRYSTALLITE_TEST_CACHE names or in the one given.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class Server(NamedTuple):
    """A running server: its address, and the file that gets a line for every request."""

    endpoint: str
    log: Path

    def requests(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


def installed(name: str, requirements: list[str], root: Path) -> Path:
    """Return the interpreter of an environment with `requirements`, made in `root` if it is not there."""
    root = Path(os.environ.get("CRYSTALLITE_TEST_CACHE") or root)
    digest = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:12]
    folder = root / f"{name}-{digest}"
    interpreter = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "ready").exists():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *requirements], check=True)
        (folder / "ready").touch()
    return interpreter


@contextmanager
def running(command: list[Any], log: Path, **variables: str) -> Iterator[Server]:
    """Run a server that prints its port and writes its requests to `log`, until the block ends."""
    environment = {**os.environ, **variables}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            port = next((line for line in process.stdout if line.strip().isdecimal()), "").strip()
            assert port, "the server did not start"
            yield Server(f"http://127.0.0.1:{port}", log)
        finally:
            process.terminate()


def requests_of_killed(code: str, output: Path, server: Server, pauses: Iterable[int]) -> list[str]:
    """Run `code`, which fetches to `output`: killed after so many requests each time, then to its end."""
    already = len(server.requests())
    for pause in pauses:
        process = subprocess.Popen([sys.executable, "-c", code], cwd=output.parent)
        while len(server.requests()) < already + pause and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not output.exists()
    subprocess.run([sys.executable, "-c", code], cwd=output.parent, check=True)
    return server.requests()[already:]
