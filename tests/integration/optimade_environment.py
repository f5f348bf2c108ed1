"""The environment the OPTIMADE reference server runs in, and a running server.

It is made once, in the folder CRYSTALLITE_TEST_CACHE names or in the one given: some 20 s and 100 MB.

    python optimade_environment.py REPLIES.json

records the replies that tests/test_optimade.py replays.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
from optimade_entries import entries

from crystallite.errors import CrystalliteError
from crystallite.sources import optimade

HERE = Path(__file__).parent
REQUIREMENTS = ["optimade[server]==1.5.0", "mongomock==4.3.0"]
PROPERTIES = {
    "_exmpl_formation_energy": "formation_energy_per_atom",
    "_exmpl_thermo.pbe.energy": "pbe_energy",
    "_exmpl_is_metal": "is_metal",
    "_exmpl_origin": "origin",
}
UNUSABLE_TOO = "nelements=1"  # a filter that some usable structures fit and the unusable ones
BINARY = 'nelements=2 AND elements HAS "O"'
RECORDED = [  # filter, properties, largest page
    (UNUSABLE_TOO, PROPERTIES, 7),
    (UNUSABLE_TOO, {}, 1000),
    (BINARY, {}, 100),
    ("nelements=9", {}, 100),
    ("nelements equals 2", {}, 100),
    (BINARY, {"_exmpl_formaton_energy": "x"}, 100),
]


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
    folder = root / f"optimade-{digest}"
    interpreter = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "ready").exists():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        (folder / "ready").touch()
    return interpreter


@contextmanager
def running_server(python: Path, folder: Path) -> Iterator[Server]:
    """Run the server over `entries` until the block ends."""
    (folder / "entries.json").write_text(json.dumps(entries()))
    log = folder / "requests.log"
    command = [python, HERE / "optimade_server.py", folder / "entries.json", log]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = next((line for line in process.stdout if line.strip().isdecimal()), "").strip()
            assert port, "the server did not start"
            yield Server(f"http://127.0.0.1:{port}", log)
        finally:
            process.terminate()


def record(output: Path) -> None:
    """Write the replies to all requests that the fetches of RECORDED make; addresses are {endpoint}."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_server(make_environment(folder), folder) as server:
            for query, properties, page in RECORDED:
                optimade.PAGE = page
                with suppress(CrystalliteError):
                    optimade.fetch_optimade(
                        folder / "x.parquet",
                        server.endpoint,
                        query=query,
                        properties=properties,
                        skip_bad=True,
                    )
            replies = {}
            for request in dict.fromkeys(server.requests()):
                reply = httpx.get(server.endpoint + request.rstrip("?"))
                text = reply.text.replace(server.endpoint, "{endpoint}")
                replies[request] = {"status": reply.status_code, "body": text}
    output.write_text(json.dumps(replies, indent=1) + "\n")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
