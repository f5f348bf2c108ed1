"""A model in one file to give away: members, calibration, reliability and card; half precision if wanted.

Members share what is the same in all of them: graph settings, targets, the shape and the element features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import CrystalliteError, one_line
from ..evaluation.calibration import Calibration
from .checkpoint import FORMAT, TrainedModel, attached_arrays, model_of, read_arrays, write_arrays
from .reliability import Reliability

_SHARED = "element_features"
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Bundle:
    """Models of the same targets whose mean is the prediction, and all that is known of it.

    members: one or more. calibrations: of the members' spread, one for each target; none for one member.
    card: facts for people, see docs/models.md.
    """

    members: Sequence[TrainedModel]
    calibrations: Sequence[Calibration] = ()
    reliability: Reliability | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    def of_targets(self, columns: Sequence[int]) -> Self:
        """Return the models that predict some of the targets alone, with the same numbers."""
        names = [self.members[0].targets.names[k] for k in columns]
        card = dict(self.card)
        if card:
            of_all = card["properties"].items()
            card["properties"] = {name: facts for name, facts in of_all if facts["column"] in names}
        return replace(
            self,
            card=card,
            members=[member.of_targets(columns) for member in self.members],
            calibrations=[self.calibrations[k] for k in columns] if self.calibrations else (),
            reliability=self.reliability and self.reliability.of_targets(columns),
        )


def check_shapes(bundle: Bundle) -> None:
    """Raise CrystalliteError for members of different shapes, such as a network and a kernel machine."""
    if any(member.config != bundle.members[0].config for member in bundle.members):
        raise CrystalliteError("members of different shapes do not fit into one file: keep their folder")


def write_bundle(path: str | Path, bundle: Bundle, *, half: bool = False) -> None:
    """Write a bundle to a .safetensors file, atomically; half: the weights in half precision."""
    check_shapes(bundle)
    first = bundle.members[0]
    arrays: Arrays = {name: first.weights[name] for name in (_SHARED,) if name in first.weights}
    for k, member in enumerate(bundle.members):
        kept = {name: array for name, array in member.weights.items() if name != _SHARED}
        arrays |= {f"{k}.{name}": _halved(array) if half else array for name, array in kept.items()}
    header = {
        "format": FORMAT,
        "members": len(bundle.members),
        "graph": first.graph.to_dict(),
        "model": first.config.to_dict(),
        "targets": [member.targets.to_dict() for member in bundle.members],
        "info": first.info,
        "calibration": [one.to_dict() for one in bundle.calibrations],
        "card": dict(bundle.card),
    }
    write_arrays(path, arrays | attached_arrays(first.seen, bundle.reliability), header)


def _halved(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float16) if array.dtype == np.float32 else array


def read_bundle(path: str | Path) -> Bundle:
    """Read the model of a .safetensors file: of `write_bundle`, or of `save_model`, one without a card.

    Raises CrystalliteError when the file is missing, damaged or not one of ours.
    """
    arrays, header = read_arrays(path)
    if not isinstance(header, dict):
        raise CrystalliteError(f"{path} is not a Crystallite model: its header is no table")
    if "members" not in header:
        model = model_of(path, arrays, header)
        return Bundle([model], reliability=model.reliability)
    try:
        of_all = {name: array for name, array in arrays.items() if not name[:1].isdigit()}
        shared = {name: arrays[name] for name in (_SHARED,) if name in arrays}
        members = [
            model_of(
                path,
                _of_member(arrays, k) | (shared if k else of_all),
                {**header, "targets": header["targets"][k]},
            )
            for k in range(header["members"])
        ]
        calibrations = [Calibration.read(one) for one in header["calibration"]]
        n_targets, card = len(members[0].targets.names), dict(header["card"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CrystalliteError(f"{path} is not a Crystallite model: {one_line(error)}") from error
    reliability, n_calibrations = members[0].reliability, n_targets if len(members) > 1 else 0
    n_spreads = 0 if reliability is None else len(reliability.spreads)
    if (
        len({member.targets.names for member in members}) > 1
        or len(calibrations) != n_calibrations
        or (reliability is not None and (n_spreads > 0) != (len(members) > 1))
    ):
        raise CrystalliteError(f"{path} is damaged: its members do not fit together")
    return Bundle(members, calibrations, reliability, card)


def _of_member(arrays: Arrays, k: int) -> Arrays:
    beginning = f"{k}."
    return {
        name.removeprefix(beginning): array for name, array in arrays.items() if name.startswith(beginning)
    }
