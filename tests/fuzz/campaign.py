"""Trying inputs for a while: processes that end are started again behind the input that ended them."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .child import SECONDS

TESTS = Path(__file__).parents[1]
PATIENCE = 300.0  # seconds of waiting, for inputs that sleep instead of computing; machines may be busy
START = 3600.0  # seconds for a process to start, as compiled loops may have to be compiled


class Failure(NamedTuple):
    """An input that went wrong: its target and number (the seed), and how."""

    target: str
    number: int
    wrong: str

    @property
    def place(self) -> str:
        """What failures of one cause share: the last line of the project in the traceback, and the error."""
        lines = re.findall(r'File "[^"]*/((?:crystallite|fuzz)/[^"]+)", line (\d+)', self.wrong)
        last = self.wrong.strip().splitlines()[-1]
        return f"{':'.join(lines[-1])} {last.partition(':')[0]}" if lines else last


def tried(
    target: str, first: int, seconds: float, good: Path, folder: Path, most: int | None = None
) -> Iterator[Failure | None]:
    """Try inputs of a target from number `first` on; yield None for one that is well, else what failed.

    Ends after so many seconds, not counting the start of the process, or after `most` inputs.
    """
    until, left = float("inf"), most
    while left is None or left > 0:
        with _started(target, first, good, folder) as child:
            for line in _lines(child):
                if "started" in line:
                    until = min(until, time.monotonic() + seconds)
                    first = line["started"]
                    continue
                yield Failure(target, first, line["wrong"]) if line["wrong"] else None
                first, left = first + 1, None if left is None else left - 1
                if time.monotonic() > until or left == 0:
                    child.kill()
                    return
            child.kill()
            status = child.wait()
        if until == float("inf"):
            raise RuntimeError(f"the process of {target} did not start")
        if status != 0:  # 0: it ended by itself, after enough inputs or having told of too much memory
            yield Failure(target, first, _end_of(status))
            first, left = first + 1, None if left is None else left - 1
        if time.monotonic() > until:
            return


def _started(target: str, first: int, good: Path, folder: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "fuzz.child", target, str(first), str(good), str(folder)]
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    own = {"CRYSTALLITE_CACHE": str(folder.parent / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, **own})


def _lines(child: subprocess.Popen[bytes]) -> Iterator[dict[str, object]]:
    """Yield what a child writes until it ends or says nothing for PATIENCE seconds."""
    assert child.stdout is not None
    rest, patience = b"", START
    while select.select([child.stdout], [], [], patience)[0]:
        patience = PATIENCE
        part = os.read(child.stdout.fileno(), 1 << 16)
        if not part:
            child.wait()
            return
        *lines, rest = (rest + part).split(b"\n")
        yield from map(json.loads, lines)


def _end_of(status: int) -> str:
    if status == -signal.SIGPROF:
        return f"hangs: more than {SECONDS:g} s of CPU time"
    if status == -signal.SIGKILL:
        return f"hangs: nothing for {PATIENCE:g} s"
    return f"the process ended with status {status}"


def keep(failure: Failure, good: Path, folder: Path) -> Path:
    """Write the failing input once more, and how it failed, to a folder in `folder`; return that."""
    from random import Random

    from .targets import TARGETS_AND_BROKEN

    kept = folder / f"{failure.target}-{failure.number}"
    shutil.rmtree(kept, ignore_errors=True)
    (kept / "input").mkdir(parents=True)
    with suppress(Exception):  # it may be the writing that failed
        TARGETS_AND_BROKEN[failure.target].write(
            good, kept / "input", Random(f"{failure.target}:{failure.number}")
        )
    (kept / "failure.txt").write_text(failure.wrong, encoding="utf-8", errors="backslashreplace")
    return kept
