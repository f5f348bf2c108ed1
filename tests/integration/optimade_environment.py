"""The environment the OPTIMADE reference server runs in, and a running server.

Making it takes some 20 s and 100 MB, see installed_server.

    python optimade_environment.py REPLIES.json

records the replies that tests/sources/test_optimade.py replays.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from installed_server import Server, installed, running
from optimade_entries import entries

from crystallite.errors import CrystalliteError
from crystallite.sources.web import optimade

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


def make_environment(root: Path) -> Path:
    """Return the interpreter of the environment, made in `root` if it is not there."""
    return installed("optimade", REQUIREMENTS, root)


@contextmanager
def running_server(python: Path, folder: Path) -> Iterator[Server]:
    """Run the server over `entries` until the block ends."""
    (folder / "entries.json").write_text(json.dumps(entries()))
    log = folder / "requests.log"
    command = [python, HERE / "optimade_server.py", folder / "entries.json", log]
    with running(command, log) as server:
        yield server


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
