"""`python -m fuzz --seconds 600`: try damaged inputs, tell what failed, and exit with status 1 if any did."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from .campaign import Failure, keep, tried
from .good import TESTS, write_good
from .targets import TARGETS

sys.path.insert(0, str(TESTS))


def main() -> int:
    """Try the targets in turn; every failing input is kept once for each place where inputs fail."""
    words = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    words.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)} (default: all)")
    words.add_argument("--seconds", type=float, default=60, help="in all; the targets share them")
    words.add_argument("--first", type=int, default=0, help="number of the first input: its seed")
    words.add_argument("--count", type=int, help="inputs of each target at most")
    words.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for failing inputs")
    given = words.parse_args()
    names = given.targets or list(TARGETS)
    counts: Counter[str] = Counter()
    failures: dict[str, list[Failure]] = {}
    with tempfile.TemporaryDirectory() as folder:
        good = Path(folder) / "good"
        write_good(good, models=any(TARGETS[name].models for name in names))
        for name in names:
            seconds, place = given.seconds / len(names), Path(folder) / "input"
            for failure in tried(name, given.first, seconds, good, place, given.count):
                counts[name] += 1
                if failure is not None:
                    failures.setdefault(failure.place, []).append(failure)
                    if len(failures[failure.place]) == 1:
                        print(f"{keep(failure, good, given.keep)}: {failure.place}", flush=True)
            print(f"{name}: {counts[name]:,} inputs, numbers {given.first} on", flush=True)
    for where, same in failures.items():
        print(f"{len(same):,} x {where}, such as {same[0].target} {same[0].number}")
    print(f"{sum(counts.values()):,} inputs, {sum(map(len, failures.values())):,} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
