"""Errors that may pass: of disks, networks and limits, not of the file that was to be read."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

from ..errors import StorageError


def _numbers(names: str) -> set[int]:
    return {getattr(errno, name) for name in names.split() if hasattr(errno, name)}


_LIMITS = _numbers("EMFILE ENFILE ENOMEM EAGAIN ENOLCK")  # of this process or machine
_FAILING = _numbers(
    "EIO EUCLEAN EBADMSG ESTALE ETIMEDOUT ENODEV ENXIO EREMOTEIO EBUSY ESHUTDOWN ECONNRESET ECONNABORTED "
    "ECONNREFUSED EHOSTDOWN EHOSTUNREACH ENETDOWN ENETRESET ENETUNREACH ENOTCONN ENOLINK ECOMM EKEYEXPIRED"
)


def may_pass(error: object) -> bool:
    """Whether this is an error of the system, not of the file, or raised for one: it may not come again."""
    return any(
        isinstance(one, StorageError | TimeoutError | ConnectionError | socket.gaierror)
        or (isinstance(one, OSError) and one.errno in _FAILING | _LIMITS)
        for one in _causes(error)
    )


def stops(error: object, *, skip_unreadable: bool) -> bool:
    """Whether an error ends what reads many files: it may pass, and is not one of a file to be skipped."""
    is_limit = any(isinstance(one, OSError) and one.errno in _LIMITS for one in _causes(error))
    return is_limit or (may_pass(error) and not skip_unreadable)


def _causes(error: object) -> Iterator[BaseException]:
    while isinstance(error, BaseException):
        yield error
        error = error.__cause__ or error.__context__
