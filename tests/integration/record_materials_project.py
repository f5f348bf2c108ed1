"""Record replies of the Materials Project's own server for the ordinary tests.

    python tests/integration/record_materials_project.py

Writes tests/data/materials_project/recorded.json: materials (the truth), batch and page (sizes to ask with),
ids (to ask for), requests by name of what was fetched, and the reply to each request.
"""

from __future__ import annotations

import json
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from installed_server import Server
from materials_project_environment import KEY, REQUIREMENTS, make_environment, running_server
from materials_project_world import requested, world

from crystallite.sources.web.materials_project import fetch_materials, queries

OUTPUT = Path(__file__).parents[1] / "data" / "materials_project" / "recorded.json"
N_MATERIALS = 14
MAX_ATOMS = 4
BATCH, PAGE = 5, 4


def small_world() -> list[dict[str, Any]]:
    """Return some materials with small cells: of each kind that `world` makes, and of both datasets."""
    small = [material for material in world() if len(material["numbers"]) <= MAX_ATOMS]
    elastic = [material for material in small if material["values"]["bulk_modulus"]]
    odd = [m for m in small if m["deprecated"] or m["license"] == "BY-NC" or "GGA_GGA+U" not in m["thermo"]]
    chosen = {material["number"]: material for material in [*odd[:6], *elastic[:4], *small]}
    return list(chosen.values())[:N_MATERIALS]


def fetch_all(server: Server, ids: list[str], folder: Path) -> dict[str, list[str]]:
    """Return the requests of each kind of fetch."""
    wanted: dict[str, dict[str, Any]] = {
        "ids": {"ids": ids},
        "R2SCAN": {"ids": ids, "thermo_type": "R2SCAN"},
        "everything": {"everything": True},
    }
    requests = {}
    for name, what in wanted.items():
        before = len(server.requests())
        fetch_materials(folder / "mp.parquet", KEY, endpoint=server.endpoint, **what)
        requests[name] = server.requests()[before:]
    return requests


def ask(server: Server, request: str, key: str = KEY) -> dict[str, Any]:
    """Return status, content type and text of the reply to a request."""
    path, _, query = request.partition("?")
    address = f"{server.endpoint}{path}?{urllib.parse.quote(query, safe='=&,')}"
    asked = urllib.request.Request(address, headers={"X-API-KEY": key})
    try:
        with urllib.request.urlopen(asked) as reply:
            return {
                "status": reply.status,
                "type": reply.headers.get_content_type(),
                "text": reply.read().decode(),
            }
    except urllib.error.HTTPError as error:
        return {"status": error.code, "type": error.headers.get_content_type(), "text": error.read().decode()}


def main() -> None:
    queries.BATCH, queries.PAGE = BATCH, PAGE
    materials = small_world()
    ids = [f"mp-{number}" for number in requested(materials)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_server(make_environment(folder), materials, folder) as server:
            requests = fetch_all(server, ids, folder)
            replies = {line: ask(server, line) for lines in requests.values() for line in lines}
            bad_request = ask(server, "/materials/core/?limit=3")
    recorded = {
        "server": REQUIREMENTS,
        "batch": BATCH,
        "page": PAGE,
        "materials": materials,
        "ids": ids,
        "requests": requests,
        "bad_request": bad_request,
        "replies": replies,
    }
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
