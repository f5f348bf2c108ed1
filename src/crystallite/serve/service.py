"""What a server does for the routes: reads texts on one thread, and asks the models on another."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ..errors import CrystalError
from ..models.ready import ALL
from ..models.tables import Extras
from ..sources.reading.texts import StructureText, different_names, read_text
from .batching import Batcher
from .catalogue import Catalogue
from .evaluation import Embedding, Prediction, Result, evaluate
from .measurements import Measurements
from .reading import Budget, Sent, cut, read_texts, weight
from .settings import ServeSettings

PART = 64  # texts that are read before others have their turn, and small crystals that are evaluated
GRACE = 10.0  # seconds that requests have to end when the server is stopped
LOG = logging.getLogger("uvicorn.error")
_SOME = StructureText(
    "POSCAR",
    "Si\n1.0\n0.0 2.73 2.73\n2.73 0.0 2.73\n2.73 2.73 0.0\nSi\n2\nDirect\n0 0 0\n0.25 0.25 0.25\n",
)
Value = TypeVar("Value")


class SlowError(Exception):
    """A part of a request is not answered in time."""


class Answered(NamedTuple):
    """A part of an answer: crystals with what was asked about them, what cannot be used, what is odd."""

    crystals: list[Sent]
    results: list[Any]
    errors: list[CrystalError]
    notices: list[str]


class Service:
    """Models, and the threads that read texts and ask the models."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.catalogue = Catalogue(settings.runs)
        self.measurements = Measurements()
        self.is_ready = False
        self._reader = ThreadPoolExecutor(1, "reading")  # one: notices are gathered for the whole process
        self._batcher: Batcher[Any, Result] = Batcher(
            partial(evaluate, self.catalogue), self.measurements.batch, weight, settings.limits.together
        )

    async def warm_up(self) -> None:
        """Load the models and predict once, so that nobody waits for that."""
        [record] = read_text(_SOME)
        try:
            await self._batcher.submit(Prediction((ALL,), Extras(90.0, 1)), [record.crystal])
        except Exception:
            LOG.exception("the models cannot be used")
            return
        self.is_ready = True

    async def close(self) -> None:
        """Answer what waits, then end the threads."""
        await asyncio.to_thread(self._batcher.close, GRACE)
        self._reader.shutdown(wait=False, cancel_futures=True)

    async def in_reader(self, function: Callable[..., Value], *arguments: Any) -> Value:
        """Return function(*arguments), called on the thread that reads; raises SlowError."""
        loop = asyncio.get_running_loop()
        value: Value = await self._timed(loop.run_in_executor(self._reader, function, *arguments))
        return value

    async def answers(
        self, texts: Sequence[StructureText], question: Prediction | Embedding, budget: Budget
    ) -> AsyncIterator[Answered]:
        """Yield the answers of texts part by part, in order.

        Raises SlowError, StoppingError, and TooMuchError if they hold more than they may.
        """
        names = different_names(text.name for text in texts)
        named = [StructureText(name, text.text) for name, text in zip(names, texts, strict=True)]
        for start in range(0, len(named), PART):
            read = await self.in_reader(read_texts, named[start : start + PART], budget)
            yield Answered([], [], read.errors, read.notices)
            for part in cut(read.crystals, PART):
                crystals = [sent.crystal for sent in part]
                yield _answered(part, await self._timed(self._batcher.submit(question, crystals)))

    async def _timed(self, awaited: Any) -> Any:
        started = time.monotonic()
        try:
            return await asyncio.wait_for(awaited, self.settings.limits.seconds)
        except TimeoutError:
            raise SlowError(f"no answer within {time.monotonic() - started:.0f} s") from None


def problems(errors: Sequence[CrystalError]) -> list[dict[str, str]]:
    """Return why texts cannot be used, as answers have it."""
    return [{"source": error.source, "reason": error.reason} for error in errors]


def _answered(crystals: Sequence[Sent], results: Sequence[Result]) -> Answered:
    """Tell crystals that could be evaluated from others."""
    answered = Answered([], [], [], [])
    for sent, result in zip(crystals, results, strict=True):
        if isinstance(result, CrystalError):
            answered.errors.append(CrystalError(sent.source, result.reason))
        else:
            answered.crystals.append(sent)
            answered.results.append(result)
    return answered
