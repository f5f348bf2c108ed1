"""Statistics over the atoms of each crystal, where a node of a reduced graph stands for several atoms."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..graphs.packed import GraphBatch

Values = NDArray[np.float64]


class Grouping(NamedTuple):
    """Which rows belong to which crystal, and how much each counts.

    starts: (crystals,) the first row of each crystal; none is empty. weights: (rows,).
    """

    starts: NDArray[np.int64]
    weights: Values

    @classmethod
    def of(cls, batch: GraphBatch) -> Grouping:
        """Return the nodes of a batch, weighted by the atoms that they stand for."""
        return cls(batch.node_offsets[:-1], batch.multiplicities.astype(np.float64))

    def total(self, values: Values) -> Values:
        """(rows, columns) -> (crystals, columns): weighted sums."""
        return np.add.reduceat(values * self.weights[:, None], self.starts, axis=0)

    def mean(self, values: Values) -> Values:
        """(rows, columns) -> (crystals, columns): weighted means."""
        return self.total(values) / np.add.reduceat(self.weights, self.starts)[:, None]

    def deviation(self, values: Values) -> Values:
        """(rows, columns) -> (crystals, columns): weighted standard deviations."""
        counts = np.diff(np.append(self.starts, len(values)))
        from_mean = values - np.repeat(self.mean(values), counts, axis=0)
        return np.asarray(np.sqrt(self.mean(from_mean**2)))

    def minimum(self, values: Values) -> Values:
        """(rows, columns) -> (crystals, columns)."""
        return np.minimum.reduceat(values, self.starts, axis=0)

    def maximum(self, values: Values) -> Values:
        """(rows, columns) -> (crystals, columns)."""
        return np.maximum.reduceat(values, self.starts, axis=0)
