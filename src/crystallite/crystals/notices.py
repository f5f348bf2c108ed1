"""What is odd about a file but no error: told one by one, or gathered where there may be thousands."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_NAMED = 3  # files named in a gathered notice


class CrystalNotice(UserWarning):
    """What is odd about one crystal.

    `source` names the file, `kind` says what is odd about it and others like it, `detail` says how.
    """

    def __init__(self, source: str, kind: str, detail: str) -> None:
        super().__init__(source, kind, detail)
        self.source, self.kind, self.detail = source, kind, detail

    def __str__(self) -> str:
        return f"{self.source}: {self.kind}: {self.detail}"


def notify(notices: list[CrystalNotice]) -> None:
    """Warn of each notice."""
    for notice in notices:
        warnings.warn(notice, stacklevel=3)


@contextmanager
def gathered() -> Iterator[list[CrystalNotice]]:
    """Yield a list that takes the notices of the block; other warnings are shown as usual."""
    notices: list[CrystalNotice] = []
    with warnings.catch_warnings():
        usual: Callable[..., None] = warnings.showwarning

        def show(message: Warning | str, *place: Any, **more: Any) -> None:
            if isinstance(message, CrystalNotice):
                notices.append(message)
            else:
                usual(message, *place, **more)

        warnings.simplefilter("always", CrystalNotice)
        warnings.showwarning = show
        yield notices


def summary(notices: list[CrystalNotice]) -> list[str]:
    """Return one line for each kind of notice: how many files, and the first few with the details."""
    by_kind: dict[str, list[CrystalNotice]] = {}
    for notice in notices:
        by_kind.setdefault(notice.kind, []).append(notice)
    lines = []
    for kind, same in by_kind.items():
        if len(same) == 1:
            lines.append(str(same[0]))
            continue
        named = "; ".join(f"{notice.source} ({notice.detail})" for notice in same[:_NAMED])
        more = f" and {len(same) - _NAMED:,} more" if len(same) > _NAMED else ""
        lines.append(f"{len(same):,} files: {kind}: {named}{more}")
    return lines
