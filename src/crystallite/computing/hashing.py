"""Hashes of whole numbers, for compiled loops."""

from __future__ import annotations

import numpy as np

from .compiled import compiled


@compiled
def mixed(value):  # type: ignore[no-untyped-def]
    """Scramble 64 bits (the finalizer of SplitMix64, Steele et al., OOPSLA 2014)."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
