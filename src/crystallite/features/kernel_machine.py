"""A kernel machine on descriptors: a constant plus sum_k c_k exp(-gamma |x - x_k|^2) over training crystals.

Support vector machines with a Gaussian kernel have this form (Smola and Schoelkopf, Stat. Comput. 14, 199,
2004). x are descriptors in units of their spread over the training crystals, not further from the mean than
LIMIT of them. Evaluated by compiled loops: a crystal's numbers do not depend on the crystals beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..computing.compiled import compiled
from ..computing.threads import for_ranges
from ..errors import CrystalliteError
from ..graphs.packed import GraphBatch
from ..settings.config import ModelConfig
from .descriptors import DESCRIPTORS, descriptor_values

LIMIT = 6.0
Arrays = dict[str, NDArray[Any]]
Floats = NDArray[np.float32]


class KernelMachine:
    """A trained kernel machine; it evaluates batches as an EvaluationNetwork does."""

    def __init__(self, config: ModelConfig, weights: Arrays) -> None:
        """weights: of `checked_machine`."""
        self.config, self.weights = config, weights

    def outputs(self, batch: GraphBatch) -> Floats:
        """Return (crystals, outputs): values on the normalised scale, or log-probabilities of classes."""
        return self._outputs(self._scaled(batch))

    def outputs_and_embedding(self, batch: GraphBatch) -> tuple[Floats, Floats]:
        """Return what `outputs` does, and (crystals, descriptors): the scaled descriptors."""
        scaled = self._scaled(batch)
        return self._outputs(scaled), scaled

    def contributions(self, batch: GraphBatch) -> Floats:
        """Refuse: descriptors are of whole crystals."""
        raise CrystalliteError("a kernel machine has no contributions of atoms")

    def _scaled(self, batch: GraphBatch) -> Floats:
        return scaled(descriptor_values(batch), self.weights["center"], self.weights["scale"])

    @np.errstate(all="ignore")  # what is not finite is for the caller to tell
    def _outputs(self, points: Floats) -> Floats:
        sums = kernel_sums(points, self.weights)
        if self.config.task == "regression":
            return sums.astype(np.float32)
        margins = np.hstack([-sums, sums])  # of class 0 and class 1; a logistic function of their difference
        logarithms: Floats = (margins - np.logaddexp(*margins.T)[:, None]).astype(np.float32)
        return logarithms


def scaled(values: NDArray[np.float64], center: NDArray[Any], scale: NDArray[Any]) -> Floats:
    """Return descriptors in units of their spread, (crystals, descriptors)."""
    clipped: Floats = np.clip((values - center) / scale, -LIMIT, LIMIT).astype(np.float32)
    return clipped


def kernel_sums(points: Floats, weights: Arrays) -> NDArray[np.float64]:
    """Return (crystals, machines) of scaled descriptors (crystals, descriptors)."""
    found = np.empty((len(points), len(weights["gammas"])))
    of_machine = (weights["points"], weights["coefficients"], weights["gammas"], weights["intercepts"])
    for_ranges(_kernel_sums, len(points), np.ascontiguousarray(points), *of_machine, found)
    return found


def checked_machine(weights: Arrays, config: ModelConfig) -> Arrays:
    """Return the arrays of a kernel machine, if they are those of one; else raise CrystalliteError.

    points: (training crystals, descriptors) float32, scaled. coefficients: (machines, training crystals),
    gammas, intercepts: (machines,), center, scale: (descriptors,), all float64.
    """
    n_descriptors = len(DESCRIPTORS)
    n_machines = 1 if config.task == "classification" else config.n_outputs
    if config.atom_width != n_descriptors:
        raise CrystalliteError(
            f"its kernel machine is for {config.atom_width} descriptors, and this version of Crystallite has "
            f"{n_descriptors}: train it anew"
        )
    if weights.get("points", np.empty(0)).ndim != 2:
        raise CrystalliteError("it is no kernel machine")
    n_points = len(weights["points"])
    shapes = {
        "points": (n_points, n_descriptors),
        "coefficients": (n_machines, n_points),
        "gammas": (n_machines,),
        "intercepts": (n_machines,),
        "center": (n_descriptors,),
        "scale": (n_descriptors,),
    }
    if other := sorted(shapes.keys() ^ weights.keys()):
        raise CrystalliteError(f"its kernel machine has no {other[0]}, or should have none")
    checked: Arrays = {}
    for name, shape in shapes.items():
        array: NDArray[Any] = np.array(
            weights[name], np.float32 if name == "points" else np.float64, order="C"
        )
        if array.shape != shape or not np.isfinite(array).all():
            raise CrystalliteError(f"the {name} of its kernel machine are damaged")
        checked[name] = array
    if (checked["scale"] <= 0).any() or (checked["gammas"] < 0).any():
        raise CrystalliteError("the scales of its kernel machine are not positive")
    return checked


@compiled(fastmath={"reassoc", "contract"})  # sums of squares in vectors
def _kernel_sums(begin, end, points, training, coefficients, gammas, intercepts, found):  # type: ignore[no-untyped-def]
    """Write (crystals, machines) of the crystals begin to end."""
    for crystal in range(begin, end):
        for machine in range(len(gammas)):
            found[crystal, machine] = intercepts[machine]
        for other in range(len(training)):
            square = 0.0
            for k in range(training.shape[1]):
                difference = np.float64(points[crystal, k]) - np.float64(training[other, k])
                square += difference * difference
            for machine in range(len(gammas)):
                if coefficients[machine, other] != 0:
                    found[crystal, machine] += coefficients[machine, other] * np.exp(
                        -gammas[machine] * square
                    )
