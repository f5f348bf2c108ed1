"""Which material an id means today.

The article's ids are of calculations (tasks). The Materials Project collects calculations of the same crystal
under one material, whose id is that of one of them; so ids are looked up among tasks first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..client import JsonClient
from .ids import format_id, id_number, is_foreign
from .queries import Document, document_number, iter_by_id, numbers_of

FoundBy = Literal["task id", "material id", "not found"]
WAYS: tuple[tuple[FoundBy, str], ...] = (("task id", "task_ids"), ("material id", "material_ids"))
FOREIGN = "mvc- ids cannot be looked up; give the mp- id"


@dataclass(frozen=True)
class Resolved:
    """An id that was asked for, and what became of it.

    number: the material's id today as an integer, None if there is none. problem: why the material is not in
    the dataset, empty if it is.
    """

    requested_id: str
    number: int | None
    deprecated: bool | None
    found_by: FoundBy
    problem: str = ""

    @property
    def material_id(self) -> str | None:
        """The material's id today, such as mp-149."""
        return None if self.number is None else format_id(self.number)


def resolve_ids(
    client: JsonClient, requested: Sequence[str], on_found: Callable[[int], object]
) -> list[Resolved]:
    """Look up ids as task ids and then as material ids, each first among what is not deprecated.

    on_found: called with the number of ids found by each reply.
    """
    known: dict[int, tuple[int, bool, FoundBy]] = {}
    wanted = list(dict.fromkeys(id_number(text) for text in requested if not is_foreign(text)))
    for found_by, parameter in WAYS:
        for deprecated in (False, True):
            missing = [number for number in wanted if number not in known]
            found = _look_up(client, parameter, missing, deprecated)
            known.update({number: (material, deprecated, found_by) for number, material in found.items()})
            on_found(len(found))
    return [_resolved(text, known) for text in requested]


def _look_up(
    client: JsonClient, parameter: str, numbers: Sequence[int], deprecated: bool
) -> Mapping[int, int]:
    """Return asked number -> material's number, the smallest if several have it."""
    asked, found = set(numbers), dict[int, int]()
    parameters = {"_fields": "material_id,task_ids,deprecated", "deprecated": str(deprecated).lower()}
    for document, _ in iter_by_id(client, "/materials/core/", parameter, numbers, parameters):
        material = document_number(document)
        for number in asked.intersection(_names(document, parameter)):
            found[number] = min(material, found.get(number, material))
    return found


def _names(document: Document, parameter: str) -> Iterable[int]:
    return numbers_of(
        document.get("task_ids") or [] if parameter == "task_ids" else [document["material_id"]]
    )


def _resolved(text: str, known: Mapping[int, tuple[int, bool, FoundBy]]) -> Resolved:
    if is_foreign(text):
        return Resolved(text, None, None, "not found", FOREIGN)
    if (number := id_number(text)) not in known:
        return Resolved(text, None, None, "not found", "no material has this id")
    return Resolved(text, *known[number])
