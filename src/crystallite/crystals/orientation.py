"""How the bonds of an atom are arranged around it: bond-orientational order parameters.

    Q_l = sqrt(sum_jk s_j s_k P_l(cos angle_jik)), l = 1 to 6

for the bonds to the neighbours j and k of an atom i, with shares s that add up to one (Steinhardt, Nelson
and Ronchetti, PRB 28, 784, 1983, eq. 1.3, by the addition theorem; shares instead of equal bonds). All of
them lie between 0 and 1. Two kinds of shares: the weights w of the bonds in the graph, and w exp(-4 (d / d_1
- 1)), with the length d_1 of the nearest, in which far neighbours count less. Both depend on the crystal
alone. Cost: grows with the square of the bonds of an atom, a microsecond for twelve.
"""

from __future__ import annotations

import numpy as np

from ..computing.compiled import compiled

DEGREES = 6  # l = 1 to 6: of cubic surroundings with a centre of inversion only 4 and 6 are not zero
N_ORDERS = 2 * DEGREES  # of an atom: all degrees with the first kind of shares, then with the second
SLOT_BITS = 32  # of an image are the row of its direction, those above the number of its atom
DECAY = 4.0  # how fast a neighbour's share falls with its distance


@compiled(fastmath={"contract", "reassoc"})
def fill_orders(images, directions, distances, weights, around, orders):  # type: ignore[no-untyped-def]
    """Fill in the orders (N_ORDERS,) of an atom.

    images: of its neighbours, nearest first. directions: (rows, 3) vectors in Å, of any row; the lower
    SLOT_BITS of an image say which is its. distances, weights: (bonds,) of its bonds. around: (5, bonds or
    more), to work in. An atom without bonds keeps its orders.
    """
    n_bonds = len(distances)
    x, y, z, even, decayed = around[0], around[1], around[2], around[3], around[4]
    total, total_decayed = 0.0, 0.0
    for k in range(n_bonds):
        row = images[k] & ((1 << SLOT_BITS) - 1)
        length = distances[k]
        x[k], y[k], z[k] = (
            directions[row, 0] / length,
            directions[row, 1] / length,
            directions[row, 2] / length,
        )
        even[k] = weights[k]
        decayed[k] = weights[k] * np.exp(-DECAY * (length / distances[0] - 1.0))
        total += even[k]
        total_decayed += decayed[k]
    if n_bonds > 0:
        _fill_orders_of(x, y, z, even, n_bonds, total, orders[:DEGREES])
        _fill_orders_of(x, y, z, decayed, n_bonds, total_decayed, orders[DEGREES:])


@compiled(fastmath={"contract", "reassoc"})
def _fill_orders_of(x, y, z, shares, n_bonds, total, orders):  # type: ignore[no-untyped-def]
    """Fill in the orders of one kind of shares, which add up to `total`, from the mean powers of cosines."""
    m1, m2, m3, m4, m5, m6, alone = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(n_bonds):
        alone += shares[k] * shares[k]
        for other in range(k):
            cosine = x[k] * x[other] + y[k] * y[other] + z[k] * z[other]
            square, share = cosine * cosine, shares[k] * shares[other]
            odd = share * cosine
            m1 += odd
            m2 += share * square
            m3 += odd * square
            m4 += share * square * square
            m5 += odd * square * square
            m6 += share * square * square * square
    both = 1.0 / (total * total)
    m1, m2, m3 = (alone + 2.0 * m1) * both, (alone + 2.0 * m2) * both, (alone + 2.0 * m3) * both
    m4, m5, m6 = (alone + 2.0 * m4) * both, (alone + 2.0 * m5) * both, (alone + 2.0 * m6) * both
    orders[0] = m1
    orders[1] = (3.0 * m2 - 1.0) / 2.0
    orders[2] = (5.0 * m3 - 3.0 * m1) / 2.0
    orders[3] = (35.0 * m4 - 30.0 * m2 + 3.0) / 8.0
    orders[4] = (63.0 * m5 - 70.0 * m3 + 15.0 * m1) / 8.0
    orders[5] = (231.0 * m6 - 315.0 * m4 + 105.0 * m2 - 5.0) / 16.0
    for degree in range(DEGREES):
        orders[degree] = np.sqrt(orders[degree]) if orders[degree] > 0.0 else 0.0
