"""The fast way through a plain CIF, the kind that programs write: one block, words and quoted words, ASCII.

What is read here is what gemmi reads, to the letter; anything less plain (text fields, several blocks, words
with an underscore, mistakes) is left to it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from .blocks import Block, Rows

_SHORT = 10_000  # characters of values that are kept: symmetry operations, which many files have in common
_BLANK = r"[ \t\n]"
_CHARACTERS = r"!%&(-:<-Z\\^`a-~"  # those of words that need no second look: no quotes, and no _ as in loop_
_QUOTED = r"'[ -&(-~\t]*'|\"[ !#-~\t]*\""
_SPACE = rf"(?:{_BLANK}++|#[ -~\t]*+(?:\n|\Z))*+"  # comments included
_START = re.compile(rf"{_SPACE}[dD][aA][tT][aA]_([!-~]++){_BLANK}")
_ITEM = re.compile(
    rf"{_SPACE}(?:(_[!-~]++)[ \t]++({_QUOTED}|[{_CHARACTERS}]++)(?:{_BLANK}|\Z)"
    rf"|[lL][oO][oO][pP]_{_BLANK}++((?:_[!-~]++{_BLANK}++)++)([{_CHARACTERS}'\" \t\n]++)|\Z)"
)
_WORDS = re.compile(rf"(?:(?:{_QUOTED}|[{_CHARACTERS}]++)(?:{_BLANK}++|\Z))++")
_WORD = re.compile(rf"{_QUOTED}|[{_CHARACTERS}]++")


def read_plain(text: str) -> Block | None:
    """Return the only block of a plain CIF; None if the text is not plain, or no CIF."""
    start = _START.match(text)
    if start is None:
        return None
    block, position = Block(start[1]), start.end()
    while position < len(text):
        item = _ITEM.match(text, position)
        if item is None:
            return None
        position = item.end()
        tag, value, header, body = item.groups()
        if tag:
            block.add(tag, value)
        elif header:
            body, ends_well = _cut(body, text[position : position + 1])
            tags, values = header.split(), _words(body)
            if not ends_well or not values or len(values) % len(tags):
                return None
            block.add_loop(Rows(tags, values))
            position = item.start(4) + len(body)
    return block


def _cut(body: str, following: str) -> tuple[str, bool]:
    """The values of a loop without the loop_ after them, and whether it is clear that they end there."""
    if following == "_" and body[-4:].lower() == "loop":
        body = body[:-4]
    return body, not following or (following in "_#" and body[-1:] in (" ", "\t", "\n"))


def _words(text: str) -> list[str]:
    """The words of a loop's values; none if a quote is odd."""
    if "'" not in text and '"' not in text:
        return text.split()
    return list(_short_words(text) if len(text) < _SHORT else _quoted_words(text))


def _quoted_words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text)) if _WORDS.fullmatch(text.strip()) else ()


_short_words = lru_cache(maxsize=512)(_quoted_words)
