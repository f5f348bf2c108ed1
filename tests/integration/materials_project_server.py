"""Run the Materials Project's own server code (PyPI emmet-api) over crystals from a file.

    python materials_project_server.py WORLD.json KEY REQUESTS.log

It runs in the environment that test_materials_project.py makes, not in Crystallite's. WORLD.json is a list of
materials as `world` of that test describes them. The documents are made by the Materials Project's own
document models and held in mongomock. Real are the routes, their parameters and the replies; the key check
stands in for the gateway in front of the real server. Prints the port it listens on. Every request's address
goes to REQUESTS.log, one per line.
"""

import json
import socket
import sys
from pathlib import Path
from urllib.parse import unquote

import mongomock
import uvicorn
from emmet.api.core.api import MAPI
from emmet.api.resource.utils import CollectionWithKey
from emmet.api.routes.materials.materials.resources import materials_resource
from emmet.api.routes.materials.summary.resources import summary_resource
from emmet.api.routes.materials.thermo.resources import thermo_resource
from emmet.core.mpid import AlphaID
from emmet.core.summary import SummaryDoc
from emmet.core.thermo import ThermoDoc
from emmet.core.types.typing import ID_PADLEN
from emmet.core.vasp.material import MaterialsDoc
from pymatgen.core import Structure


class AsyncCollection:
    """The few methods of pymongo's asynchronous collection that the routes use, on a mongomock collection."""

    def __init__(self, collection):
        self.collection = collection

    async def count_documents(self, criteria, **_):
        return self.collection.count_documents(criteria)

    async def estimated_document_count(self):
        return self.collection.estimated_document_count()

    async def aggregate(self, pipeline, **_):
        return Cursor(list(self.collection.aggregate(pipeline)))


class Cursor:
    def __init__(self, documents):
        self.documents = documents

    async def to_list(self):
        return self.documents


def material_id(number):
    return str(AlphaID(number, prefix="mp", padlen=ID_PADLEN))


def common(material, structure):
    """Return what every document of a material has."""
    made = MaterialsDoc.from_structure(structure).model_dump(mode="json")
    wanted = ("nsites", "elements", "nelements", "composition_reduced", "formula_pretty", "chemsys")
    return {
        **{name: made[name] for name in wanted},
        "material_id": material_id(material["number"]),
        "deprecated": material["deprecated"],
        "builder_meta": {"license": material["license"], "database_version": "2026.11.22"},
    }


def documents(material):
    """Return the core, summary and thermo documents of a material."""
    structure = Structure(material["lattice"], material["numbers"], material["frac_coords"])
    shared, values = common(material, structure), material["values"]
    tasks = [str(AlphaID(number, padlen=ID_PADLEN)) for number in material["tasks"]]
    plain = structure.as_dict()
    SummaryDoc.model_validate({**shared, "structure": plain, "origins": [], "task_ids": tasks, **values})
    thermo = []
    for kind, energies in material["thermo"].items():
        document = {**shared, **energies, "thermo_type": kind, "energy_type": "GGA", "entry_types": ["GGA"]}
        ThermoDoc.model_validate({**document, "entries": {}})
        thermo.append({**document, "thermo_id": f"{shared['material_id']}_{kind}"})
    core = {**shared, "structure": plain, "task_ids": tasks}
    MaterialsDoc.model_validate(core)
    return core, {**core, **values}, thermo


def filled(materials):
    """Return the core, summary and thermo collections."""
    database = mongomock.MongoClient().materials
    for material in materials:
        core, summary, thermo = documents(material)
        database.core.insert_one(core)
        database.summary.insert_one(summary)
        if thermo:
            database.thermo.insert_many(thermo)
    return [AsyncCollection(database[name]) for name in ("core", "summary", "thermo")]


def guarded(app, key, log):
    """Return `app` behind a key check like that of the gateway; every request is logged."""

    async def guard(scope, receive, send):
        if scope["type"] == "http":
            with log.open("a") as file:
                file.write(f"{scope['path']}?{unquote(scope['query_string'].decode())}\n")
            given = dict(scope["headers"]).get(b"x-api-key", b"").decode()
            if scope["path"] != "/heartbeat" and given != key:
                return await refuse(send)
        return await app(scope, receive, send)

    return guard


async def refuse(send):
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"message":"Invalid authentication credentials"}'})


def main(world, key, log):
    resources = [materials_resource, summary_resource, thermo_resource]
    stores = [CollectionWithKey(collection) for collection in filled(json.loads(Path(world).read_text()))]
    routes = [resource(store) for resource, store in zip(resources, stores, strict=True)]
    app = guarded(MAPI(resources={"materials": routes}).app, key, Path(log))
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    server.run(sockets=[listening])


if __name__ == "__main__":
    main(*sys.argv[1:])
