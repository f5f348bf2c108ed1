"""A crystal as it comes from a file: with an id and properties, or with the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ...crystals.crystal import Crystal
from ...errors import CrystalError

CrystalResult = Crystal | CrystalError


class Record(NamedTuple):
    """A crystal of a file, or why there is none, with its id and properties."""

    id: str
    crystal: CrystalResult
    properties: Mapping[str, Any]


def attempted(read: Callable[..., Crystal], *arguments: Any) -> CrystalResult:
    """Return read(*arguments), or the CrystalError it raises."""
    try:
        return read(*arguments)
    except CrystalError as error:
        return error
