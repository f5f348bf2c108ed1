"""Reading JSON and MessagePack archives piece by piece, so that a large one never lies in memory whole.

Compression goes by the name's ending (.zstd, .zst, .gz), the encoding by the first byte.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from ...errors import CrystalliteError
from ...extras import needed
from ...files.writing import irregular

COMPRESSIONS = {".zstd": "zstd", ".zst": "zstd", ".gz": "gzip"}
ENCODINGS = {".json", ".jsonl", ".ndjson", ".msgpack", ".bin"}
MOST_EXPANSION = 100  # times its size a compressed file may unpack to; archives of crystals: 5 to 20
ALWAYS_UNPACKED = 64 << 20  # bytes any file may unpack to
LARGEST_VALUE = 128 << 20  # bytes of one crystal or one list of ids in JSON
MOST_ITEMS = 8_000_000  # members and elements of one value: each may take a hundred bytes of memory
LARGEST_MESSAGE = 16 << 20  # bytes of one value in MessagePack, where an element may be one byte
CHUNK = 1 << 20
_SPACES = re.compile(r"[ \t\n\r]*")


class ArchiveReader(Protocol):
    """A value read from its start: take it whole, or go through its members or elements in turn.

    What `members` and `elements` stop at must be taken with one of the three methods before reading on.
    is_json: whether `is_map`, `is_list` and `at_end` can be asked anywhere and take nothing.
    """

    is_json: bool

    def is_map(self) -> bool:
        """Whether the archive is a dictionary; only before anything is taken."""

    def is_list(self) -> bool:
        """Whether the archive is a list; only before anything is taken."""

    def value(self) -> Any:
        """Take the next value whole."""

    def members(self) -> Iterator[str]:
        """Yield the keys of the next value, a dictionary; stops before each value."""

    def elements(self) -> Iterator[None]:
        """Go through the next value, a list; stops before each element."""

    def at_end(self) -> bool:
        """Whether everything has been taken."""


class _UnreadableError(Exception):
    """Why an archive cannot be read; becomes a CrystalliteError that names the file."""


def split_name(path: Path) -> tuple[str, str, str]:
    """Return stem, encoding and compression of a file's name: ("cifs", ".msgpack", ".zstd")."""
    compression = path.suffix.lower() if path.suffix.lower() in COMPRESSIONS else ""
    inner = path.with_suffix("") if compression else path
    encoding = inner.suffix.lower() if inner.suffix.lower() in ENCODINGS else ""
    return (inner.stem if encoding else inner.name), encoding, compression


def is_archive(path: Path) -> bool:
    """Whether the name is that of a JSON or MessagePack archive; cifs.zstd and props.zstd are too."""
    stem, encoding, compression = split_name(path)
    return bool(encoding) or (bool(compression) and stem in {"cifs", "props"})


@contextmanager
def open_archive(path: Path, file: IO[bytes] | None = None) -> Iterator[ArchiveReader]:
    """Open an archive for reading; inside the block, whatever makes it unreadable is a CrystalliteError.

    file: its bytes, where they are at hand and `path` is but the name that says what they are.

    The block takes all of it or raises an error itself. Unreadable is a missing or damaged file, a compressed
    one that unpacks to more than MOST_EXPANSION times its size, and a value larger than LARGEST_VALUE.
    """
    with _whole(path), _unpacking(path, file) as stream:
        first = stream.peek(1)[:1]
        is_message_pack = first[:1] >= b"\x80" and first != b"\xef"  # 0xef begins a byte-order mark
        reader = _MessagePackReader(stream, first) if is_message_pack else _JsonReader(stream)
        yield reader
        _refuse_rest(reader)


@contextmanager
def open_json(text: str, name: Path) -> Iterator[ArchiveReader]:
    """Read a JSON archive that is at hand as text; `name` names it in errors. See `open_archive`."""
    with _whole(name):
        reader = _JsonReader(io.BytesIO(text.encode(errors="replace")))
        yield reader
        _refuse_rest(reader)


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Make what is wrong with an archive a CrystalliteError that names it."""
    try:
        yield
    except (_UnreadableError, OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error or "it takes more memory than there is"
        raise CrystalliteError(f"{path}: not a readable archive: {reason}") from None


def _refuse_rest(reader: ArchiveReader) -> None:
    if not reader.at_end():
        raise _UnreadableError("something follows its end")


def unpacked(path: Path, file: IO[bytes] | None = None) -> bytes:
    """Return what is in a file, decompressed as its name says; see `open_archive`."""
    try:
        with _unpacking(path, file) as stream:
            content: bytes = stream.read()
            return content
    except (_UnreadableError, OSError, MemoryError) as error:
        raise CrystalliteError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None


def most_unpacked(path: Path) -> int:
    """Return how many bytes a file may unpack to."""
    return _most(path.stat().st_size)


def _most(size: int) -> int:
    return max(ALWAYS_UNPACKED, MOST_EXPANSION * size)


def each_line(path: Path, file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file that are not empty, decompressed as its name says; see `open_archive`."""
    with _whole(path), _unpacking(path, file) as stream:
        while line := stream.readline(LARGEST_VALUE + 1):
            if len(line) > LARGEST_VALUE:
                raise _UnreadableError(f"a line is longer than {LARGEST_VALUE:,} bytes")
            if not line.isspace():
                yield line


@contextmanager
def _unpacking(path: Path, file: IO[bytes] | None = None) -> Iterator[io.BufferedReader]:
    if file is None and (reason := irregular(path)):
        raise _UnreadableError(reason)
    import pyarrow as pa

    size = path.stat().st_size if file is None else file.seek(0, io.SEEK_END)
    if file is not None:
        file.seek(0)
    with pa.input_stream(file or str(path), compression=COMPRESSIONS.get(path.suffix.lower())) as source:
        yield io.BufferedReader(_Limited(source, _most(size)), CHUNK)


class _Limited(io.RawIOBase):
    """A stream that refuses to be read beyond `most` bytes."""

    def __init__(self, source: Any, most: int) -> None:
        self._source = source
        self._left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise _UnreadableError(
                f"it unpacks to more than {MOST_EXPANSION} times its size, as no archive of crystals "
                "does; if it is one, unpack it first"
            )
        buffer[: len(data)] = data
        return len(data)


# Not ijson: it refuses the NaN that Python writes, and value by value it took six times as long.
class _JsonReader:
    """An ArchiveReader of JSON text in UTF-8."""

    is_json = True

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._parse = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._passed = 0  # characters before self._text

    def is_map(self) -> bool:
        return self._peek() == "{"

    def is_list(self) -> bool:
        return self._peek() == "["

    def value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = self._parse(self._text, self._at)
            except (ValueError, RecursionError) as error:  # ValueError: also of a number of 5,000 digits
                if not isinstance(error, json.JSONDecodeError) or not self._more():
                    raise _UnreadableError(f"JSON, {self._place()}: {error}") from None
                continue
            if not self._may_continue(end) or not self._more():
                self._at = end
                return value

    def _may_continue(self, end: int) -> bool:
        """Whether a value that ends here may be a number with more to come in the next chunk: 1 of 1.5e-3."""
        return not self._text[end : end + 3].strip(".eE+-") and len(self._text) < end + 3

    def members(self) -> Iterator[str]:
        self._take("{")
        if self._peek() == "}":
            self._take("}")
            return
        while True:
            key = self.value()
            self._take(":")
            yield str(key)
            if self._take(",}") == "}":
                return

    def elements(self) -> Iterator[None]:
        self._take("[")
        if self._peek() == "]":
            self._take("]")
            return
        while True:
            yield
            if self._take(",]") == "]":
                return

    def at_end(self) -> bool:
        return not self._peek()

    def _take(self, expected: str) -> str:
        found = self._peek()
        if not found or found not in expected:
            wanted = " or ".join(expected)
            raise _UnreadableError(f"JSON, {self._place()}: {wanted} expected, found {found or 'the end'}")
        self._at += 1
        return found

    def _peek(self) -> str:
        """Return the next character that is not a space, or "" at the end."""
        while True:
            spaces = _SPACES.match(self._text, self._at)
            assert spaces is not None
            self._at = spaces.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Read on; what has been taken is dropped."""
        rest = self._text[self._at :]
        if len(rest) > LARGEST_VALUE:
            raise _UnreadableError(f"JSON, {self._place()}: one value is larger than {LARGEST_VALUE:,} bytes")
        if len(rest) > MOST_ITEMS and sum(map(rest.count, ",[{")) > MOST_ITEMS:
            raise _UnreadableError(f"JSON, {self._place()}: one value has more than {MOST_ITEMS:,} items")
        try:
            data = self._stream.read(max(CHUNK, len(rest)))
            text = self._decode(data, not data)
        except UnicodeDecodeError as error:
            raise _UnreadableError(f"not text in UTF-8 ({error})") from None
        self._passed += self._at
        self._text, self._at = rest + text, 0
        return bool(data)

    def _place(self) -> str:
        return f"character {self._passed + self._at:,}"


class _MessagePackReader:
    """An ArchiveReader of MessagePack."""

    is_json = False

    def __init__(self, stream: Any, first: bytes) -> None:
        msgpack = message_pack()
        self._first = first[0]
        self._unpacker = msgpack.Unpacker(stream, max_buffer_size=LARGEST_MESSAGE, read_size=CHUNK)
        self._problems = (ValueError, msgpack.UnpackException)  # these two cover all that msgpack raises
        self._too_large = msgpack.BufferFull

    def is_map(self) -> bool:
        return self._first in {*range(0x80, 0x90), 0xDE, 0xDF}

    def is_list(self) -> bool:
        return self._first in {*range(0x90, 0xA0), 0xDC, 0xDD}

    def value(self) -> Any:
        return self._checked(self._unpacker.unpack)

    def members(self) -> Iterator[str]:
        for _ in range(self._checked(self._unpacker.read_map_header)):
            yield str(self.value())

    def elements(self) -> Iterator[None]:
        for _ in range(self._checked(self._unpacker.read_array_header)):
            yield

    def at_end(self) -> bool:
        return not self._unpacker.read_bytes(1)

    def _checked(self, read: Any) -> Any:
        try:
            return read()
        except self._problems as error:
            place = f"MessagePack, byte {self._unpacker.tell():,}"
            large = isinstance(error, self._too_large) or "exceeds max" in str(error)
            reason = f"one value is larger than {LARGEST_MESSAGE:,} bytes" if large else str(error)
            raise _UnreadableError(f"{place}: {reason or 'it ends too early'}") from None


def message_pack() -> Any:
    """Return the module msgpack; raises CrystalliteError if it is not installed."""
    return needed("msgpack", "MessagePack", "crystallite[archives]")
