"""The settings of graphs, networks and training: one source for the command line, files and checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from .errors import CrystalliteError

Ties = Literal["shared", "first"]
Task = Literal["regression", "classification"]


class _Settings:
    """Conversion of a settings dataclass to and from plain dictionaries."""

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a dictionary of plain values."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build settings from a dictionary; an unknown name is an error that lists the known ones."""
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        if unknown:
            raise CrystalliteError(
                f"{cls.__name__} has no setting {', '.join(unknown)}; known settings: {', '.join(sorted(known))}"
            )
        return cls(**values)


@dataclass(frozen=True)
class GraphConfig(_Settings):
    """How a crystal becomes a graph (Xie and Grossman 2018; ties as in docs/graphs.md).

    n_neighbors: bonds of an atom. cutoff: search radius in Å of `ties="first"`; with `ties="shared"` the
    radius grows until every atom has its neighbours. tolerance: distances in Å closer than this are equal.
    """

    n_neighbors: int = 12
    cutoff: float = 8.0
    tolerance: float = 1e-3
    ties: Ties = "shared"

    def __post_init__(self) -> None:
        if self.n_neighbors < 1:
            raise CrystalliteError(f"n_neighbors must be at least 1, not {self.n_neighbors}")
        if self.cutoff <= 0 or self.tolerance <= 0:
            raise CrystalliteError("cutoff and tolerance must be positive lengths in Å")
        if self.ties not in ("shared", "first"):
            raise CrystalliteError(f"ties must be 'shared' or 'first', not {self.ties!r}")


@dataclass(frozen=True)
class ModelConfig(_Settings):
    """The network's shape (paper eq. 5 and its supplement).

    atom_width: length of an atom's vector; n_convolutions; hidden_width and n_hidden: the layers after
    pooling; n_outputs: targets (2 for classification); gaussian_stop, gaussian_step: centres of the bond
    expansion 0, step, ..., stop in Å, as wide as their step.
    """

    atom_width: int = 64
    n_convolutions: int = 3
    hidden_width: int = 128
    n_hidden: int = 1
    n_outputs: int = 1
    task: Task = "regression"
    dropout: float = 0.5
    gaussian_stop: float = 8.0
    gaussian_step: float = 0.2
