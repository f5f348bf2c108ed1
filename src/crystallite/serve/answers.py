"""Texts with structures as they are sent, read; and what is known of them, as JSON or as CSV."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any, NamedTuple

from ..crystals.crystal import Crystal
from ..crystals.notices import gathered, summary
from ..errors import CrystalError
from ..files.typed_tables import csv_rows
from ..models.tables import Extras, joined, table_columns
from ..sources.reading.structure_files import TakenIds
from ..sources.reading.texts import StructureText, read_text
from .catalogue import Selected
from .evaluation import Row, tables_of


class Sent(NamedTuple):
    """A crystal that was sent: its id, the name of the text it was in, and itself."""

    id: str
    source: str
    crystal: Crystal


class Read(NamedTuple):
    """What texts held: crystals, what cannot be used and why, and what is odd about the others."""

    crystals: list[Sent]
    errors: list[CrystalError]
    notices: list[str]


def read_texts(texts: Iterable[StructureText], ids: TakenIds, most_atoms: int) -> Read:
    """Read texts; their names are different. Ids that were taken have the text's name before them."""
    found = Read([], [], [])
    with gathered() as odd:
        for text in texts:
            for name, crystal, _ in read_text(text):
                if isinstance(crystal, CrystalError):
                    found.errors.append(CrystalError(text.name, _reason(crystal, text.name)))
                elif len(crystal) > most_atoms:
                    reason = f"{len(crystal):,} atoms; this server takes {most_atoms:,}"
                    found.errors.append(CrystalError(text.name, reason))
                else:
                    found.crystals.append(Sent(ids.of(name, text.name), text.name, crystal))
    found.notices.extend(summary(odd))
    return found


def _reason(error: CrystalError, name: str) -> str:
    """Return why a text cannot be used, and where in it, without its name twice."""
    place = error.source.removeprefix(name).lstrip(", ")
    return f"{place}: {error.reason}" if place else error.reason


def as_json(sent: Sent, row: Row, selected: Sequence[Selected], extras: Extras) -> dict[str, Any]:
    """Return the prediction of a crystal as an answer has it."""
    properties = []
    for (predictor, models), columns in zip(selected, row, strict=True):
        targets = predictor.model.targets
        for name, unit, model in zip(targets.names, targets.units, models, strict=True):
            properties.append(
                {"name": name, "model": model, "unit": unit, **_property(name, columns, extras)}
            )
    return {
        "material_id": sent.id,
        "source": sent.source,
        "formula": sent.crystal.formula,
        "properties": properties,
    }


def _property(name: str, columns: dict[str, Any], extras: Extras) -> dict[str, Any]:
    return {
        "value": columns[name],
        "std": _number(columns.get(f"{name}_std")),
        "lower": _number(columns.get(f"{name}_lower")),
        "upper": _number(columns.get(f"{name}_upper")),
        "novelty": _number(columns.get("novelty")),
        "unseen_elements": columns.get("unseen_elements", "").split(),
        "neighbours": [
            {
                "id": columns[beginning],
                "distance": columns[f"{beginning}_distance"],
                "value": _number(columns[f"{beginning}_{name}"]),
            }
            for beginning in (f"neighbour_{k + 1}" for k in range(extras.neighbours))
            if columns.get(beginning)
        ],
    }


def _number(value: float | None) -> float | None:
    """Return a number as JSON has it: what is not finite is unknown."""
    return value if value is not None and math.isfinite(value) else None


class CsvAnswer:
    """The table that `crystallite predict` writes, made part by part."""

    def __init__(self, selected: Sequence[Selected], extras: Extras) -> None:
        self._predictors, self._extras = [predictor for predictor, _ in selected], extras
        self._text = StringIO()
        self._write = csv_rows(self._text, table_columns(self._predictors, extras))

    def add(self, sent: Sequence[Sent], rows: Sequence[Row]) -> None:
        """Add the lines of crystals."""
        if rows:
            self._write([one.id for one in sent], joined(self._predictors, tables_of(rows), self._extras))

    def text(self) -> str:
        """Return what was added, and the line with the names of the columns."""
        return self._text.getvalue()
