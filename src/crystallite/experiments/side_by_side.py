"""Training runs side by side: processes that save and stop when their parent process says so, or ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import torch

from ..errors import CrystalliteError
from ..training.train import TrainingInterruptedError, resume, stop_requests


class _Child:
    """A process that trains in `folder` for as long as its standard input is open."""

    def __init__(self, folder: Path, threads: int, device: str) -> None:
        self.folder = folder
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder), device],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
        )

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def ask_to_stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def finish(self) -> None:
        """Wait until it ends; its output becomes a warning, or a CrystalliteError if it failed."""
        status = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip()[-2000:]
        self.errors.close()
        if status:
            raise CrystalliteError(f"{self.folder.name}: {said or f'ended with status {status}'}")
        if said:
            warnings.warn(f"{self.folder.name}: {said}", stacklevel=2)


def train_side_by_side(
    folders: Sequence[Path], parallel: int, *, device: str, after_each: Callable[[], object]
) -> None:
    """Train in each run folder to the end, `parallel` at a time, each with a share of this process's threads.

    When one fails, on Ctrl-C and on SIGTERM the others save and stop; also when this process is killed.
    Raises CrystalliteError naming the folder that failed, TrainingInterruptedError when told to stop.
    """
    threads = max(1, torch.get_num_threads() // parallel)
    waiting, running = list(folders), list[_Child]()
    with stop_requests() as stop:
        try:
            while waiting or running:
                if stop.is_set():
                    raise TrainingInterruptedError("stopped")
                while waiting and len(running) < parallel:
                    running.append(_Child(waiting.pop(0), threads, device))
                for child in [child for child in running if child.ended]:
                    running.remove(child)
                    child.ask_to_stop()
                    child.finish()
                    after_each()
                stop.wait(0.05)
        finally:
            for child in running:
                child.ask_to_stop()
            for child in running:
                child.process.wait()


def _stop_with_parent() -> None:
    """Wait until the process that started this one closes our standard input, or ends; then stop."""
    os.read(0, 1)  # unlike sys.stdin.read, nothing that the end of Python waits for
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run as one of the processes."""
    warnings.showwarning = lambda message, *_, **__: print(message, file=sys.stderr)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        resume(Path(sys.argv[1]), device=sys.argv[2], progress=False)
    except CrystalliteError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
