"""Compiled loops of the batch norm of rows with weights: float32, with sums in double precision."""

from __future__ import annotations

import numpy as np

from ..computing.compiled import compiled
from .kernels import _FAST

EPSILON = 1e-5  # added to a variance; that of PyTorch's batch norms
_D0 = np.float64(0)


@compiled(fastmath=_FAST)
def row_moments(x, weights, mean, square):  # type: ignore[no-untyped-def]
    """Weighted mean of the rows of x (rows, C), and weighted sum of squared deviations from it: (C,) each."""
    width = x.shape[1]
    total = _D0
    for c in range(width):
        mean[c] = square[c] = _D0
    for row in range(len(x)):
        total += weights[row]
        for c in range(width):
            mean[c] += np.float64(weights[row]) * np.float64(x[row, c])
    inverse = 1.0 / total
    for c in range(width):
        mean[c] *= inverse
    for row in range(len(x)):
        for c in range(width):
            deviation = np.float64(x[row, c]) - mean[c]
            square[c] += np.float64(weights[row]) * deviation * deviation


@compiled(fastmath=_FAST)
def add_moments(block_weights, means, squares, sums, sums_of_squares):  # type: ignore[no-untyped-def]
    """Weighted sums of rows and of their squares, (C,) each, from each block's `row_moments` (blocks, C)."""
    for c in range(means.shape[1]):
        sums[c] = sums_of_squares[c] = _D0
    for block in range(len(means)):
        weight = block_weights[block]
        for c in range(means.shape[1]):
            mean = np.float64(means[block, c])
            sums[c] += weight * mean
            sums_of_squares[c] += np.float64(squares[block, c]) + weight * mean * mean


@compiled(fastmath=_FAST)
def normalize_rows(x, mean, inverse_std, gamma, beta, y):  # type: ignore[no-untyped-def]
    """y = gamma (x - mean) inverse_std + beta."""
    for row in range(len(x)):
        for c in range(x.shape[1]):
            y[row, c] = gamma[c] * ((x[row, c] - mean[c]) * inverse_std[c]) + beta[c]


@compiled(fastmath=_FAST)
def norm_sums(x, grad_y, mean, inverse_std, sums, products):  # type: ignore[no-untyped-def]
    """Sums over the rows of grad_y, and of grad_y x x_hat: (C,) each."""
    width = x.shape[1]
    for c in range(width):
        sums[c] = products[c] = _D0
    for row in range(len(x)):
        for c in range(width):
            x_hat = (x[row, c] - mean[c]) * inverse_std[c]
            sums[c] += np.float64(grad_y[row, c])
            products[c] += np.float64(grad_y[row, c] * x_hat)


@compiled(fastmath=_FAST)
def norm_gradients_of_rows(  # type: ignore[no-untyped-def]
    x, grad_y, weights, mean, inverse_std, gamma, mean_grad, mean_product, grad_x
):
    """grad_x from grad_y; mean_grad, mean_product: (C,) from `batch_norm.mean_gradients`."""
    for row in range(len(x)):
        weight = weights[row]
        for c in range(x.shape[1]):
            x_hat = (x[row, c] - mean[c]) * inverse_std[c]
            own = grad_y[row, c] - weight * (mean_grad[c] + x_hat * mean_product[c])
            grad_x[row, c] = gamma[c] * inverse_std[c] * own
