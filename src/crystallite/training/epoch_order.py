"""The order of the training crystals in an epoch, a function of seed and epoch.

All are shuffled. Of graphs larger than WHOLE, which may be larger than memory, shards are: runs of crystals
that lie together on disk. Those of a window are drawn from all shards, and its crystals are shuffled, so that
an epoch reads the disk once, in runs, and memory holds a window.
"""

from __future__ import annotations

import numpy as np

from ..graphs.packed import Indices

WHOLE = 1 << 30  # bytes of graphs, some 1.7 million crystals of 12 atoms
SHARD = 1024  # crystals
WINDOW = 512  # shards: half a million crystals, 300 MB


def epoch_order(rows: Indices, n_bytes: int, seed: int, epoch: int) -> Indices:
    """Return the rows (sorted) of the training crystals in the order of an epoch.

    n_bytes: of the graphs.
    """
    rng = np.random.default_rng([seed, epoch])
    if n_bytes <= WHOLE or not len(rows):
        return rng.permutation(rows)
    shards = rows // SHARD
    windows = rng.permutation(int(shards.max()) + 1)[shards] // WINDOW
    in_windows = rows[np.argsort(windows, kind="stable")]
    parts = np.split(in_windows, np.cumsum(np.bincount(windows))[:-1])
    return np.concatenate([rng.permutation(part) for part in parts])
