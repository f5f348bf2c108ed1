"""The settings of graphs, networks and training: one source for the command line, files and checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self

from .errors import CrystalliteError

Ties = Literal["shared", "first"]
Task = Literal["regression", "classification"]
Convolution = Literal["gated", "plain"]
Readout = Literal["pooled", "per-atom"]


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
                f"{cls.__name__} has no setting {', '.join(unknown)}; "
                f"known settings: {', '.join(sorted(known))}"
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

    def effective(self) -> GraphConfig:
        """Return the settings with those that have no effect at their defaults: equal for equal graphs."""
        return replace(self, cutoff=GraphConfig.cutoff) if self.ties == "shared" else self


@dataclass(frozen=True)
class ModelConfig(_Settings):
    """The network's shape (paper eq. 5 and its supplement).

    atom_width: length of an atom's vector; n_convolutions; hidden_width and n_hidden: the layers after
    pooling; n_outputs: targets (2 for classification); gaussian_stop, gaussian_step: centres of the bond
    expansion 0, step, ..., stop in Å, as wide as their step. convolution: `gated` is the paper's eq. 5,
    `plain` its eq. 4. readout: `pooled` has hidden layers after pooling; `per-atom` is linear, so that the
    prediction is the mean of contributions of the atoms (the paper's site energies).
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
    convolution: Convolution = "gated"
    readout: Readout = "pooled"

    def __post_init__(self) -> None:
        widths = (self.atom_width, self.n_convolutions, self.hidden_width, self.n_hidden, self.n_outputs)
        if min(widths) < 1:
            raise CrystalliteError("the network's widths and numbers of layers must be at least 1")
        if self.gaussian_step <= 0 or self.gaussian_stop <= 0:
            raise CrystalliteError("gaussian_stop and gaussian_step must be positive lengths in Å")
        if self.task not in ("regression", "classification"):
            raise CrystalliteError(f"task must be 'regression' or 'classification', not {self.task!r}")
        if not 0 <= self.dropout < 1:
            raise CrystalliteError(f"dropout must lie in [0, 1), not {self.dropout}")
        if self.convolution not in ("gated", "plain"):
            raise CrystalliteError(f"convolution must be 'gated' or 'plain', not {self.convolution!r}")
        if self.readout not in ("pooled", "per-atom"):
            raise CrystalliteError(f"readout must be 'pooled' or 'per-atom', not {self.readout!r}")


Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["one-cycle", "step", "constant"]
Loss = Literal["mae", "mse", "huber"]


@dataclass(frozen=True)
class TrainConfig(_Settings):
    """How a network is trained.

    learning_rate: the largest of the schedule. schedule: `one-cycle` warms up over `warmup` of the training
    and then falls to zero along a cosine; `step` divides by ten after each epoch in `milestones`.
    loss: on normalised targets; classification always takes the cross entropy. averaging: decay per step of
    the running average of the weights that is validated and kept (0: none). patience: epochs without a
    better validation error before stopping early (0: never). start_from: a model to fine-tune. frozen: parts
    of the network that stay as they are, such as `embedding` or `convolutions.0`.
    """

    epochs: int = 100
    batch_size: int = 256
    optimizer: Optimizer = "adamw"
    learning_rate: float = 1e-2
    momentum: float = 0.9
    weight_decay: float = 1e-2
    schedule: Schedule = "one-cycle"
    warmup: float = 0.3
    milestones: tuple[int, ...] = ()
    loss: Loss = "mae"
    averaging: float = 0.99
    patience: int = 0
    seed: int = 0
    start_from: str = ""
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))
        object.__setattr__(self, "frozen", tuple(self.frozen))
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise CrystalliteError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise CrystalliteError(f"learning_rate must be positive, not {self.learning_rate}")
        if self.seed < 0 or self.patience < 0 or not 0 <= self.averaging < 1 or not 0 <= self.warmup <= 1:
            raise CrystalliteError(
                "seed and patience must not be negative; averaging and warmup lie in [0, 1)"
            )
        for name, kinds in (("optimizer", Optimizer), ("schedule", Schedule), ("loss", Loss)):
            if getattr(self, name) not in kinds.__args__:  # type: ignore[attr-defined]
                raise CrystalliteError(f"{name} must be one of {', '.join(kinds.__args__)}")  # type: ignore[attr-defined]
