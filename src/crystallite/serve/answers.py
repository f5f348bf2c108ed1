"""What is known of crystals, as JSON and as the table of the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import StringIO
from typing import Any

from ..files.typed_tables import csv_rows
from ..models.tables import Extras, joined, table_columns
from .catalogue import Selected
from .evaluation import Row, tables_of
from .reading import Sent


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
