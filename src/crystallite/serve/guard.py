"""Who may ask, how much, and how many at once: checked before anything of a request is read.

A page of another site can send requests to a server on one's own machine, or give its own name the address of
that machine: so a request's host must be one of ours, and so must its origin, if it has one.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from .settings import ServeSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Any, Receive, Send], Awaitable[None]]

PROTECTED = ("/api/", "/metrics")  # by the token; the page itself holds nothing
STREAMED = "/api/v1/predict/stream"  # answered as it comes, so that its body may be of any length
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """ASGI middleware that lets allowed requests through, and bounds size and duration of their bodies."""

    def __init__(self, app: Asgi, settings: ServeSettings) -> None:
        self._app, self._settings = app, settings
        self._hosts = set(settings.allowed_hosts)
        self._token = settings.token.encode()
        self._n_asking = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer with a refusal, or hand the request on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # there are no web sockets
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send))
            return
        limits = self._settings.limits
        most_bytes = None if scope["path"] == STREAMED else limits.body
        is_counted = scope["method"] == "POST"
        self._n_asking += is_counted
        try:
            await self._app(
                scope,
                _bounded(receive, most_bytes, limits.seconds),
                _with_headers(_timed(send, limits.seconds)),
            )
        finally:
            self._n_asking -= is_counted

    def _refusal(self, scope: Any, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if _name_of(host) not in self._hosts:
            return _refused(
                400, f"this server is not asked as {host[:200]!r}; start it with --allow-host to allow that"
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return _refused(403, "requests from pages of other sites are refused")
        if self._token and scope["path"].startswith(PROTECTED) and not self._knows_token(headers):
            refusal = _refused(401, "this server wants its token: Authorization: Bearer TOKEN")
            refusal.headers["WWW-Authenticate"] = "Bearer"
            return refusal
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return _refused(400, "Content-Length is no number")
        if scope["path"] != STREAMED and int(length[:20]) > self._settings.limits.body:
            return _refused(413, _too_large(self._settings.limits.body))
        if scope["method"] == "POST" and self._n_asking >= self._settings.limits.waiting:
            refusal = _refused(429, "this server answers as many requests at once as it can; come again")
            refusal.headers["Retry-After"] = "1"
            return refusal
        return None

    def _knows_token(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), self._token)


def _name_of(host: str) -> str:
    """Return the host of a Host header without its port, in lower case."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def _refused(status: int, why: str) -> JSONResponse:
    return JSONResponse({"detail": why, "errors": []}, status)


def _too_large(most_bytes: int) -> str:
    return f"a request may have {most_bytes:,} bytes; send fewer structures at once"


def _bounded(receive: Receive, most_bytes: int | None, seconds: float) -> Receive:
    """Return a `receive` that ends a body which is too long, or for which one waits too long in all.

    most_bytes: None for a body that is answered as it comes; one waits as long for each piece of it.
    """
    n_bytes, waited, whole = 0, 0.0, False

    async def bounded() -> Message:
        nonlocal n_bytes, waited, whole
        if whole:
            return await receive()  # until the client goes
        started = time.monotonic()
        try:
            message = await asyncio.wait_for(receive(), seconds - waited)
        except TimeoutError:
            raise HTTPException(408, f"the request has not arrived within {seconds:g} s") from None
        if message["type"] == "http.request":
            n_bytes += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if most_bytes is not None:
                waited += time.monotonic() - started
                if n_bytes > most_bytes:
                    raise HTTPException(413, _too_large(most_bytes))
        return message

    return bounded


def _timed(send: Send, seconds: float) -> Send:
    """Return a `send` that gives up a client who does not read."""

    async def timed(message: Message) -> None:
        try:
            await asyncio.wait_for(send(message), seconds)
        except TimeoutError:
            raise OSError("the client does not read") from None

    return timed


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return with_headers
