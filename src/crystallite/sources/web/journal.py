"""A folder with every reply received so far, so that an interrupted fetch resumes where it stopped."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from ...errors import CrystalliteError
from ...files.writing import atomic_path, write_json

ABOUT = "about.json"
LOCK = "lock"


class Reply(NamedTuple):
    """What a server answered: JSON, and the day it did (UTC, ISO 8601)."""

    content: Any
    day: str


class Journal:
    """Replies in a folder, one gzip-compressed JSON file for each request.

    Every file appears whole or not at all. A file that cannot be read counts as absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return sum(1 for _ in self._files())

    def read(self, request: str) -> Reply | None:
        """Return the reply kept for `request`, None if there is none."""
        try:
            with gzip.open(self._file(request), "rt", encoding="utf-8") as file:
                kept = json.load(file)
            return Reply(kept["content"], str(kept["day"])) if kept["request"] == request else None
        except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, RecursionError):
            return None

    def write(self, request: str, reply: Reply) -> None:
        """Keep a reply. Raises CrystalliteError if the folder cannot be written to."""
        text = json.dumps({"request": request, "day": reply.day, "content": reply.content})
        with atomic_path(self._file(request)) as temporary:
            temporary.write_bytes(gzip.compress(text.encode(), compresslevel=4))

    def expect(self, facts: dict[str, str]) -> None:
        """Write what all replies have in common; CrystalliteError if an earlier run wrote something else."""
        about = self.folder / ABOUT
        with suppress(OSError, ValueError, RecursionError):
            before = json.loads(about.read_text(encoding="utf-8"))
            for name, value in facts.items():
                if before.get(name) != value:
                    raise CrystalliteError(
                        f"{self.folder} holds part of a fetch with {name} {before.get(name)}, but now it is "
                        f"{value}, and the two must not be mixed; delete that folder to begin again"
                    )
            return
        write_json(about, facts)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; CrystalliteError if another process does."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / LOCK, timeout=0)
            lock.acquire()
        except OSError as error:
            if isinstance(error, Timeout):
                raise CrystalliteError(f"{self.folder} is in use by another fetch") from None
            raise CrystalliteError(f"cannot write {self.folder}: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()

    def remove(self) -> None:
        """Delete the files written here, and the folder if nothing else is in it."""
        for file in [*self._files(), self.folder / ABOUT, self.folder / LOCK]:
            file.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _files(self) -> Iterator[Path]:
        return self.folder.glob("*.json.gz")

    def _file(self, request: str) -> Path:
        return self.folder / f"{hashlib.sha256(request.encode()).hexdigest()[:32]}.json.gz"
