"""The training data as a model sees them: where they lie in its embedding, and how far a crystal is from it.

The embedding of a crystal is the mean of its atoms' vectors after the last convolution. Each of its numbers
is scaled by its deviation among the training crystals; the principal axes are kept, a byte for each number.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import CrystalliteError, one_line
from ..network.products import add_product
from .nearest import nearest

N_AXES = 24  # principal axes that are kept: the alarm is as good as with all (docs/intervals.md)
N_NEAREST = 3  # training crystals whose mean distance is the distance to the training data
MOST_CRYSTALS = 32_768  # that are kept, drawn at random from more, so that a model grows by 1 MB at most
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Reference:
    """Training crystals in a model's embedding.

    center, axes: (F,) and (F, A); (embedding - center) @ axes are the coordinates of a crystal. low, step:
    (A,) coordinates are low + step x codes. codes: (crystals, A) bytes. values: (crystals, targets) of the
    training data in the targets' units, NaN where unknown. ids: of the crystals. elements: the atomic numbers
    among all training crystals, in order.
    """

    center: Floats
    axes: Floats
    low: Floats
    step: Floats
    codes: NDArray[np.uint8]
    values: Floats
    ids: tuple[str, ...]
    elements: NDArray[np.uint8]

    @classmethod
    def of(
        cls,
        embedding: Floats,
        values: NDArray[np.float64],
        ids: Sequence[str],
        elements: NDArray[np.integer[Any]],
    ) -> Self:
        """Make the reference of training crystals, or of MOST_CRYSTALS of them."""
        center, deviation = embedding.mean(axis=0, dtype=np.float64), embedding.std(axis=0, dtype=np.float64)
        least = 1e-3 * float(np.median(deviation)) or 1.0  # numbers that hardly differ tell no distance
        scale = 1 / np.maximum(deviation, least)
        scaled = (embedding - center) * scale
        _, axes = np.linalg.eigh(scaled.T @ scaled)
        axes = scale[:, None] * axes[:, ::-1][:, :N_AXES]
        rows = np.arange(len(ids))
        if len(ids) > MOST_CRYSTALS:
            rows = np.sort(np.random.default_rng(0).permutation(rows)[:MOST_CRYSTALS])
        coordinates = (embedding[rows] - center) @ axes
        low = coordinates.min(axis=0)
        step = np.maximum((coordinates.max(axis=0) - low) / 255, 1e-30)
        return cls(
            center=center.astype(np.float32),
            axes=axes.astype(np.float32),
            low=low.astype(np.float32),
            step=step.astype(np.float32),
            codes=np.rint((coordinates - low) / step).astype(np.uint8),
            values=values[rows].astype(np.float32),
            ids=tuple(ids[row] for row in rows.tolist()),
            elements=np.unique(elements).astype(np.uint8),
        )

    @cached_property
    def _points(self) -> Floats:
        """(A, crystals) coordinates of the training crystals."""
        points: Floats = np.ascontiguousarray((self.low + self.step * self.codes).T, np.float32)
        return points

    @cached_property
    def id_array(self) -> NDArray[np.object_]:
        """(crystals,) the ids."""
        return np.array(self.ids, object)

    def neighbors(self, embedding: Floats, n_nearest: int = N_NEAREST) -> tuple[NDArray[np.int64], Floats]:
        """Return (crystals, n) rows of the nearest training crystals, nearest first, and their distances.

        n: at most `n_nearest`, fewer where the model was trained on fewer crystals.
        """
        coordinates = np.zeros((len(embedding), self.axes.shape[1]), np.float32)
        # not @, whose last digits depend on how many crystals there are
        add_product(
            np.ascontiguousarray(embedding - self.center, np.float32),
            np.ascontiguousarray(self.axes),
            coordinates,
        )
        return nearest(coordinates, self._points, min(n_nearest, len(self.ids)))

    def distances(self, embedding: Floats) -> NDArray[np.float64]:
        """Return (crystals,) mean distances to the N_NEAREST nearest training crystals."""
        return mean_distance(self.neighbors(embedding)[1])

    def of_targets(self, columns: Sequence[int]) -> Self:
        """Return the same crystals with the values of some targets."""
        return replace(self, values=self.values[:, list(columns)])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a file holds."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        packed = zlib.compress(json.dumps(self.ids).encode(), 9)
        return arrays | {"ids": np.frombuffer(packed, np.uint8)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_targets: int) -> Self:
        """Return what `to_arrays` wrote; CrystalliteError if it does not fit together."""
        try:
            parts: dict[str, Any] = {field.name: arrays[field.name] for field in fields(cls)}
            limit = 1 << 26  # characters: 2,000 for each crystal
            text = zlib.decompressobj().decompress(parts["ids"].tobytes(), limit)
            ids = json.loads(text)
            n, (width, n_axes) = len(ids), parts["axes"].shape
            shapes = [(width,), (width, n_axes), (n_axes,), (n_axes,), (n, n_axes), (n, n_targets)]
            if not isinstance(ids, list) or parts["elements"].ndim != 1:
                raise ValueError("its training crystals or elements are no list")
            if not n or [part.shape for part in list(parts.values())[: len(shapes)]] != shapes:
                raise ValueError("its training crystals have other shapes")
            if not all(isinstance(name, str) for name in ids):
                raise ValueError("ids of its training crystals are no text")
            if parts["codes"].dtype != np.uint8 or parts["elements"].dtype != np.uint8:
                raise ValueError("codes are no bytes")
            if not all(np.isfinite(parts[name]).all() for name in ("center", "axes", "low", "step")):
                raise ValueError("coordinates are not finite")
        except (KeyError, ValueError, TypeError, zlib.error, RecursionError) as error:
            raise CrystalliteError(f"its training data is damaged: {one_line(error)}") from error
        return cls(**{**parts, "ids": tuple(ids)})


def mean_distance(distances: Floats) -> NDArray[np.float64]:
    """Return (crystals,) the mean of the N_NEAREST smallest of distances, (crystals, n), nearest first."""
    return np.asarray(distances[:, :N_NEAREST].mean(axis=1, dtype=np.float64))
