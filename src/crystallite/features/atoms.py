"""What the bonds of an atom say of it: lengths, coordination, strength, and how unlike its neighbours are.

Lengths are also taken as x, in units of the sum of both covalent radii: a single bond of any two elements has
x = 1. Bonds are those of the graph, with its weights, so that these numbers depend on the crystal alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..crystals.element_properties import element_property
from ..graphs.packed import GraphBatch

Values = NDArray[np.float64]

COORDINATED = 1.25  # x at which a bond counts as half a coordination
SHARPNESS = 40.0  # how fast a bond stops to count there
SOFTNESS = 0.37  # Å; how fast a bond's valence falls with its length (Brown and Altermatt, 1985)
DECAY = 4.0  # how fast a bond's stiffness falls with x

UNITS = {"shortest_bond": "Å", "mean_bond": "Å", "inverse_cube": "Å^-3", "dispersion": "Å^-6/u"}
# Of each atom; sums and means are over its bonds, weighted as in the graph.
ATOM_VALUES = {
    "shortest_bond": "its shortest bond (Å)",
    "mean_bond": "the mean of its bonds (Å)",
    "shortest_bond_ratio": "its smallest x",
    "mean_bond_ratio": "its mean x",
    "coordination": f"its bonds with x below {COORDINATED}, counted by a smooth step",
    "bond_valence": f"the sum of exp((R - d) / {SOFTNESS} Å), R the sum of radii and d the length",
    "stiffness": f"the sum of exp(-{DECAY:g} (x - 1))",
    "inverse_cube": "the sum of d^-3 (Å^-3)",
    "dispersion": "the sum of d^-6 over the reduced mass (Å^-6/u)",
    "polarity": "the mean difference of electronegativities along its bonds, weighted by stiffness",
    "charge_transfer": "the sum of electronegativities minus its own along its bonds, weighted by stiffness",
}


def atom_values(batch: GraphBatch) -> Values:
    """Return (nodes, ATOM_VALUES)."""
    radius, mass = element_property("covalent_radius"), element_property("atomic_mass")
    electronegativity = element_property("electronegativity")
    starts = batch.edge_offsets[:-1]
    own = np.repeat(batch.numbers, np.diff(batch.edge_offsets))
    other = batch.numbers[batch.neighbors]
    length, weight = batch.distances.astype(np.float64), batch.weights.astype(np.float64)
    single = radius[own] + radius[other]
    ratio = length / single
    stiffness = weight * np.exp(-DECAY * (ratio - 1))
    difference = electronegativity[other] - electronegativity[own]
    reduced_mass = mass[own] * mass[other] / (mass[own] + mass[other])

    def total(of_bonds: Values) -> Values:
        return np.asarray(np.add.reduceat(of_bonds, starts))

    n_bonds, all_stiffness = total(weight), total(stiffness)
    columns = [
        np.minimum.reduceat(length, starts),
        total(weight * length) / n_bonds,
        np.minimum.reduceat(ratio, starts),
        total(weight * ratio) / n_bonds,
        total(weight / (1 + np.exp(np.minimum(SHARPNESS * (ratio - COORDINATED), 100)))),
        total(weight * np.exp((single - length) / SOFTNESS)),
        all_stiffness,
        total(weight / length**3),
        total(weight / length**6 / reduced_mass),
        total(stiffness * np.abs(difference)) / np.maximum(all_stiffness, np.finfo(float).tiny),
        total(stiffness * difference),
    ]
    return np.stack(columns, axis=1)
