"""What a server does for the routes: reads texts, asks the models, and counts who waits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ..errors import CrystalError, CrystalliteError
from ..graphs.packed import build_graphs
from ..models.ready import ALL
from ..models.tables import Extras
from ..settings.config import GraphConfig
from ..sources.reading.structure_files import TakenIds
from ..sources.reading.texts import StructureText, different_names, read_text
from .answers import Read, Sent, read_texts
from .batching import Batcher
from .catalogue import Catalogue
from .drawing import drawn
from .evaluation import Embedding, Prediction, Result, evaluate
from .measurements import Measurements
from .settings import ServeSettings

PART = 64  # texts that are read and evaluated before others have their turn
MOST_DRAWN = 20  # crystals of a text
_SOME = StructureText(
    "POSCAR",
    "Si\n1.0\n0.0 2.73 2.73\n2.73 0.0 2.73\n2.73 2.73 0.0\nSi\n2\nDirect\n0 0 0\n0.25 0.25 0.25\n",
)
Value = TypeVar("Value")


class BusyError(Exception):
    """As many requests wait as may."""


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
            partial(evaluate, self.catalogue), self.measurements.batch
        )
        self._n_waiting = 0

    async def warm_up(self) -> None:
        """Load the models and predict once, so that nobody waits for that."""
        [record] = read_text(_SOME)
        try:
            await self._batcher.submit(Prediction((ALL,), Extras(90.0, 1)), [record.crystal])
        except CrystalliteError as error:
            logging.getLogger("uvicorn.error").error("the models cannot be loaded: %s", error)
            return
        self.is_ready = True

    async def close(self) -> None:
        """Answer what waits, then end the threads."""
        await asyncio.to_thread(self._batcher.close)
        self._reader.shutdown()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a request while the block runs; raises BusyError if there are too many already."""
        if self._n_waiting >= self.settings.limits.waiting:
            raise BusyError
        self._n_waiting += 1
        try:
            yield
        finally:
            self._n_waiting -= 1

    async def in_reader(self, function: Callable[..., Value], *arguments: Any) -> Value:
        """Return function(*arguments), called on the thread that reads."""
        loop = asyncio.get_running_loop()
        value: Value = await self._timed(loop.run_in_executor(self._reader, function, *arguments))
        return value

    async def answers(
        self, texts: Sequence[StructureText], question: Prediction | Embedding, ids: TakenIds | None = None
    ) -> AsyncIterator[Answered]:
        """Yield the answers of texts part by part, in order.

        ids: those that were given before, where the texts are not all of a request. Raises SlowError.
        """
        ids = ids or TakenIds()
        names = different_names(text.name for text in texts)
        named = [StructureText(name, text.text) for name, text in zip(names, texts, strict=True)]
        for start in range(0, len(named), PART):
            part = named[start : start + PART]
            read = await self.in_reader(read_texts, part, ids, self.settings.limits.atoms)
            results = await self._timed(
                self._batcher.submit(question, [sent.crystal for sent in read.crystals])
            )
            yield _answered(read, results)

    async def drawings(self, text: StructureText, model: str | None) -> dict[str, Any]:
        """Return the crystals of a text as the page draws them."""
        return await self.in_reader(self._drawings, text, model)

    def _drawings(self, text: StructureText, model: str | None) -> dict[str, Any]:
        selected = self.catalogue.select([model])[0].predictor if model else None
        config = selected.model.graph if selected else GraphConfig()
        [name] = different_names([text.name])
        read = read_texts([StructureText(name, text.text)], TakenIds(), self.settings.limits.atoms)
        found = []
        for sent in read.crystals[:MOST_DRAWN]:
            try:
                build_graphs([sent.crystal], config, [sent.id])
            except CrystalError as error:
                read.errors.append(CrystalError(sent.source, error.reason))
                continue
            contributions = []
            if selected:
                values = selected.site_contributions(sent.crystal).T.tolist()
                targets = selected.model.targets
                contributions = [
                    {"target": target, "unit": unit, "values": of_target}
                    for target, unit, of_target in zip(targets.names, targets.units, values, strict=True)
                ]
            found.append(
                {"material_id": sent.id, **drawn(sent.crystal, config), "contributions": contributions}
            )
        if len(read.crystals) > MOST_DRAWN:
            read.notices.append(f"{len(read.crystals):,} crystals; the first {MOST_DRAWN} are shown")
        return {"crystals": found, "errors": problems(read.errors), "notices": read.notices}

    async def _timed(self, awaited: Any) -> Any:
        started = time.monotonic()
        try:
            return await asyncio.wait_for(awaited, self.settings.limits.seconds)
        except TimeoutError:
            raise SlowError(f"no answer within {time.monotonic() - started:.0f} s") from None


def problems(errors: Sequence[CrystalError]) -> list[dict[str, str]]:
    """Return why texts cannot be used, as answers have it."""
    return [{"source": error.source, "reason": error.reason} for error in errors]


def _answered(read: Read, results: Sequence[Result]) -> Answered:
    """Tell crystals that could be evaluated from others."""
    answered = Answered([], [], list(read.errors), read.notices)
    for sent, result in zip(read.crystals, results, strict=True):
        if isinstance(result, CrystalError):
            answered.errors.append(CrystalError(sent.source, result.reason))
        else:
            answered.crystals.append(sent)
            answered.results.append(result)
    return answered
