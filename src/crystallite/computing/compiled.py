"""Compiled loops: Numba's njit with a cache that is never stale, and a word to who waits for it.

Numba keeps machine code by the file of a function alone, and forgets to look at the functions that it calls.
Here code is kept by the text of all modules with compiled loops. It lies next to them, or in the user's cache
folder where they are read-only, or in NUMBA_CACHE_DIR; where nothing can be written each process compiles.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import codegen, event
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.compiler import Compiler
from numpy.typing import NDArray
from platformdirs import user_cache_path

from ..errors import CrystalliteError

_PACKAGE = Path(__file__).parents[1]
_PATIENCE = 1.0  # seconds of compiling before saying so


def _use_whole_vectors() -> bool:
    """Let loops use all 512 bits of AVX-512, and return whether they do.

    For the sake of other programs' clock rate LLVM takes 256. Our loops are long enough: a training step's
    take 0.76 times as long (docs/performance.md). What the user has set for Numba stays.
    """
    features = codegen.get_host_cpu_features()
    is_free = numba.config.CPU_FEATURES is None and numba.config.CPU_NAME is None
    if is_wide := is_free and "+avx512f" in features.split(","):
        numba.config.CPU_FEATURES = f"{features},-prefer-256-bit"
    return is_wide


WIDE_VECTORS = _use_whole_vectors()  # whether a vector of 16 numbers is one register


def compiled(function: Callable[..., Any] | None = None, *, shared: bool = False, **options: Any) -> Any:
    """Compile a loop when it is first called; a decorator, with or without options, those of njit included.

    The loop releases the GIL and divides by zero as NumPy does. It takes its constants from modules with
    compiled loops alone. Its arrays must not overlap where it writes, unless they are `shared` with others.
    """
    if function is None:
        return functools.partial(compiled, shared=shared, **options)
    if numba.config.DISABLE_JIT:
        raise CrystalliteError("NUMBA_DISABLE_JIT is set, but loops must be compiled: unset it")
    options |= {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    dispatcher = numba.njit(pipeline_class=Compiler if shared else _Compiler, **options)(function)
    if _cache_folder() is not None:
        dispatcher._cache = _Cache(function)
    return dispatcher


def read_only(*arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return views that cannot be written to: loops are compiled once for memory maps and other arrays."""
    views = tuple(array.view() for array in arrays)
    for view in views:
        view.flags.writeable = False
    return views


class _Compiler(Compiler):  # type: ignore[misc]
    """Numba's compiler, told that arrays do not overlap: loops vectorise without checks."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.flags.noalias = True


class _Locator:
    """Tells Numba where to keep the code of a function, and when that is out of date."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> _Locator:
        return cls(function)

    def ensure_cache_path(self) -> None:
        Path(self.get_cache_path()).mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        return str(_cache_folder())

    def get_source_stamp(self) -> str:
        return _source_stamp()

    def get_disambiguator(self) -> str:
        return str(self.line)


class _CacheOfSources(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_Locator,)


class _Cache(FunctionCache):  # type: ignore[misc]
    _impl_class = _CacheOfSources

    def save_overload(self, signature: Any, result: Any) -> None:
        try:
            super().save_overload(signature, result)
        except OSError:
            self.disable()  # no room: this process continues with what it has compiled


@functools.cache
def _source_stamp() -> str:
    """A hash of the text of all modules with compiled loops."""
    texts = [path.read_bytes() for path in sorted(_PACKAGE.rglob("*.py"))]
    return hashlib.sha256(b"".join(text for text in texts if b"@compiled" in text)).hexdigest()


@functools.cache
def _cache_folder() -> Path | None:
    """The first folder that can be written to; None if there is none."""
    installation = f"kernels-{hashlib.sha256(bytes(_PACKAGE)).hexdigest()[:16]}"
    if numba.config.CACHE_DIR:
        folders = [Path(numba.config.CACHE_DIR) / installation]
    else:
        folders = [_PACKAGE / "__pycache__", user_cache_path("crystallite") / installation]
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


class _Announcement(event.Listener):  # type: ignore[misc]
    """Says once, on standard error, that loops are being compiled when that takes more than a moment."""

    def __init__(self) -> None:
        self.depth, self.began, self.seconds, self.said = 0, 0.0, 0.0, False

    def on_start(self, event: Any) -> None:
        if self.depth == 0:
            self.began = time.monotonic()
        self.depth += 1
        self._say()

    def on_end(self, event: Any) -> None:
        self._say()
        self.depth -= 1
        if self.depth == 0:
            self.seconds += time.monotonic() - self.began

    def _say(self) -> None:
        if self.said or self.seconds + time.monotonic() - self.began < _PATIENCE:
            return
        self.said = True
        if _cache_folder() is None:
            when = "the compiled code cannot be cached: set NUMBA_CACHE_DIR to a writable folder"
        else:
            when = "the first time only"
        print(f"compiling for this CPU ({when}) ...", file=sys.stderr, flush=True)


event.register("numba:compile", _Announcement())
