"""Progress bars: at a terminal or in a notebook, for what takes longer than two seconds."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

DELAY = 2.0  # seconds


def progress_bar(
    items: Iterable[Any] | None = None,
    *,
    doing: str,
    unit: str,
    total: int | None = None,
    done: int = 0,
    shown: bool = True,
    delay: float | None = None,
) -> tqdm[Any]:
    """Return a bar to iterate `items` through, or to update; nothing is shown where no one looks at it.

    total, done: how many there will be, and are already. delay: seconds before it appears, instead of DELAY.
    """
    in_notebook = "ipykernel" in sys.modules
    if in_notebook:
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm(
        items,
        desc=doing,
        unit=f" {unit}",
        total=total,
        initial=done,
        delay=DELAY if delay is None else delay,
        disable=(False if in_notebook else None) if shown else True,  # None: unless stderr is a terminal
    )
