"""What the cells of a column of text are: numbers, truth values or text; and which are missing values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

# of a column of numbers, in small or capital letters; in a column of text they are texts
MISSING = {"", "none", "na", "n/a", "nan", "null", "<na>", "#n/a", "#na", "-nan", "-", "--"}
NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
COMMA_NUMBER = r"[+-]?([0-9]+(,[0-9]*)?|,[0-9]+)([eE][+-]?[0-9]+)?"
INFINITE = r"[+-]?[iI][nN][fF]([iI][nN][iI][tT][yY])?"
UNIT = r"(\s+[^\d\s]\S*|m?eV\S*|[GM]Pa|Å|%)"
ALMOST = rf"({NUMBER}{UNIT}|{COMMA_NUMBER}{UNIT}|[+-]?[0-9][0-9.,_']*)"  # a number for a human, not for us

_number, _comma_number, _infinite, _almost = (
    re.compile(pattern).fullmatch for pattern in (NUMBER, COMMA_NUMBER, INFINITE, ALMOST)
)


class Column(NamedTuple):
    """A column as Arrow has it, and what was decided by one of its cells: (row, sentence), in their order.

    infinite: the first row with an infinite number, or None.
    """

    values: pa.Array
    decisions: list[tuple[int, str]]
    infinite: int | None = None


def is_missing(text: str) -> bool:
    """Whether the text stands for a missing value among numbers."""
    return text.casefold() in MISSING


def is_number_text(text: str, *, comma: bool = False) -> bool:
    """Whether the text is a finite or infinite number; comma: or has a comma as its decimal sign."""
    found = _number(text) or _infinite(text) or (comma and _comma_number(text))
    return found is not None and found is not False


def comma_is_decimal(columns: Sequence[Sequence[str]]) -> bool:
    """Whether numbers in the columns have a decimal comma: some have a comma, and none has a point."""
    found = False
    for column in columns:
        for text in column:
            if "." in text and _number(text):
                return False
            found = found or ("," in text and _comma_number(text) is not None)
    return found


def column_of(cells: Sequence[str], *, comma: bool = False) -> Column:
    """Return the column of cells, which are stripped of spaces; empty ones are missing values.

    Numbers if all cells but those of MISSING are: integers, unless some have a point, an exponent or more
    than 64 bits. Truth values if all are true or false. Else text, and so are whole numbers with leading
    zeros, which are ids. comma: the decimal sign is the comma.
    """
    known = [(row, text) for row, text in enumerate(cells) if not is_missing(text)]
    texts = [text for _, text in known]
    if texts and all(text.casefold() in {"true", "false"} for text in texts):
        return Column(_spread(len(cells), known, [t.casefold() == "true" for t in texts], pa.bool_()), [])
    decisions = []
    if comma and any("," in text for text in texts) and all(_comma_number(text) for text in texts):
        row, first = next((row, text) for row, text in known if "," in text)
        texts = [text.replace(",", ".") for text in texts]
        decisions.append(
            (row, f"the comma is the decimal sign: {first!r} is {texts[known.index((row, first))]}")
        )
    other = next((place for place, text in enumerate(texts) if not (_number(text) or _infinite(text))), None)
    if other is not None:
        return _text(cells, known, other)
    if texts and all(_is_integer(text) for text in texts) and any(_is_padded(text) for text in texts):
        return Column(_nullable(cells), [])
    return _numbers(cells, known, texts, decisions)


def _numbers(
    cells: Sequence[str], known: list[tuple[int, str]], texts: list[str], decisions: list[tuple[int, str]]
) -> Column:
    values: list[Any]
    values, kind = [float(text) for text in texts], pa.float64()
    if values and max(map(abs, values)) < 2**63 and all(_is_integer(text) for text in texts):
        values, kind = [int(text) for text in texts], pa.int64()
    infinite = next((row for (row, _), v in zip(known, values, strict=True) if abs(v) == float("inf")), None)
    words = [
        (row, text) for row, text in enumerate(cells) if is_missing(text) and text.casefold() not in _PLAIN
    ]
    if words and texts:
        count = f" ({len(words):,} such values)" if len(words) > 1 else ""
        decisions = [*decisions, (words[0][0], f"{words[0][1]!r} is a missing value{count}")]
    return Column(_spread(len(cells), known, values, kind), decisions, infinite)


_PLAIN = {"", "nan"}  # missing values that need no words


def _text(cells: Sequence[str], known: list[tuple[int, str]], other: int) -> Column:
    """Return a column of text; if it was almost one of numbers, with the cell that decided."""
    looks_like_numbers = any(_number(text) or _almost(text) for _, text in known)
    row, cell = known[other]
    why = f"it is text because of {cell!r}; numbers stand alone, as 1000.5, and units go with --unit"
    return Column(_nullable(cells), [(row, why)] if looks_like_numbers else [])


def _nullable(cells: Sequence[str]) -> pa.Array:
    return pa.array([text or None for text in cells], pa.string())


def _spread(length: int, known: list[tuple[int, str]], values: list[Any], kind: pa.DataType) -> pa.Array:
    """Return an array of `length` with the values in the rows of `known`, null elsewhere."""
    full: list[Any] = [None] * length
    for (row, _), value in zip(known, values, strict=True):
        full[row] = value
    return pa.array(full, kind)


def _is_integer(text: str) -> bool:
    return text.lstrip("+-").isdecimal()


def _is_padded(text: str) -> bool:
    digits = text.lstrip("+-")
    return len(digits) > 1 and digits[0] == "0"
