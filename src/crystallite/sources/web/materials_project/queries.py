"""What is asked of the Materials Project's server, in pages and batches.

Its routes and parameters: PyPI emmet-api, emmet/api/routes/materials. A reply is
{"data": [document, ...], "meta": {"total_doc": number}}. Deprecated documents only come when asked for by
themselves, so everything is asked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ....errors import CrystalliteError
from ..client import JsonClient, ServiceError
from ..journal import Journal
from .ids import format_id, id_number

ENDPOINT = "https://api.materialsproject.org"
DASHBOARD = "https://next-gen.materialsproject.org/api"
KEY_LENGTH = 32
BATCH = 500  # ids in one address; longer addresses are refused
PAGE = 1000  # documents in one reply, the server's limit
FIRST_ATTEMPTS = 3  # a first contact that fails is more likely a missing network than a busy server

Document = dict[str, Any]


def make_client(endpoint: str, key: str, journal: Journal) -> JsonClient:
    """Return a client of the server at `endpoint`; CrystalliteError if `key` cannot be a key."""
    headers = {"X-API-KEY": check_key(key)}
    return JsonClient("the Materials Project", endpoint, headers, journal, f"Copy it from {DASHBOARD}")


def check_key(key: str) -> str:
    """Return an API key without surrounding space; CrystalliteError if it cannot be one."""
    key = key.strip()
    if len(key) == KEY_LENGTH and key.isascii() and key.isalnum():
        return key
    wrong = f"this one has {len(key)}" if len(key) != KEY_LENGTH else "this one has others"
    raise CrystalliteError(
        f"a Materials Project API key is {KEY_LENGTH} letters and digits; {wrong}. Copy it from {DASHBOARD}"
        " (keys of the old site do not work)"
    )


def database_version(client: JsonClient) -> str:
    """Return the version of the database that the server has now."""

    def is_heartbeat(content: Any) -> bool:
        return isinstance(content, dict) and isinstance(content.get("db_version"), str)

    return str(client.get_now("/heartbeat", {}, is_heartbeat, FIRST_ATTEMPTS)["db_version"])


def iter_listed(client: JsonClient, chemical_systems: Sequence[str]) -> Iterator[Document]:
    """Yield material_id of all that is not deprecated; of some chemical systems (Li-O) if any are given."""
    parameters = {"_fields": "material_id", "_sort_fields": "material_id", "deprecated": "false"}
    if chemical_systems:
        parameters["chemsys"] = ",".join(chemical_systems)
    for document, _ in _iter_documents(client, "/materials/summary/", parameters):
        yield document


def iter_by_id(
    client: JsonClient,
    path: str,
    id_parameter: str,
    numbers: Sequence[int],
    parameters: Mapping[str, str],
    on_batch: Callable[[int], object] | None = None,
) -> Iterator[tuple[Document, str]]:
    """Yield (document, day it was received) of the ids `numbers`, one batch per request.

    id_parameter: `task_ids` or `material_ids`. on_batch: called with the number of ids of each batch done.
    """
    for start in range(0, len(numbers), BATCH):
        batch = numbers[start : start + BATCH]
        asked = {**parameters, id_parameter: ",".join(map(format_id, batch))}
        yield from _iter_documents(client, path, asked)
        if on_batch:
            on_batch(len(batch))


def document_number(document: Document) -> int:
    """Return the integer of a document's material_id."""
    return numbers_of([document.get("material_id")])[0]


def numbers_of(ids: Iterable[Any]) -> list[int]:
    """Return the integers of ids in a reply, whatever their spelling."""
    try:
        return [id_number(str(text)) for text in ids]
    except ValueError as error:
        raise ServiceError(
            f"the Materials Project answered with an id that cannot be read: {error}"
        ) from None


def _iter_documents(
    client: JsonClient, path: str, parameters: Mapping[str, str]
) -> Iterator[tuple[Document, str]]:
    """Yield (document, day) of all pages of a query."""
    skip, total = 0, 1
    while skip < total:
        asked = {**parameters, "_limit": str(PAGE), "_skip": str(skip)}
        reply = client.get(path, asked, _is_page)
        documents, total = reply.content["data"], reply.content["meta"]["total_doc"]
        if not documents and skip < total:
            raise ServiceError(f"{client.service} announced {total} documents and stopped after {skip}")
        yield from ((document, reply.day) for document in documents)
        skip += len(documents)


def _is_page(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("data"), list)
        and all(isinstance(document, dict) for document in content["data"])
        and isinstance(content.get("meta"), dict)
        and isinstance(content["meta"].get("total_doc"), int)
    )
