"""Errors that may pass: of disks, networks and limits, not of the file that was to be read."""

from __future__ import annotations

import errno
import socket

from ..errors import StorageError

_NAMES = (
    "EIO ESTALE ETIMEDOUT ENODEV ENXIO EMFILE ENFILE ENOMEM EREMOTEIO ECONNRESET ECONNABORTED ECONNREFUSED "
    "EHOSTDOWN EHOSTUNREACH ENETDOWN ENETRESET ENETUNREACH ENOTCONN EAGAIN EBUSY ENOLCK ENOLINK ECOMM "
    "EKEYEXPIRED"
)
_PASSING = {getattr(errno, name) for name in _NAMES.split() if hasattr(errno, name)}


def may_pass(error: object) -> bool:
    """Whether this is an error of the system, not of the file, or raised for one: it may not come again."""
    while isinstance(error, BaseException):
        if isinstance(error, StorageError | TimeoutError | ConnectionError | socket.gaierror):
            return True
        if isinstance(error, OSError) and error.errno in _PASSING:
            return True
        error = error.__cause__ or error.__context__
    return False
