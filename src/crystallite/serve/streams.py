"""Predictions of crystals that come line by line, told line by line: memory does not grow with them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from ..errors import CrystalError
from ..sources.reading.texts import StructureText
from .answers import as_json
from .batching import StoppingError
from .catalogue import Selected
from .evaluation import Prediction
from .reading import Budget, TooMuchError
from .schemas import Structure
from .service import PART, Service, SlowError, problems


class LinesResponse(StreamingResponse):
    """Lines of JSON that are made while the body of the request is still being read.

    The usual response waits for the client to go, by reading from the request itself.
    """

    media_type = "application/x-ndjson"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the lines."""
        with suppress(OSError, ClientDisconnect):  # the client has gone
            await self.stream_response(send)


async def streamed_predictions(
    service: Service, body: AsyncIterator[bytes], selected: Sequence[Selected], asked: Prediction
) -> AsyncIterator[bytes]:
    """Yield a line of JSON for each crystal of the lines of a body, or for each line that cannot be used.

    A last line says why it ends where the client is too slow.
    """
    number = 0
    try:
        async for lines in _lines(body, service.settings.limits.body):
            for start in range(0, len(lines), PART):
                texts: list[StructureText] = []
                for line in lines[start : start + PART]:
                    number += 1
                    read = _structure(line, number)
                    if isinstance(read, CrystalError):
                        yield _line(problems([read])[0])
                    else:
                        texts.append(read)
                async for line in _answers(service, texts, selected, asked):
                    yield line
    except HTTPException as error:  # of the guard
        yield _line({"source": f"after line {number}", "reason": str(error.detail)})


async def _answers(
    service: Service, texts: list[StructureText], selected: Sequence[Selected], asked: Prediction
) -> AsyncIterator[bytes]:
    try:
        async for part in service.answers(texts, asked, Budget(service.settings.limits, of_each=True)):
            for sent, row in zip(part.crystals, part.results, strict=True):
                yield _line(as_json(sent, row, selected, asked.extras))
            for problem in problems(part.errors):
                yield _line(problem)
    except (SlowError, StoppingError, TooMuchError) as error:
        yield _line({"source": f"{texts[0].name} and what came with it", "reason": str(error)})


async def _lines(body: AsyncIterator[bytes], longest: int) -> AsyncIterator[list[bytes]]:
    """Yield the lines that have arrived whole; one that is too long ends the body."""
    pieces: list[bytes] = []  # of the line that has begun
    n_bytes = 0
    async for data in body:
        first, *others = data.split(b"\n")
        pieces.append(first)
        n_bytes += len(first)
        if others:
            lines = [b"".join(pieces), *others[:-1]]
            pieces, n_bytes = [others[-1]], len(others[-1])
            if lines := [line for line in lines if line.strip()]:
                yield lines
        if n_bytes > longest:
            yield [b"".join(pieces)[:longest]]
            return
    if (rest := b"".join(pieces)).strip():
        yield [rest]


def _structure(line: bytes, number: int) -> StructureText | CrystalError:
    try:
        read = Structure.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return CrystalError(f"line {number}", f"{place}: {first['msg']}" if place else first["msg"])
    return StructureText(read.name or f"line-{number}", read.text)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode(errors="replace") + b"\n"
