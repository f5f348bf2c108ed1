"""Products of matrices in compiled loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba.core.errors import TypingError

from crystallite.network.products import add_product, copy_rows

SIZES = st.integers(0, 70)  # tiles have 6 rows and 16 or 64 columns: none, a part, one and more


def matrix(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return generator.standard_normal((rows, columns)).astype(np.float32)


@settings(deadline=None)  # the first call compiles
@given(SIZES, SIZES, st.integers(0, 300), st.booleans(), st.integers(0, 5))
@example(6, 64, 64, False, 0)
@example(13, 41, 143, True, 3)
def test_a_product_is_that_of_numpy(rows, terms, columns, transposed, beside):
    generator = np.random.default_rng(rows + 71 * terms)
    x = matrix(generator, terms, rows).T if transposed else matrix(generator, rows, terms)
    weight = matrix(generator, terms, columns + beside)[:, beside:]  # a part of a wider matrix, as of weights
    whole = matrix(generator, rows, columns + beside)
    before = whole.copy()
    add_product(x, weight, whole[:, beside:])
    expected = before[:, beside:].astype(np.float64) + x.astype(np.float64) @ weight
    # each of up to 71 additions rounds a sum of up to some 30 by 6e-8 of it
    np.testing.assert_allclose(whole[:, beside:], expected, rtol=0, atol=2e-5)
    np.testing.assert_array_equal(whole[:, :beside], before[:, :beside])


@pytest.mark.parametrize("columns", [64, 16, 7, 135])
def test_a_row_does_not_depend_on_the_rows_beside_it(columns):
    generator = np.random.default_rng(0)
    x, weight = matrix(generator, 23, 64), matrix(generator, 64, columns)
    together = np.zeros((23, columns), np.float32)
    add_product(x, weight, together)
    for first, last in ((0, 1), (1, 2), (5, 18), (22, 23)):
        alone = np.zeros((last - first, columns), np.float32)
        add_product(x[first:last], weight, alone)
        np.testing.assert_array_equal(alone, together[first:last])


def test_arrays_of_another_kind_are_refused():
    x, weight, out = (
        np.ones((8, 64), np.float32),
        np.ones((64, 64), np.float32),
        np.zeros((8, 64), np.float32),
    )
    with pytest.raises(TypingError, match="float32"):
        add_product(x.astype(np.float64), weight, out)


def test_rows_are_copied():
    x, out = matrix(np.random.default_rng(0), 5, 3), np.zeros((5, 3), np.float32)
    copy_rows(x, out)
    np.testing.assert_array_equal(out, x)
