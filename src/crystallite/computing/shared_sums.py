"""Sums over the processes of one machine through memory that they share.

A training step takes some fifteen sums of a few hundred numbers, each of which all processes wait for. By
sockets one takes 0.1 to 1 ms, mostly for waking up; here the processes look at each other's counters. All of
them add up in the order of their numbers, so all get the same bits.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

from ..errors import LostProcessError
from ..files.writing import is_running
from .compiled import compiled

CAPACITY = 2**18  # bytes a process adds at once: more than the gradients of the default network
_LINE = 8  # counters lie 64 bytes apart, so that no two share a line of the cache
_LOOKS = 2_000  # looks at the others' counters between two at the clock, some 0.01 ms
# Seconds of looking before sleeping: on a busy machine a process that only looks takes the time of the one
# that it waits for.
_PATIENCE, _SLEEP = 3e-4, 1e-4
_CHECK_EVERY = 0.2  # seconds between questions whether the others still live
_MEMORY = Path("/dev/shm")


class SharedSums:
    """Sums over `n_processes` processes through the file at `path`, which all have open.

    The file holds each process's counter of sums and its number, then two sets of slots of CAPACITY bytes a
    process.
    """

    def __init__(self, path: str, rank: int, n_processes: int) -> None:
        self.rank, self.turn = rank, 0
        with open(path, "r+b") as file:  # noqa: PTH123
            memory = np.frombuffer(mmap.mmap(file.fileno(), _size(n_processes)), np.uint8)
        head, body = memory[: 64 * n_processes], memory[64 * n_processes :]
        self.counters: NDArray[np.int64] = head.view(np.int64).reshape(n_processes, _LINE)
        self.slots = body.reshape(2, n_processes, CAPACITY)
        self.counters[rank, 1] = os.getpid()

    def add_up(self, tensor: Tensor) -> None:
        """Replace a tensor of the processor's by its sum over all processes."""
        flat = tensor.detach().view(-1).numpy()
        step = CAPACITY // flat.itemsize
        for start in range(0, max(len(flat), 1), step):
            part = flat[start : start + step]
            # Two sets of slots take turns: nobody writes to one that another may still read.
            slots = self.slots[self.turn % 2, :, : part.nbytes].view(part.dtype)
            slots[self.rank] = part
            self._meet()
            np.add.reduce(slots, axis=0, out=part)

    def _meet(self) -> None:
        """Wait until all processes have come here as often as this one."""
        self.turn += 1
        _publish(self.counters, self.rank, self.turn)
        began = checked = time.monotonic()
        while not _all_have_come(self.counters, self.turn, _LOOKS):
            now = time.monotonic()
            if now - began > _PATIENCE:
                time.sleep(_SLEEP)
            if now - checked > _CHECK_EVERY:
                self._check_lives()
                checked = now

    def _check_lives(self) -> None:
        for rank, process in enumerate(self.counters[:, 1].tolist()):
            try:
                state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                state = "X"
            if state in "ZX":
                raise LostProcessError(f"process {rank} was lost")


def open_shared_sums(rank: int, n_processes: int, agree: Callable[[str], str]) -> SharedSums | None:
    """Open memory that all processes share; None where they are on several machines or there is no room.

    agree: called by all with a text, returns that of process 0 to all of them.
    """
    if os.environ.get("LOCAL_WORLD_SIZE") != str(n_processes) or not _MEMORY.is_dir():
        return None
    path = agree(_new_file(n_processes) if rank == 0 else "")
    if not path:
        return None
    sums = SharedSums(path, rank, n_processes)
    sums.add_up(torch.zeros(1))  # all have opened it
    if rank == 0:
        Path(path).unlink()
    return sums


def _new_file(n_processes: int) -> str:
    """Make the file and return its path; "" if the memory has no room for it."""
    for left in _MEMORY.glob("crystallite-*-*"):
        process = left.name.split("-")[1]
        if process.isdecimal() and not is_running(int(process)):
            left.unlink(missing_ok=True)  # killed before all had opened it
    handle, path = tempfile.mkstemp(dir=_MEMORY, prefix=f"crystallite-{os.getpid()}-")
    try:
        os.posix_fallocate(handle, 0, _size(n_processes))
    except OSError:
        Path(path).unlink()
        return ""
    finally:
        os.close(handle)
    return path


def _size(n_processes: int) -> int:
    return n_processes * (64 + 2 * CAPACITY)


@intrinsic
def _load_acquire(typing_context, array, index):  # type: ignore[no-untyped-def]
    """array[index] of int64, read before all that comes after it."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.load_atomic(_entry(context, builder, signature, arguments), "acquire", 8)

    return types.int64(array, index), generate


@intrinsic
def _store_release(typing_context, array, index, value):  # type: ignore[no-untyped-def]
    """array[index] = value of int64, written after all that comes before it."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        builder.store_atomic(arguments[2], _entry(context, builder, signature, arguments), "release", 8)
        return context.get_dummy_value()

    return types.none(array, index, types.int64), generate


def _entry(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """The address of an array's entry; the array is the first argument, the index the second."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    pointer = builder.bitcast(array.data, ir.IntType(64).as_pointer())
    return builder.gep(pointer, [arguments[1]])


@compiled(shared=True)
def _publish(counters, rank, turn):  # type: ignore[no-untyped-def]
    _store_release(counters, rank * _LINE, turn)


@compiled(shared=True)
def _all_have_come(counters, turn, looks):  # type: ignore[no-untyped-def]
    """Whether every process has published `turn` within a number of looks."""
    for _ in range(looks):
        missing = False
        for rank in range(len(counters)):
            if _load_acquire(counters, rank * _LINE) < turn:
                missing = True
        if not missing:
            return True
    return False
