"""The settings of graphs, networks and training: one source for the command line, files and checkpoints."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from .errors import CrystalliteError

TINY = 5e-324  # the smallest positive number: a lower limit of what must be positive
LARGEST_SEED = 2**63 - 1  # of TOML's whole numbers
Ties = Literal["shared", "first"]
Task = Literal["regression", "classification"]
Convolution = Literal["gated", "plain"]
Readout = Literal["pooled", "per-atom"]


# Kind of a setting -> what is accepted for it (NumPy's numbers too), and its name.
_KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    int: ((Integral,), "a whole number"),
    float: ((Real,), "a number"),
    str: ((str,), "text"),
    tuple: ((tuple, list), "a list"),
}


class _Settings:
    """Conversion of a settings dataclass to and from plain dictionaries."""

    @classmethod
    def checked(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Return values as the kinds of value the settings have; a whole number will do for a real one.

        Raises CrystalliteError naming a setting of another kind.
        """
        hints = get_type_hints(cls)
        return {name: _as_kind(name, value, hints[name]) for name, value in values.items()}

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
        return cls(**cls.checked(values))


def _as_kind(name: str, value: Any, hint: Any) -> Any:
    """Return `value` as what a type hint says: a number, text, one of several words, or a list of either."""
    origin, inside = get_origin(hint), get_args(hint)
    kind: Any = str if origin is Literal else origin or hint
    accepted, words = _KINDS[kind]
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise CrystalliteError(f"{name} must be {words}, not {value!r}")
    if kind is tuple:
        items: Any = value
        return tuple(_as_kind(f"each of {name}", item, inside[0]) for item in items)
    converted = kind(value)
    if isinstance(converted, float) and not math.isfinite(converted):
        raise CrystalliteError(f"{name} must be a finite number, not {value}")
    return converted


def _check_limits(settings: Any, limits: dict[str, tuple[float, float]]) -> None:
    """Raise CrystalliteError naming a setting that lies outside its limits, both included."""
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            shown = "positive" if low == TINY else f"at least {low:g}"
            raise CrystalliteError(f"{name} must be {shown} and at most {high:g}, not {value:g}")


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
        _check_limits(self, {"n_neighbors": (1, 1000), "cutoff": (TINY, 100), "tolerance": (TINY, 0.1)})
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
        _check_limits(
            self, {"atom_width": (1, 10_000), "hidden_width": (1, 10_000), "n_outputs": (1, 10_000)}
        )
        _check_limits(self, {"n_convolutions": (1, 100), "n_hidden": (1, 100)})
        _check_limits(self, {"gaussian_stop": (TINY, 100), "gaussian_step": (TINY, 100)})
        if self.gaussian_stop / self.gaussian_step > 1000:
            raise CrystalliteError(
                "gaussian_step must be at least a thousandth of gaussian_stop, "
                f"not {self.gaussian_step:g} of {self.gaussian_stop:g}"
            )
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
        whole = 2**31 - 1
        _check_limits(self, {"epochs": (1, whole), "batch_size": (1, whole), "patience": (0, whole)})
        _check_limits(self, {"learning_rate": (TINY, 1e30), "weight_decay": (0, 1e30), "warmup": (0, 1)})
        _check_limits(self, {"seed": (0, LARGEST_SEED)})
        for name in ("momentum", "averaging"):
            if not 0 <= getattr(self, name) < 1:
                raise CrystalliteError(f"{name} must lie in [0, 1), not {getattr(self, name)}")
        for name, kinds in (("optimizer", Optimizer), ("schedule", Schedule), ("loss", Loss)):
            if getattr(self, name) not in kinds.__args__:  # type: ignore[attr-defined]
                raise CrystalliteError(f"{name} must be one of {', '.join(kinds.__args__)}")  # type: ignore[attr-defined]
