"""Packages that only some features need: imported on use, with a word on how to install those missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .errors import CrystalliteError


def needed(module: str, purpose: str, requirement: str) -> Any:
    """Return a module; where it is not installed CrystalliteError says what needs it and how to install it.

    purpose: a phrase such as "fetching". requirement: as pip takes it, such as crystallite[fetch].
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = (error.name or module).partition(".")[0]
        raise CrystalliteError(
            f"{purpose} needs the package {package}: pip install '{requirement}'"
        ) from error
