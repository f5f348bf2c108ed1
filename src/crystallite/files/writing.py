"""What may be read and written where, and writing so that nothing is lost.

A crash, a full disk or Ctrl-C never leaves half a file. What is no regular file (a device, a pipe) is neither
read nor replaced, links stay, inputs are not written over, and names from data never become paths.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import platform
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import CrystalliteError, StorageError, WriteError
from .distinct_names import DistinctNames
from .failures import may_pass

LONGEST_STEM = 100  # bytes; file names end at 255

_KINDS = (
    (stat.S_ISREG, "a regular file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def irregular(path: str | Path) -> str:
    """Return why `path` is no regular file, nor a link to one, that can be read; "" if it is.

    Reading another kind of file could wait for ever.
    """
    return not_regular(path) or ("" if os.access(path, os.R_OK) else os.strerror(errno.EACCES))


def not_regular(path: str | Path) -> str:
    """Return why `path` is no regular file, nor a link to one; "" if it is, and may be opened."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (runs for every CIF)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        if isinstance(error, OSError) and may_pass(error):
            raise StorageError(f"{path}: cannot read the file: {error.strerror}") from error
        return getattr(error, "strerror", None) or str(error)
    return "" if stat.S_ISREG(mode) else f"{_kind(mode)}, not a regular file"


def refuse_unreadable(path: str | Path) -> None:
    """Raise CrystalliteError with the system's reason unless `path` is a regular file that can be read."""
    reason = irregular(path)
    if not reason:
        try:
            Path(path).open("rb").close()
        except OSError as error:
            reason = error.strerror or str(error)
    if reason:
        raise CrystalliteError(f"cannot read {path}: {reason}")


def output_path(path: str | Path) -> Path:
    """Return the file that is made or replaced in writing to `path`: of a link its target, the link stays.

    Raises WriteError for what can be no regular file: a folder, a device, a pipe, a name that is too long.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except (OSError, ValueError) as error:
        raise WriteError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(mode):
        raise WriteError(f"cannot write {path}: it is {_kind(mode)}, not a regular file")
    return path.resolve() if path.is_symlink() else path


def refuse_input(output: str | Path, inputs: Iterable[str | Path], option: str = "--output") -> None:
    """Raise CrystalliteError if `output` is a file of these inputs, under whatever name.

    An input is a file, or a folder or pattern of them. Of a CSV that is in a folder only id_prop.csv and
    props.csv count, as no other is read without being named.
    """
    if not os.path.exists(output):  # noqa: PTH110 (never raises, as all here)
        return
    for given in inputs:
        if any(_is_same(output, file) for file in _files_of(given)):
            raise CrystalliteError(f"{option} {output}: is the input {given}; choose another name")


def file_stem(name: str) -> str:
    """Return a property's or dataset's name made fit for the name of a file: never a path."""
    fit = "".join(c if c.isalnum() or c in "-_." else "-" for c in name.replace(" -> ", "-to-"))
    return fit.encode()[:LONGEST_STEM].decode(errors="ignore")


def file_stems(names: Sequence[str]) -> list[str]:
    """Return a `file_stem` for each name, no two alike even in other capitals: the second ends in -2."""
    distinct = DistinctNames(ignore_case=True)
    return [distinct.of(file_stem(name)) for name in names]


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends without an error.

    Where `path` leads is told by `output_path`. Raises WriteError naming `path` when it can be no file, the
    folder cannot be written to or the disk is full; an older file at `path` is then left as it was.
    """
    target = output_path(path)
    beginning, ending = f".{file_stem(target.stem)}-{_machine()}-", target.suffix[-20:]
    temporary = target.with_name(f"{beginning}{os.getpid()}-{threading.get_ident()}{ending}")
    with replacing(target, temporary, path):
        _remove_abandoned(target.parent, beginning, ending)
        yield temporary


@contextmanager
def replacing(target: Path, temporary: Path, path: str | Path) -> Iterator[None]:
    """Put the file `temporary`, which the block writes, in the place of `target` if it ends without an error.

    The folders of both are made. Raises WriteError naming `path`; what is temporary is removed.
    """
    try:
        for folder in {target.parent, temporary.parent}:
            folder.mkdir(parents=True, exist_ok=True)
        yield
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path, last: str = "") -> Iterator[Path]:
    """Yield a folder to fill; it becomes the new or empty folder `path` if the block ends without an error.

    Else everything is left as it was. last: the file that comes last into a folder that is there already.
    Raises CrystalliteError if the folder is not empty, and WriteError if it cannot be written to.
    """
    folder = Path(path)
    is_new = not folder.exists()
    unfinished = folder.with_name(f".{folder.name}-unfinished") if is_new else folder / ".unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    try:
        if not is_new and not (folder.is_dir() and not any(folder.iterdir())):
            raise CrystalliteError(f"{folder}: exists and is not empty; choose a new folder")
        unfinished.mkdir(parents=True)
        yield unfinished
        if is_new:
            unfinished.replace(folder)
            return
        with os.scandir(unfinished) as entries:
            for entry in entries:
                if entry.name != last:
                    Path(entry).replace(folder / entry.name)
        if last:
            (unfinished / last).replace(folder / last)
    except OSError as error:
        raise WriteError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; raises CrystalliteError naming it when it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CrystalliteError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise CrystalliteError(f"{path} is damaged: {error}") from error


@cache
def _machine() -> str:
    """A few letters that stand for this machine: folders may be shared, and process ids are its own."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


def _remove_abandoned(folder: Path, beginning: str, ending: str) -> None:
    """Remove temporary files of `atomic_path` whose process was killed."""
    pattern = f"{glob.escape(beginning)}*{glob.escape(ending)}"
    for path in folder.glob(pattern):
        process, _, rest = path.name.removeprefix(beginning).partition("-")
        if process.isdecimal() and rest.removesuffix(ending).isdecimal() and not is_running(int(process)):
            path.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    """Whether there is a process of this id on this machine."""
    if os.name != "posix":
        return True  # nobody can tell without ending it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's
    return True


def _kind(mode: int) -> str:
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "something unknown")


def _files_of(given: str | Path) -> Iterator[Path]:
    """Yield the files that are read of an input: itself, those in a folder, or those of a pattern."""
    path = Path(given)
    if os.path.isdir(path):  # noqa: PTH112
        tables = {"id_prop.csv", "props.csv"}
        yield from (file for file in path.rglob("*") if file.suffix.lower() != ".csv" or file.name in tables)
    elif os.path.exists(path):  # noqa: PTH110
        yield path
    else:
        yield from map(Path, glob.iglob(str(given), recursive=True))  # noqa: PTH207


def _is_same(path: str | Path, other: Path) -> bool:
    """Whether two paths lead to one file, links followed."""
    try:
        return os.path.samefile(path, other)  # noqa: PTH121
    except (OSError, ValueError):
        return False
