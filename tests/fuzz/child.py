"""A process that tries inputs one after another: `python -m fuzz.child TARGET FIRST GOOD FOLDER`.

It writes a line of JSON for each input: its number and what went wrong, "" if nothing did. One that takes
more than SECONDS of the processor ends the process (SIGPROF), and so does more than BYTES of memory.
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
from itertools import count
from pathlib import Path
from random import Random

SECONDS = 5.0
BYTES = 1 << 30
LIMIT = 3 * BYTES  # of addresses beyond those in use at the start: protects the machine


def main() -> None:
    """Try inputs from number FIRST on, until the process that reads the lines has had enough."""
    name, first, good, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    from crystallite.errors import CrystalliteError

    from .targets import TARGETS

    target = TARGETS[name]
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is tried may print
    warnings.simplefilter("ignore")
    _warm_up(good)
    _limit_memory()
    before = _most_memory()
    for number in count(first):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        target.write(good, folder, Random(f"{name}:{number}"))
        wrong = ""
        lines.write(json.dumps({"started": number}) + "\n")
        lines.flush()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            target.read(folder)
        except CrystalliteError:
            pass
        except BaseException:
            wrong = traceback.format_exc()
        signal.setitimer(signal.ITIMER_PROF, 0)
        if _most_memory() - before > BYTES:
            wrong = wrong or f"took {(_most_memory() - before) >> 20} MB of memory"
        lines.write(json.dumps({"ended": number, "wrong": wrong}) + "\n")
        lines.flush()
        if _most_memory() - before > BYTES:
            return


def _warm_up(good: Path) -> None:
    """Import and compile what is needed before the clock runs, by a prediction of a good crystal."""
    from crystallite.prediction import load_predictor

    load_predictor(good / "model" / "model.safetensors").predict(good / "cif" / "rock_salt.cif")


def _limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT, used + LIMIT))


def _most_memory() -> int:
    """Bytes of memory this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    main()
