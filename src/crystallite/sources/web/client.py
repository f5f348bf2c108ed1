"""Asking a web service for JSON: patient when it is busy, clear when it answers something else."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from ... import __version__
from ...errors import CrystalliteError
from ...extras import needed
from .journal import Journal, Reply

if TYPE_CHECKING:
    import httpx

ATTEMPTS = 8
FIRST_WAIT = 1.0  # seconds before the second attempt; doubled before every further one
LONGEST_WAIT = 300.0  # seconds, also of what a server asks for with Retry-After
TIMEOUT = 90.0  # seconds without a byte
LARGEST_REPLY = 64 << 20  # bytes, unpacked; a page of crystals has some 10 MB
SHOWN = 160  # characters of an unexpected reply

Check = Callable[[Any], bool]


class ServiceError(CrystalliteError):
    """A web service refuses, is out of reach, or answers something that it should not."""


class BusyError(Exception):
    """An attempt failed in a way that may pass. `wait`: seconds the server asks for, if it does."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class JsonClient:
    """A web service that answers JSON, with a journal of its replies.

    service: its name in messages. endpoint: its address. key_advice: what to do when it refuses the key.
    Use it in a `with` block.
    """

    def __init__(
        self, service: str, endpoint: str, headers: Mapping[str, str], journal: Journal, key_advice: str
    ) -> None:
        if not endpoint.startswith(("http://", "https://")):
            raise CrystalliteError(f"{endpoint}: the address of a web service starts with https://")
        self.service, self.endpoint, self.journal = service, endpoint.rstrip("/"), journal
        self.key_advice = key_advice
        self._httpx = needed("httpx", "fetching", "crystallite[fetch]")
        agent = {"User-Agent": f"crystallite/{__version__}", "Accept": "application/json"}
        self._http: httpx.Client = self._httpx.Client(headers={**agent, **headers}, timeout=TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def get(self, path: str, parameters: Mapping[str, str], is_expected: Check) -> Reply:
        """Return the reply to a GET request, from the journal if it was asked before.

        is_expected: whether the JSON has the right shape; one that has not is an error and is not kept.
        """
        request = f"{self.endpoint}{path}?{urlencode(sorted(parameters.items()))}"
        kept = self.journal.read(request)
        if kept is None or not is_expected(kept.content):
            content = self.get_now(path, parameters, is_expected)
            kept = Reply(content, datetime.now(UTC).date().isoformat())
            self.journal.write(request, kept)
        return kept

    def get_now(
        self, path: str, parameters: Mapping[str, str], is_expected: Check, attempts: int = ATTEMPTS
    ) -> Any:
        """Return the JSON of a GET request that is sent in any case.

        Raises ServiceError for a refused key, an unexpected reply, and when the last attempt has failed.
        """
        attempt = 1
        while True:
            try:
                return self._attempt(path, parameters, is_expected)
            except BusyError as failure:
                if attempt == attempts:
                    raise ServiceError(
                        f"{self.service} at {self.endpoint}: {failure} (gave up after {attempts} attempts)"
                    ) from None
                time.sleep(_seconds(failure, attempt))
                attempt += 1

    def _attempt(self, path: str, parameters: Mapping[str, str], is_expected: Check) -> Any:
        try:
            response = self._received(self.endpoint + path, parameters)
        except self._httpx.ConnectError as error:
            raise BusyError(
                f"no connection ({error}); is there a network, and is the address right?"
            ) from None
        except (self._httpx.TransportError, self._httpx.DecodingError) as error:
            raise BusyError(f"the connection broke ({error or type(error).__name__})") from None
        except self._httpx.InvalidURL as error:
            raise CrystalliteError(f"{self.endpoint}: not an address ({error})") from None
        return self._content(response, is_expected)

    def _received(self, address: str, parameters: Mapping[str, str]) -> httpx.Response:
        """Return a reply with all its bytes; raises ServiceError when there are more than LARGEST_REPLY."""
        content = bytearray()
        with self._http.stream("GET", address, params=dict(parameters)) as response:
            for piece in response.iter_bytes():
                content += piece
                if len(content) > LARGEST_REPLY:
                    raise ServiceError(
                        f"{self.service} ({response.url}) answers with more than {LARGEST_REPLY:,} bytes"
                    )
        headers = [(name, value) for name, value in response.headers.items() if name != "content-encoding"]
        whole: httpx.Response = self._httpx.Response(
            response.status_code, headers=headers, content=bytes(content), request=response.request
        )
        return whole

    def _content(self, response: httpx.Response, is_expected: Check) -> Any:
        """Return the JSON of a reply, or raise what its status asks for."""
        status = response.status_code
        if status in (401, 403):
            raise ServiceError(
                f"{self.service} refused the key ({status}: {_start(response)}). {self.key_advice}"
            )
        if status == 429 or status >= 500:
            raise BusyError(f"it answered {status} {response.reason_phrase}", _retry_after(response))
        if status != 200:
            raise ServiceError(f"{self.service} ({response.url}) answered {status}: {_start(response)}")
        try:
            content = response.json()
            if is_expected(content):
                return content
        except (ValueError, RecursionError):
            pass
        kind = response.headers.get("content-type", "nothing known").split(";")[0]
        raise ServiceError(
            f"{self.endpoint} answers, but not as {self.service} does ({kind}: {_start(response)}). "
            "Is the address right? The log-in page of a network does this, too"
        )


def _seconds(failure: BusyError, attempt: int) -> float:
    """Return how long to wait after a failed attempt: what the server asks for, or longer each time."""
    wanted = failure.wait if failure.wait is not None else FIRST_WAIT * 2 ** (attempt - 1)
    return min(wanted, LONGEST_WAIT) * random.uniform(1.0, 1.2)  # not all clients at the same moment


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of a Retry-After header (a number or a date)."""
    text = response.headers.get("retry-after", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _start(response: httpx.Response) -> str:
    """Return the first words of a reply, on one line."""
    text = " ".join(response.text.split())
    return (text[:SHOWN] + " ...") if len(text) > SHOWN else text or "nothing"
