"""Run the OPTIMADE reference server (PyPI optimade, mongomock) over structures from a file.

    python optimade_server.py ENTRIES.json REQUESTS.log

It runs in the environment that test_optimade_server.py makes, not in Crystallite's. ENTRIES.json is a list of
structures as the server stores them. Prints the port it listens on. Every request's address goes to
REQUESTS.log, one per line.
"""

import json
import socket
import sys
from pathlib import Path

import uvicorn
from optimade.server.config import ServerConfig
from optimade.server.create_app import create_app
from optimade.server.entry_collections.mongo import get_mongo_client

FIELDS = [
    {"name": "formation_energy", "type": "float", "unit": "eV/atom", "description": "per atom, relaxed"},
    {"name": "is_metal", "type": "boolean", "description": "no band gap"},
    {"name": "origin", "type": "string", "description": "where it comes from"},
    {"name": "thermo", "type": "dictionary", "description": "energies by method"},
]


def logged(app, log):
    """Return `app` with every request written to `log`."""

    async def wrapped(scope, receive, send):
        if scope["type"] == "http":
            with log.open("a") as file:
                file.write(f"{scope['path']}?{scope['query_string'].decode()}\n")
        return await app(scope, receive, send)

    return wrapped


def main(entries, log):
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = ServerConfig(
        insert_test_data=False,
        database_backend="mongomock",
        base_url=f"http://127.0.0.1:{port}",
        provider={"prefix": "exmpl", "name": "Example", "description": "For a test"},
        provider_fields={"structures": FIELDS},
        page_limit=20,
        page_limit_max=100,
        log_dir=Path(log).parent,
        log_level="warning",
    )
    app = create_app(config)
    collection = get_mongo_client(config)[config.mongo_database][config.structures_collection]
    collection.insert_many(json.loads(Path(entries).read_text()))
    print(port, flush=True)
    server = uvicorn.Server(uvicorn.Config(logged(app, Path(log)), log_level="warning"))
    server.run(sockets=[listening])


if __name__ == "__main__":
    main(*sys.argv[1:])
