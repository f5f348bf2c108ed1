"""Ids of the Materials Project: their forms, and the lists of the CGCNN article.

An id is an integer in one of several spellings: mp-149; in letters (base 26, a = 0), mp-aaaaaaft; and for
tasks without a prefix, aaaaaaft. Only the integers can be compared. emmet-core calls the letters AlphaID.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ....datasets.parquet import open_parquet
from ....errors import CrystalliteError

LAST_LEGACY = 3_347_529  # greater ids are written in letters only (emmet-core, AlphaID._cut_point)
N_LETTERS = 8
ARTICLE_LISTS = ("formation", "band-gap", "elastic", "all")

_ID = re.compile(r"(?:(mp|mvc)-)?(?:(\d+)|([a-z]+))")


def id_number(text: str) -> int:
    """Return the integer of an id in any spelling; ValueError if it is none.

    Letters without a prefix must be at least 8, as the server writes them, so that a word is not an id.
    """
    match = _ID.fullmatch(text)
    if match is None or (match[3] and not match[1] and len(match[3]) < N_LETTERS):
        raise ValueError(f"{text!r} is not an id such as mp-149")
    if match[2]:
        return int(match[2])
    number = 0
    for letter in match[3]:
        number = 26 * number + ord(letter) - ord("a")
    return number


def format_id(number: int) -> str:
    """Return the usual spelling of a material's id: mp-149, or letters where that form has ended."""
    if number <= LAST_LEGACY:
        return f"mp-{number}"
    letters = ""
    while number:
        number, digit = divmod(number, 26)
        letters = chr(ord("a") + digit) + letters
    return f"mp-{letters.rjust(N_LETTERS, 'a')}"


def is_foreign(text: str) -> bool:
    """Whether an id is of the separate mvc- numbering.

    The server drops the prefix: it takes mvc-13931, which is part of mp-1008985, for the unrelated mp-13931.
    """
    return text.startswith("mvc-")


def check_ids(ids: Iterable[str], source: str = "ids") -> list[str]:
    """Return ids without repetitions; CrystalliteError naming `source` if one is not an id."""
    unique = list(dict.fromkeys(ids))
    for text in unique:
        try:
            id_number(text)
        except ValueError as error:
            raise CrystalliteError(f"{source}: {error}") from None
    if not unique:
        raise CrystalliteError(f"{source}: no ids")
    return unique


def article_ids(name: str) -> list[str]:
    """Return a list of the CGCNN article (Xie and Grossman, PRL 120, 145301, 2018) in its published order.

    name: `formation` (46,744 ids, for all energies), `band-gap` (27,430), `elastic` (3,402) or `all`; the
    first contains the others. They are task ids of 2018: a material may be listed twice and may have another
    id now.
    Source: the authors' lists as kept in github ricet8ur/rcgcnn c27d3f5.
    """
    if name not in ARTICLE_LISTS:
        raise CrystalliteError(f"no article list {name!r}; there are: {', '.join(ARTICLE_LISTS)}")
    column = {"band-gap": "band_gap", "elastic": "elastic"}.get(name)
    with open_parquet(Path(__file__).parents[3] / "data" / "article_ids.parquet") as file:
        table = file.read()
    if column:
        table = table.filter(table[column])
    return [f"mp-{number}" for number in table["number"].to_pylist()]
