"""Ways to damage an input: each is a function of the input and a random generator, and of nothing else."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

NUMBERS = [
    *("0", "-0", "1", "-1", "0.5", "1e-320", "1e308", "-1e308", "1e999", "nan", "-inf", "1e9", "1e-9"),
    *(
        "99999999999999999999",
        "2147483648",
        "-2147483649",
        "65536",
        "256",
        "255",
        "119",
        "1/0",
        "1/3",
        "0x10",
    ),
    *("1_000", "1,5", "0.33333(5)", "1(", "?", ".", "1e", "--1", "٣"),
]
WORDS = [
    *("", " ", "None", "null", "NaN", "true", "loop_", "data_", "save_", "_", "#", ";", "'", '"', "\\", "$"),
    *("../../x", "/", "~", "C:\\x", "a" * 300, "é", "\ufeff", "\0", "\r\n", "\n", "\t", ",", ";;", "=1+1"),
    *("H", "Og", "Xx", "D", "Vac", "Fe2+", "Fm-3m", "P 1", "x,y,z", "-x,-y,-z", "x+1e99,y,z", "x/0,y,z", "@"),
]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 119, 2**31, 2**63, 2**64, 10**30, 0.5, 1e308, 1e-320, float("nan")),
    *(
        float("inf"),
        "",
        "x",
        "nan",
        "1",
        "H",
        "\0",
        "é" * 50,
        [],
        [[]],
        {},
        {"": ""},
        [1, "a", None],
        [0.0] * 3,
    ),
    *([[0.0] * 3] * 3, [[1, 0, 0], [0, 1, 0], [0, 0, 1e-9]], {"@class": "Structure"}, ["H", "H"], b"\xff"),
]
DEEP = "deep"  # stands for lists in lists
_TOKEN = re.compile(rb"[-+.\w]+")
_NUMBER = re.compile(rb"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")


def damaged(data: bytes, rng: Random, *, text: bool = True) -> bytes:
    """Return the bytes after one to five changes; text: changes of numbers, words and lines among them."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
        ways = _TEXT_WAYS if text and rng.random() < 0.8 else _BYTE_WAYS
        data = rng.choice(ways)(data, rng)
    return data


def damaged_json(value: Any, rng: Random) -> Any:
    """Return a JSON value after one to three changes of its nodes."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = _changed_node(value, rng)
    return value


def json_bytes(value: Any) -> bytes:
    """Return JSON, its odd values as far as they can be written, and DEEP with a number as nested lists."""
    text = json.dumps(value, default=repr)
    text = re.sub(f'"{DEEP}(\\d+)"', lambda match: "[" * int(match[1]) + "]" * int(match[1]), text)
    return text.encode("utf-8", "surrogatepass")


def _changed_node(value: Any, rng: Random) -> Any:
    """Change one node, the deeper the likelier."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        roll = rng.random()
        if roll < 0.1:
            return {name: item for name, item in value.items() if name != key}
        if roll < 0.15:
            return {
                rng.choice((*WORDS, *value)) if name == key else name: item for name, item in value.items()
            }
        return {**value, key: _changed_node(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        roll = rng.random()
        if roll < 0.1:
            return value[:place] + value[place + 1 :]
        if roll < 0.15:
            return value[: place + 1] + value[place:]
        return [*value[:place], _changed_node(value[place], rng), *value[place + 1 :]]
    if rng.random() < 0.03:
        return f"{DEEP}{rng.choice((10, 100, 3000, 100_000))}"
    return rng.choice(VALUES)


# ---- bytes


def _flip(data: bytes, rng: Random) -> bytes:
    if not data:
        return data
    place = _place(data, rng)
    return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]


def _random_bytes(data: bytes, rng: Random) -> bytes:
    place = _place(data, rng)
    return (
        data[:place] + rng.randbytes(rng.choice((1, 2, 4, 8, 100))) + data[place + rng.choice((0, 1, 4, 8)) :]
    )


def _extreme_bytes(data: bytes, rng: Random) -> bytes:
    place, length = _place(data, rng), rng.choice((1, 2, 4, 8))
    return data[:place] + rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length + data[place + length :]


def _cut_end(data: bytes, rng: Random) -> bytes:
    return data[: _place(data, rng)]


def _cut_out(data: bytes, rng: Random) -> bytes:
    place = _place(data, rng)
    return data[:place] + data[place + rng.choice((1, 2, 10, 100, 1000)) :]


def _repeat(data: bytes, rng: Random) -> bytes:
    place, length = _place(data, rng), rng.choice((1, 10, 100))
    part = data[place : place + length]
    return data[:place] + part * rng.choice((2, 3, 100)) + data[place + length :]


def _place(data: bytes, rng: Random) -> int:
    """A position, one in two near the beginning or the end, where headers are."""
    n_bytes = max(len(data), 1)
    near = rng.randrange(min(n_bytes, 1000))
    return rng.choice((rng.randrange(n_bytes), rng.randrange(n_bytes), near, n_bytes - 1 - near))


_BYTE_WAYS = (_flip, _random_bytes, _extreme_bytes, _cut_end, _cut_out, _repeat)


# ---- text


def _other_number(data: bytes, rng: Random) -> bytes:
    return _replaced(_NUMBER, data, rng.choice(NUMBERS).encode(), rng)


def _other_word(data: bytes, rng: Random) -> bytes:
    return _replaced(_TOKEN, data, rng.choice(WORDS).encode(), rng)


def _word_of_its_own(data: bytes, rng: Random) -> bytes:
    words = _TOKEN.findall(data) or [b""]
    return _replaced(_TOKEN, data, rng.choice(words), rng)


def _changed_lines(data: bytes, rng: Random) -> bytes:
    """Leave out a line, repeat one, or let two take each other's place."""
    lines = data.split(b"\n")
    here, there = rng.randrange(len(lines)), rng.randrange(len(lines))
    roll = rng.random()
    if roll < 0.4:
        del lines[here]
    elif roll < 0.7:
        lines.insert(there, lines[here])
    elif roll < 0.75:
        lines[here:here] = [lines[here]] * min(3000, 4_000_000 // (1 + len(lines[here])))
    else:
        lines[here], lines[there] = lines[there], lines[here]
    return b"\n".join(lines)


def _other_encoding(data: bytes, rng: Random) -> bytes:
    return data.decode(errors="replace").encode(rng.choice(("utf-16", "utf-8-sig", "latin-1")), "replace")


def _other_separator(data: bytes, rng: Random) -> bytes:
    marks = (b",", b";", b"\t", b" ", b"|", b"\n", b"\r\n", b"\r", b'"', b"'")
    return data.replace(rng.choice(marks), rng.choice(marks), rng.choice((1, -1)))


def _replaced(pattern: re.Pattern[bytes], data: bytes, new: bytes, rng: Random) -> bytes:
    found = [match.span() for match in pattern.finditer(data)]
    if not found:
        return data + new
    begin, end = rng.choice(found)
    return data[:begin] + new + data[end:]


_TEXT_WAYS = (
    *(_other_number,) * 3,
    *(_other_word,) * 2,
    *(_word_of_its_own, _changed_lines, _other_encoding, _other_separator),
)
