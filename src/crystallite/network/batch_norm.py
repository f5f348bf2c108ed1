"""Batch norm of rows with weights: the one place where a batch's moments are formed, over all processes.

A row of a reduced graph stands for several equal rows of the full graph, and a batch may be spread over
several processes. Weighted moments, summed over the processes, are those of the whole batch of full graphs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..computing.distributed import differentiable_total, n_processes, total


class Moments(NamedTuple):
    """Weighted mean and (biased) variance of each channel."""

    mean: Tensor
    variance: Tensor


class WeightedBatchNorm(nn.BatchNorm1d):
    """Batch norm of rows that each stand for `weights` equal rows of the full graph, over all processes."""

    def forward(self, x: Tensor, weights: Tensor, total_weight: float) -> Tensor:  # type: ignore[override]
        """x: (rows, channels). weights: (rows,). total_weight: their sum over all processes.

        The running variance is unbiased in the total weight.
        """
        if not self.training:
            scale, shift = self.affine_map()
            return x * scale + shift
        mean, variance = _moments(x, weights, total_weight)
        self.update(Moments(mean.detach(), variance.detach()), total_weight)
        return (x - mean) * (self.weight * torch.rsqrt(variance + self.eps)) + self.bias

    def update(self, moments: Moments, total_weight: float) -> None:
        """Move the running statistics towards a batch's."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        unbiased = moments.variance * (total_weight / max(total_weight - 1, 1))
        self.running_mean.lerp_(moments.mean, self.momentum)
        self.running_var.lerp_(unbiased, self.momentum)

    def affine_map(self) -> tuple[Tensor, Tensor]:
        """Return (scale, shift) of the norm with its running statistics."""
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale


def _moments(x: Tensor, weights: Tensor, total_weight: float) -> Moments:
    """Return the moments over all processes; gradients flow back to all of them."""
    own_weight = weights.sum(dtype=torch.float64)
    fractions = weights / own_weight.to(weights.dtype)
    mean = fractions @ x
    variance = fractions @ (x - mean).square()
    if n_processes() == 1:
        return Moments(mean, variance)
    own_mean, own_variance = mean.double(), variance.double()
    own = (own_weight / total_weight) * torch.stack((own_mean, own_variance + own_mean.square()))
    first, second = differentiable_total(own)
    return Moments(first.to(x.dtype), (second - first.square()).to(x.dtype))


def moments_of_blocks(
    block_weights: NDArray[np.float64],
    total_weight: float,
    means: NDArray[np.float32],
    squares: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (mean, variance), (channels,) each, from the blocks of all processes.

    block_weights: (blocks,). means, squares: (blocks, channels) weighted means and sums of squared
    deviations from them. Combined in double precision (Chan, Golub and LeVeque 1983).
    """
    weighted = block_weights[:, None] * means
    sums, sums_of_squares = weighted.sum(0), squares.sum(0, dtype=np.float64) + (weighted * means).sum(0)
    mean, mean_square = total(np.stack((sums, sums_of_squares))) / total_weight
    variance = np.maximum(mean_square - mean**2, 0)
    return mean.astype(np.float32), variance.astype(np.float32)


def mean_gradients(
    grad_beta: NDArray[np.float64], grad_gamma: NDArray[np.float64], total_weight: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what the norm's backward pass subtracts: means of dL/dy and of z_hat dL/dy over all processes.

    grad_beta, grad_gamma: (channels,) this process's sums of the two.
    """
    means = total(np.stack((grad_beta, grad_gamma))) / total_weight
    return means[0].astype(np.float32), means[1].astype(np.float32)
