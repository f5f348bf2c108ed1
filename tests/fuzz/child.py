"""A process that tries inputs one after another: `python -m fuzz.child TARGET FIRST GOOD FOLDER`.

It writes a line of JSON for each input: its number and what went wrong, "" if nothing did. One that takes
more than SECONDS of CPU time ends the process (SIGPROF), as does one that takes more than BYTES of memory.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from random import Random

from crystallite.errors import CrystalliteError

SECONDS = float(os.environ.get("FUZZ_LIMIT", 5))
BYTES = 1 << 30
INPUTS = 5000  # then a new process starts: addresses of one scatter until none are left together
ADDRESSES = 3 * BYTES  # beyond those in use at the start: protects the machine


def main() -> None:
    """Try inputs from number FIRST on, until the process that reads the lines has had enough."""
    name, first, good, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is tried may print
    warnings.simplefilter("ignore")
    warm_up(good)
    _limit_memory()
    before = _most_memory()
    for number in range(first, first + INPUTS):
        print(json.dumps({"started": number}), file=lines, flush=True)
        wrong = attempt(name, number, good, folder, _limited_time())
        taken = _most_memory() - before
        if taken > BYTES:
            wrong = wrong or f"took {taken >> 20} MB of memory"
        print(json.dumps({"ended": number, "wrong": wrong}), file=lines, flush=True)
        if taken > BYTES:
            return  # it never has less again


def attempt(
    name: str, number: int, good: Path, folder: Path, limited: AbstractContextManager[None] | None = None
) -> str:
    """Make and read one input; return what went wrong, "" for a crystal or the project's own error."""
    from .targets import TARGETS_AND_BROKEN

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        TARGETS_AND_BROKEN[name].write(good, folder, Random(f"{name}:{number}"))
        with limited or nullcontext():
            TARGETS_AND_BROKEN[name].read(folder)
    except CrystalliteError:
        return ""
    except BaseException:
        return traceback.format_exc()
    return ""


def warm_up(good: Path) -> None:
    """Import and compile what is needed before the clock runs, with a good crystal."""
    from crystallite.crystals.cif import read_cif

    read_cif(good / "cif" / "rock_salt.cif")
    if (good / "model").is_dir():
        from crystallite.models.loading import load_model

        load_model(good / "model" / "model.safetensors").predict(good / "cif" / "rock_salt.cif")


@contextmanager
def _limited_time() -> Iterator[None]:
    """End the process after SECONDS of CPU time: compiled code cannot be interrupted otherwise."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESSES, used + ADDRESSES))


def _most_memory() -> int:
    """Bytes of memory this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    main()
