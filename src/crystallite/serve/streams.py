"""Predictions of crystals that come line by line, told line by line: memory does not grow with them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from starlette.responses import StreamingResponse

from ..errors import CrystalError
from ..sources.reading.structure_files import TakenIds
from ..sources.reading.texts import StructureText
from .answers import as_json
from .catalogue import Selected
from .evaluation import Prediction
from .schemas import Structure
from .service import PART, Service, SlowError, problems


class LinesResponse(StreamingResponse):
    """Lines of JSON that are made while the body of the request is still being read.

    The usual response waits for the client to go, by reading from the request itself.
    """

    media_type = "application/x-ndjson"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the lines."""
        with suppress(OSError):  # the client has gone
            await self.stream_response(send)


async def streamed_predictions(
    service: Service, body: AsyncIterator[bytes], selected: Sequence[Selected], asked: Prediction
) -> AsyncIterator[bytes]:
    """Yield a line of JSON for each crystal of the lines of a body, or for each line that cannot be used."""
    number = 0
    with service.counted():
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


async def _answers(
    service: Service, texts: list[StructureText], selected: Sequence[Selected], asked: Prediction
) -> AsyncIterator[bytes]:
    try:
        async for part in service.answers(texts, asked, TakenIds()):
            for sent, row in zip(part.crystals, part.results, strict=True):
                yield _line(as_json(sent, row, selected, asked.extras))
            for problem in problems(part.errors):
                yield _line(problem)
    except SlowError as error:
        for text in texts:
            yield _line({"source": text.name, "reason": str(error)})


async def _lines(body: AsyncIterator[bytes], longest: int) -> AsyncIterator[list[bytes]]:
    """Yield the lines that have arrived whole; one that is too long ends the body."""
    rest = b""
    async for data in body:
        *lines, rest = (rest + data).split(b"\n")
        if lines := [line for line in lines if line.strip()]:
            yield lines
        if len(rest) > longest:
            yield [rest[:longest]]
            return
    if rest.strip():
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
