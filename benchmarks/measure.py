"""Timing: workers that repeat one measurement, whole processes, and the rows of the final table.

The process that runs the benchmarks imports nothing large, so the peak memory of a child is the child's own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

HERE = Path(__file__).parent
PEER = "cgcnn2"


@dataclass(frozen=True)
class Settings:
    """What all measurements share.

    n_crystals: of `formation`, evenly spaced. data, cifs, graphs: what `prepare` made: our Parquet file, the
    folder in the published layout and the peer's graphs. small: a folder with fewer of the CIFs.
    """

    threads: int
    repeats: int
    quick: bool
    n_crystals: int
    work: Path

    @property
    def data(self) -> str:
        return str(self.work / "crystals.parquet")

    @property
    def cifs(self) -> str:
        return str(self.work / "cifs")

    @property
    def small(self) -> str:
        return str(self.work / "cifs-small")

    @property
    def graphs(self) -> str:
        return str(self.work / "peer-graphs.pt")

    @property
    def environment(self) -> dict[str, str]:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        cache = {"CRYSTALLITE_CACHE": str(self.work / "cache")}
        return {**os.environ, **dict.fromkeys(names, str(self.threads)), **cache}


@dataclass(frozen=True)
class Row:
    """One line of the table: ours against another, smaller is better.

    goal: how many times the other's number should be ours. limit: what ours should stay below.
    """

    what: str
    ours: float
    against: str
    theirs: float | None
    unit: str
    goal: float | None = None
    limit: float | None = None

    @property
    def ratio(self) -> float | None:
        return None if self.theirs is None else self.theirs / self.ours

    @property
    def verdict(self) -> str:
        if self.limit is not None:
            return f"< {self.limit:g} {self.unit}: {'met' if self.ours < self.limit else 'MISSED'}"
        if self.goal is None or self.ratio is None:
            return ""
        return f"{self.goal:g}x: {'met' if self.ratio >= self.goal else 'MISSED'}"


class Worker:
    """A process that prepares one measurement and repeats it on request.

    Runs FUNCTION(**arguments) of a module in this folder, which returns a function; each call of that is one
    measurement and returns a plain value, seconds as a rule.
    """

    def __init__(
        self, settings: Settings, function: str, /, *, flush_denormals: bool = False, **arguments: Any
    ) -> None:
        job = {"function": function, "arguments": arguments, "threads": settings.threads}
        job["flush_denormals"] = flush_denormals
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=settings.environment,
        )
        self._function = function
        self._read()

    def start(self) -> None:
        """Begin a measurement without waiting for it."""
        assert self._process.stdin is not None
        self._process.stdin.write("measure\n")
        self._process.stdin.flush()

    def finish(self) -> Any:
        """Wait for the measurement that was started and return its value."""
        return self._read()

    def measure(self) -> Any:
        self.start()
        return self.finish()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the measurement {self._function} failed; its error is above")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Usage(NamedTuple):
    """What a whole process took: wall time in seconds, peak resident memory in MB."""

    seconds: float
    peak_mb: float


def run_process(command: Sequence[str], settings: Settings, **environment: str) -> Usage:
    """Run a command to its end; SystemExit with its output if it fails."""
    log = settings.work / "process.log"
    with log.open("w") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=settings.work, env=settings.environment | environment
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text()[-3000:]}")
    per_mb = 2**20 if sys.platform == "darwin" else 2**10
    return Usage(seconds, usage.ru_maxrss / per_mb)


def interleaved(workers: Mapping[str, Worker], repeats: int) -> dict[str, float]:
    """Return each worker's median, measuring A B A B so that drift of the machine meets all alike."""
    values: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(repeats):
        for name, worker in workers.items():
            values[name].append(worker.measure())
    return {name: median(found) for name, found in values.items()}
