"""The text of a CIF as data blocks; what is wrong far from the structure is forgiven.

gemmi reads what keeps to the rules of CIF 1.1. What does not is read word by word: characters that are not
ASCII, text before the first block, values of several words without quotes, loops that are cut, and the
quotes, lists and tables of CIF 2.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gemmi import cif

from .blocks import Block, Rows, UnreadableError, normalized
from .plain import read_plain

_FIELD = r"^;(?s:.*?)(?:^;|\Z)|\#.*"
_QUOTED = r"'[^'\n]*+(?:'(?!\s|\Z)[^'\n]*+)*+'(?=\s|\Z)"
_TRIPLE = r"'''(?s:.*?)'''"
_REST = r"['\"].*|\S+"
_BOTH_QUOTES = [
    f"{quoted}|{quoted.replace(chr(39), chr(34))}" for quoted in (_QUOTED, _TRIPLE, r"'[^'\n]*+'")
]
_WORDS = re.compile("|".join([_FIELD, _BOTH_QUOTES[0], _REST]), re.MULTILINE)
_WORDS_OF_CIF2 = re.compile("|".join([_FIELD, *_BOTH_QUOTES[1:], r"[\[{]", _REST]), re.MULTILINE)


_SYMMETRY_TAGS = re.compile(
    r"^[ \t]*(_(?:symmetry|space_group|cell_modulation)\S+)", re.MULTILINE | re.IGNORECASE
)


def read_blocks(text: str) -> tuple[list[Block], str]:
    """Return the data blocks of a CIF, and why gemmi refuses it ("" if it does not).

    Raises UnreadableError if the text is empty, binary or has no block.
    """
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise UnreadableError("the file is empty")
    if "\0" in text:
        raise UnreadableError("not a text file in UTF-8; save it as UTF-8")
    plain = read_plain(text)
    if plain is not None:
        return [plain], ""
    try:
        return [of_gemmi(block) for block in cif.read_string(text, 0)], ""
    except (ValueError, RuntimeError) as error:
        reason = _syntax_reason(error)
    blocks = _read_word_by_word(text.replace("\x1a", " "), reason)  # the end of DOS files
    seen = {tag for block in blocks for tag in block.tags}
    if not blocks or not seen.issuperset(map(normalized, _SYMMETRY_TAGS.findall(text))):
        raise UnreadableError(reason)
    return blocks, reason


def of_gemmi(found: Any) -> Block:
    """Return the block of one of gemmi's: raw values, in its order."""
    block = Block(found.name)
    for item in found:
        pair = item.pair
        if pair is not None:
            block.add(*pair)
        elif item.loop is not None:
            block.add_loop(item.loop)
    return block


def _syntax_reason(error: Exception) -> str:
    found = re.match(r"\w+:(\d+)(?::\d+\(\d+\)| in data_\S*): (.*)", str(error), re.DOTALL)
    return f"not a valid CIF, line {found[1]}: {found[2]}" if found else f"not a valid CIF: {error}"


def _read_word_by_word(text: str, reason: str) -> list[Block]:
    """Read a text that breaks the rules; tags of which something is missing get the fault `reason`.

    Words that follow a value on its line belong to it, others that have no tag are passed over.
    """
    blocks: list[Block] = []
    loop: Rows | None = None
    tag, value = "", ""
    for word, is_plain, same_line in _words(text):
        lowered = word[:7].lower() if is_plain else ""
        starts_item = lowered.startswith(("_", "data_", "loop_", "save_", "global_", "stop_"))
        in_header = loop is not None and not loop.values and word[0] == "_" and is_plain
        if starts_item and not in_header and blocks:
            _finish(blocks[-1], loop, tag, value, reason)
            loop, tag, value = None, "", ""
        if lowered.startswith("data_"):
            blocks.append(Block(word[5:]))
        elif not blocks:
            continue
        elif lowered.startswith("loop_"):
            loop = Rows([], [])
        elif in_header and loop is not None:
            loop.tags.append(word)
        elif lowered.startswith("_"):
            tag = word
        elif loop is not None and same_line and _is_cut_at_header(loop):
            tag, value = loop.tags.pop(), word
            _finish(blocks[-1], loop, "", "", reason)
            loop = None
        elif loop is not None:
            loop.values.append(word)
        elif tag and not value:
            value = word
        elif tag and same_line:
            value = f"{value} {word}"
    if blocks:
        _finish(blocks[-1], loop, tag, value, reason)
    return blocks


def _finish(block: Block, loop: Rows | None, tag: str, value: str, reason: str) -> None:
    """Add the loop or the value that has come to its end."""
    if loop is not None and loop.tags:
        block.add_loop(loop)
        if not loop.values or len(loop.values) % len(loop.tags):
            for name in loop.tags:
                block.add_fault(name, reason)
    elif tag:
        block.add(tag, value)
        if value[:1] in ("'", '"', ";") and not _is_closed(value):
            block.add_fault(tag, reason)


def _is_cut_at_header(loop: Rows) -> bool:
    """Whether the last tag of a loop that has no values yet is of another category: a value of its own."""
    first, last = loop.tags[:1], loop.tags[1:][-1:]
    return not loop.values and bool(last) and re.split("[_.]", first[0])[1] != re.split("[_.]", last[0])[1]


def _is_closed(value: str) -> bool:
    return len(value) > 1 and value[-1] == value[0]


def _words(text: str) -> Iterator[tuple[str, bool, bool]]:
    """Yield the words: text, whether it has no quotes around it, and whether it is on the last one's line."""
    is_cif2 = re.match(r"\s*#\\#CIF_2", text) is not None
    end = depth = 0
    for match in (_WORDS_OF_CIF2 if is_cif2 else _WORDS).finditer(text):
        word, same_line = match[0], "\n" not in text[end : match.start()]
        if word[0] == "#":
            continue
        end = match.end()
        if is_cif2 and not (word[0] in "'\";" or (depth == 0 and word[0] not in "[{")):
            opened = depth == 0
            depth = max(0, depth + word.count("[") + word.count("{") - word.count("]") - word.count("}"))
            if not opened:
                continue
            word = "'a list or table'"
        elif depth:
            continue
        if is_cif2 and word[:3] in ("'''", '"""'):
            word = f"\n;{word[3:-3]}\n;".removeprefix("\n")
        yield word, word[0] not in "'\";", same_line
