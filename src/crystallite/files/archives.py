"""Archives of many small files, written one after another: memory does not grow with their number.

tarfile and zipfile keep an object for every member until the end, half a kilobyte and more. Every member has
the time 1980-01-01, so the same members make the same archive.
"""

from __future__ import annotations

import gzip
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from tempfile import TemporaryFile

Add = Callable[[str, bytes], object]  # name and content of a member

TIME_1980 = 315_532_800  # seconds; the first that a .zip can say
_READABLE = 0o100644 << 16  # a regular file that everybody may read, as a .zip has it
_UTF8 = 0x800
_LARGEST = 0xFFFFFFFF  # a larger offset, or more members than _MOST, are told in the fields of ZIP64
_MOST = 0xFFFF


@contextmanager
def tar_writer(file: BufferedIOBase) -> Iterator[Add]:
    """Yield a function that adds members to a .tar in an empty file."""

    def add(name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mtime = len(content), TIME_1980
        file.write(member.tobuf())
        file.write(content + bytes(-len(content) % tarfile.BLOCKSIZE))

    yield add
    file.write(bytes(2 * tarfile.BLOCKSIZE))


@contextmanager
def tar_gz_writer(file: BufferedIOBase) -> Iterator[Add]:
    """Yield a function that adds members to a .tar.gz in an empty file."""
    with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed, tar_writer(packed) as add:
        yield add


@contextmanager
def zip_writer(file: BufferedIOBase) -> Iterator[Add]:
    """Yield a function that adds members to a .zip in an empty file, each compressed.

    The directory, which comes last in the file, waits in a temporary file. Layout: PKWARE's APPNOTE.TXT 6.3.
    """
    with TemporaryFile() as directory:
        n_members = 0

        def add(name: str, content: bytes) -> None:
            nonlocal n_members
            offset, title = file.tell(), name.encode()
            packed = zlib.compress(content, wbits=-zlib.MAX_WBITS)
            sizes = (zlib.crc32(content), len(packed), len(content), len(title))
            about = (_UTF8, zlib.DEFLATED, 0, (1 << 5) | 1)  # the last two: the time 0:00 on 1980-01-01
            file.write(struct.pack("<4s5H3I2H", b"PK\3\4", 45, *about, *sizes, 0) + title + packed)
            extra = struct.pack("<2HQ", 1, 8, offset) if offset >= _LARGEST else b""
            place = (len(extra), 0, 0, 0, _READABLE, min(offset, _LARGEST))
            directory.write(struct.pack("<4s6H3I5H2I", b"PK\1\2", 3 << 8 | 45, 45, *about, *sizes, *place))
            directory.write(title + extra)
            n_members += 1

        yield add
        start, size = file.tell(), directory.tell()
        directory.seek(0)
        shutil.copyfileobj(directory, file)
        if n_members >= _MOST or start >= _LARGEST or size >= _LARGEST:
            end = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, n_members, n_members, size, start)
            file.write(end + struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1))
        count, size, start = min(n_members, _MOST), min(size, _LARGEST), min(start, _LARGEST)
        file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, start, 0))
