"""The settings of graphs, networks and training: one source for the command line, files and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from ..errors import CrystalliteError

TINY = 5e-324  # the smallest positive number: a lower limit of what must be positive
BELOW_ONE = math.nextafter(1, 0)
LARGEST_SEED = 2**63 - 1  # of TOML's whole numbers
LARGEST_COUNT = 2**31 - 1
MOST_WEIGHTS = 300_000_000  # of a network: 1.2 GB, and as much again for each average that training keeps
Ties = Literal["shared", "first"]
Task = Literal["regression", "classification"]
Convolution = Literal["gated", "plain", "edge-updating"]
Readout = Literal["pooled", "per-atom"]
Angles = Literal["none", "orders"]
Method = Literal["network", "kernel"]


# Kind of a setting -> what is accepted for it (NumPy's numbers too), and its name.
_KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    int: ((Integral,), "a whole number"),
    float: ((Real,), "a number"),
    str: ((str,), "text"),
    tuple: ((tuple, list), "a list"),
}


# What the numbers of all settings may be, both ends included; docs/training.md says what they mean. A setting
# that is text and not in here may be any, or one of the words of its type.
LIMITS: dict[str, tuple[float, float]] = {
    # graphs
    "n_neighbors": (1, 1000),
    "cutoff": (TINY, 100),
    "tolerance": (TINY, 0.1),
    # the network
    "atom_width": (1, 10_000),
    "edge_width": (1, 10_000),
    "hidden_width": (1, 10_000),
    "n_convolutions": (1, 100),
    "n_hidden": (1, 100),
    "n_outputs": (1, 10_000),
    "dropout": (0, BELOW_ONE),
    "gaussian_stop": (TINY, 100),
    "gaussian_step": (TINY, 100),
    # training
    "epochs": (1, LARGEST_COUNT),
    "batch_size": (1, LARGEST_COUNT),
    "learning_rate": (TINY, 1e30),
    "momentum": (0, BELOW_ONE),
    "weight_decay": (0, 1e30),
    "warmup": (0, 1),
    "milestones": (0, LARGEST_COUNT),
    "averaging": (0, BELOW_ONE),
    "patience": (0, LARGEST_COUNT),
    "seed": (0, LARGEST_SEED),
    # data
    "split_seed": (0, LARGEST_SEED),
    "train_limit": (0, LARGEST_SEED),
    # of the targets of a trained model
    "mean": (-1e300, 1e300),
    "std": (TINY, 1e300),
}


class Settings:
    """A dataclass of settings: its values are of the types it declares and inside LIMITS."""

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():
            value = getattr(self, name)
            if get_origin(hint) is tuple:
                object.__setattr__(self, name, tuple(value))
            elif get_origin(hint) is Literal and value not in get_args(hint):
                raise CrystalliteError(f"{name} must be one of {', '.join(get_args(hint))}, not {value!r}")
            if name in LIMITS:
                for number in value if isinstance(value, tuple | list) else (value,):
                    _check_limits(name, number, *LIMITS[name])

    @classmethod
    def checked(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Return values converted to the types of the settings; an integer is accepted for a float.

        Args:
            values: setting -> value.

        Returns:
            Setting -> value of the type that the setting declares.

        Raises:
            CrystalliteError: for a value of another kind; the setting is named.
        """
        hints = _hints(cls)
        return {name: _as_kind(name, value, hints[name]) for name, value in values.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a dictionary.

        Returns:
            Setting -> value: numbers, text and tuples of them.
        """
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build settings from a dictionary.

        Args:
            values: setting -> value; what is not given has its default.

        Returns:
            The settings.

        Raises:
            CrystalliteError: for an unknown name, listing the known ones, and for a value of another kind or
                outside its limits.
        """
        if not isinstance(values, dict):
            raise CrystalliteError(f"{cls.__name__} must be a table of settings, not {values!r:.60}")
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        if unknown:
            raise CrystalliteError(
                f"{cls.__name__} has no setting {', '.join(unknown)}; "
                f"known settings: {', '.join(sorted(known))}"
            )
        return cls(**cls.checked(values))


_hints: Callable[[Any], dict[str, Any]] = lru_cache(get_type_hints)  # of the fields of settings


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
    try:
        converted = kind(value)
    except OverflowError:  # a whole number beyond all real ones
        converted = math.inf
    if isinstance(converted, float) and not math.isfinite(converted):
        raise CrystalliteError(f"{name} must be a finite number, not {value!s:.40}")
    return converted


def _check_limits(name: str, value: float, low: float, high: float) -> None:
    """Raise CrystalliteError naming a setting that lies outside its limits, both included."""
    if low <= value <= high:
        return
    shown = f"{value:g}" if isinstance(value, float) else f"{value!s:.40}"
    if high == BELOW_ONE:
        raise CrystalliteError(f"{name} must lie in [0, 1), not {shown}")
    least = "positive" if low == TINY else f"at least {low:g}"
    raise CrystalliteError(f"{name} must be {least} and at most {high:g}, not {shown}")


@dataclass(frozen=True)
class GraphConfig(Settings):
    """How a crystal becomes a graph (Xie and Grossman 2018; ties as in docs/graphs.md).

    Attributes:
        n_neighbors: bonds per atom.
        cutoff: search radius in Å of `ties="first"`; with `ties="shared"` the radius grows until every atom
            has its neighbours.
        tolerance: distances in Å that differ by less are equal.
        ties: `shared` lets bonds that are as long as the last one share its weight; `first` takes those that
            come first, as the published code does.

    Raises:
        CrystalliteError: naming a setting outside its limits.
    """

    n_neighbors: int = 12
    cutoff: float = 8.0
    tolerance: float = 1e-3
    ties: Ties = "shared"

    def effective(self) -> GraphConfig:
        """Return the settings that decide the graphs.

        Returns:
            The same settings, those without an effect at their defaults: `cutoff` for `ties="shared"`.
        """
        return replace(self, cutoff=GraphConfig.cutoff) if self.ties == "shared" else self


@dataclass(frozen=True)
class ModelConfig(Settings):
    """The network's shape (paper eq. 5 and its supplement).

    Attributes:
        atom_width: length of an atom's vector.
        n_convolutions: convolution layers.
        hidden_width: width of the layers after pooling.
        n_hidden: number of the layers after pooling.
        n_outputs: number of targets; 2 for classification.
        task: `regression` or `classification`.
        dropout: fraction of the last layer's inputs that training drops, only for classification.
        gaussian_stop: last centre in Å of the Gaussians that a bond length is expanded in; the first is 0.
        gaussian_step: distance in Å from one centre to the next, and the width of each Gaussian.
        convolution: `gated` is the paper's eq. 5, `plain` its eq. 4; `edge-updating` has edges with states
            that messages update (docs/network.md).
        edge_width: length of an edge's state in `edge-updating` convolutions.
        readout: `pooled` has hidden layers after pooling; `per-atom` is linear, so that the prediction is the
            mean of contributions of the atoms (the paper's site energies).
        angles: what the network is told of the angles between bonds: `none`, as in the paper, or `orders`,
            the bond-orientational order parameters of each atom (docs/network.md), as in the recipe modern.
            Files from before there were angles say nothing of them, which means none.
        method: `network`, or `kernel`: a kernel machine on descriptors, of which only task, n_outputs and
            atom_width, the number of descriptors, are settings.

    Raises:
        CrystalliteError: naming a setting outside its limits, or for a network too large.
    """

    atom_width: int = 64
    n_convolutions: int = 4
    hidden_width: int = 128
    n_hidden: int = 1
    n_outputs: int = 1
    task: Task = "regression"
    dropout: float = 0.5
    gaussian_stop: float = 8.0
    gaussian_step: float = 0.2
    convolution: Convolution = "edge-updating"
    edge_width: int = 32
    readout: Readout = "pooled"
    angles: Angles = "none"
    method: Method = "network"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gaussian_stop / self.gaussian_step > 1000:
            raise CrystalliteError(
                "gaussian_step must be at least a thousandth of gaussian_stop, "
                f"not {self.gaussian_step:g} of {self.gaussian_stop:g}"
            )
        if self.n_weights > MOST_WEIGHTS:
            raise CrystalliteError(
                f"atom_width, n_convolutions, hidden_width and n_hidden make {self.n_weights:,} weights; "
                f"{MOST_WEIGHTS:,} are the most: choose smaller ones"
            )

    @property
    def n_centers(self) -> int:
        """Gaussians that a bond length is expanded in."""
        return round(self.gaussian_stop / self.gaussian_step) + 1

    @property
    def n_weights(self) -> int:
        """Entries of the large matrices: nearly all weights of the network."""
        width, pooled = self.atom_width, self.readout == "pooled"
        layer = {
            "gated": 2 * width * (2 * width + self.n_centers),
            "plain": width * (2 * width + self.n_centers),
            "edge-updating": 2 * width * (3 * width + self.edge_width) + width * self.edge_width,
        }[self.convolution]
        last = self.hidden_width if pooled else width
        hidden = (width + (self.n_hidden - 1) * last) * last if pooled else 0
        weights = self.n_convolutions * layer + hidden + last * self.n_outputs
        if self.angles == "orders":
            weights += width * width
        if self.convolution == "edge-updating":  # states begin from the Gaussians; the last are not updated
            weights += self.edge_width * (self.n_centers - width)
        return weights


Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["one-cycle", "step", "constant"]
Loss = Literal["mae", "mse", "huber"]


@dataclass(frozen=True)
class TrainConfig(Settings):
    """How a network is trained.

    Attributes:
        epochs: passes over the training set.
        batch_size: crystals in a batch, at most; the batches of an epoch differ by one crystal.
        optimizer: `adamw` or `sgd`.
        learning_rate: the largest of the schedule.
        momentum: of SGD.
        weight_decay: of either optimizer.
        schedule: of the learning rate. `one-cycle` warms up and then falls to zero along a cosine; `step`
            divides by ten after each of the milestones; `constant`.
        warmup: fraction of the training run in which `one-cycle` rises.
        milestones: epochs after which `step` divides the learning rate.
        loss: on normalised targets, `mae`, `mse` or `huber`; classification always takes the cross entropy.
        averaging: decay per step of the running average of the weights that is validated and kept; 0: none.
        patience: epochs without a better validation error before the run stops early; 0: never.
        seed: of the first weights, the order of the crystals and dropout.
        start_from: a model to fine-tune, what `load_model` takes but folders of ensembles; of several members
            in one file the first.
        frozen: parts of the network that stay as they are, such as `embedding` or `convolutions.0`.

    Raises:
        CrystalliteError: naming a setting outside its limits.
    """

    epochs: int = 100
    batch_size: int = 64
    optimizer: Optimizer = "adamw"
    learning_rate: float = 4e-3
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
