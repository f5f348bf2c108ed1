"""Texts with structures as they are sent, read within what a request may hold."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from ..crystals.crystal import Crystal
from ..crystals.notices import gathered, summary
from ..errors import CrystalError
from ..sources.reading.structure_files import TakenIds
from ..sources.reading.texts import StructureText, read_text
from .settings import Limits

LONGEST = 10.0  # seconds that texts are read before others have their turn
ATOMS_AS_ONE = 20  # atoms that take about as long to evaluate as a crystal beside its atoms


class TooMuchError(Exception):
    """A request holds more than it may."""


class Sent(NamedTuple):
    """A crystal that was sent: its id, the name of the text it was in, and itself."""

    id: str
    source: str
    crystal: Crystal


class Read(NamedTuple):
    """What texts held: crystals, what cannot be used and why, and what is odd about the others."""

    crystals: list[Sent]
    errors: list[CrystalError]
    notices: list[str]


class Budget:
    """What a request may still hold, and the ids that its crystals have so far.

    of_each: whether it holds for each text by itself, as where a request may have any number of them.
    """

    def __init__(self, limits: Limits, *, of_each: bool = False) -> None:
        self.ids, self.of_each = TakenIds(), of_each
        self._limits = limits
        self._n_crystals = self._n_atoms = 0

    def begin_text(self) -> None:
        """Count the crystals of the next text."""
        if self.of_each:
            self.ids = TakenIds()
            self._n_crystals = self._n_atoms = 0

    def take(self, source: str, crystal: Crystal | CrystalError) -> CrystalError | None:
        """Count a crystal, or a text that has none; return why it cannot be used, if so.

        Raises TooMuchError if the request holds more than it may.
        """
        self._n_crystals += 1
        if self._n_crystals > self._limits.structures:
            raise TooMuchError(f"more than {self._limits.structures:,} crystals in a request")
        if isinstance(crystal, CrystalError):
            return CrystalError(source, _clean(_reason(crystal, source)))
        self._n_atoms += len(crystal)
        if self._n_atoms > self._limits.all_atoms:
            raise TooMuchError(f"more than {self._limits.all_atoms:,} atoms in a request")
        if len(crystal) > self._limits.atoms:
            return CrystalError(
                source, f"{len(crystal):,} atoms; this server takes crystals of {self._limits.atoms:,}"
            )
        return None


def read_texts(texts: Iterable[StructureText], budget: Budget) -> Read:
    """Read texts; their names are different. Ids that were taken have the text's name before them.

    Raises TooMuchError, also where reading takes longer than LONGEST; with a budget of each text none of what
    that one holds is used.
    """
    found = Read([], [], [])
    end = time.monotonic() + LONGEST
    with gathered() as odd:
        for text in texts:
            try:
                crystals, errors = _read(text, budget, end)
            except TooMuchError as error:
                if not budget.of_each:
                    raise
                crystals, errors = [], [CrystalError(text.name, str(error))]
            found.crystals.extend(crystals)
            found.errors.extend(errors)
    found.notices.extend(map(_clean, summary(odd)))
    return found


def _read(text: StructureText, budget: Budget, end: float) -> tuple[list[Sent], list[CrystalError]]:
    """Return the crystals of a text, and what cannot be used; end: when reading must be done."""
    crystals: list[Sent] = []
    errors: list[CrystalError] = []
    budget.begin_text()
    for name, crystal, _ in read_text(text):
        problem = budget.take(text.name, crystal)
        if problem is not None:
            errors.append(problem)
        elif isinstance(crystal, Crystal):
            crystals.append(Sent(budget.ids.of(_clean(name), text.name), text.name, crystal))
        if time.monotonic() > end:
            raise TooMuchError(f"{text.name}: it takes too long to read; send fewer structures at once")
    return crystals, errors


def weight(crystal: Crystal) -> int:
    """Return how long a crystal takes to be evaluated, in crystals of a few atoms."""
    return 1 + len(crystal) // ATOMS_AS_ONE


def cut(crystals: list[Sent], most: int) -> list[list[Sent]]:
    """Cut crystals into parts of at most `most` in weight, or of one crystal."""
    parts: list[list[Sent]] = []
    total = most
    for sent in crystals:
        total += weight(sent.crystal)
        if total > most:
            parts.append([])
            total = weight(sent.crystal)
        parts[-1].append(sent)
    return parts


def _reason(error: CrystalError, name: str) -> str:
    """Return why a text cannot be used, and where in it, without its name twice."""
    place = error.source.removeprefix(name).lstrip(", ")
    return f"{place}: {error.reason}" if place else error.reason


def _clean(text: str) -> str:
    """Return text that UTF-8 can hold: half of a pair of surrogates becomes a question mark."""
    return text.encode(errors="replace").decode()
