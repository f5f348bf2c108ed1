"""Batch norm of rows with weights: the one place where a batch's moments are formed, over all processes.

A row of a reduced graph stands for several equal rows of the full graph, and a batch may be spread over
several processes. Weighted moments, summed over the processes, are those of the whole batch of full graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..computing.distributed import differentiable_total, n_processes, total
from . import norm_kernels

Total = float | Tensor  # a batch's number of atoms or bonds; 0-dimensional on a GPU


class Moments(NamedTuple):
    """Weighted mean and (biased) variance of each channel."""

    mean: Tensor
    variance: Tensor


class WeightedBatchNorm(nn.BatchNorm1d):
    """Batch norm of rows that each stand for `weights` equal rows of the full graph, over all processes."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=norm_kernels.EPSILON)

    def forward(self, x: Tensor, weights: Tensor, total_weight: Total) -> Tensor:  # type: ignore[override]
        """x: (rows, channels). weights: (rows,). total_weight: their sum over all processes.

        The running variance is unbiased in the total weight.
        """
        if not self.training:
            scale, shift = self.affine_map()
            return x * scale + shift
        mean, variance = _moments(x, weights, total_weight)
        update_norms([self], [Moments(mean.detach(), variance.detach())], [total_weight])
        return (x - mean) * (self.weight * torch.rsqrt(variance + self.eps)) + self.bias

    def affine_map(self) -> tuple[Tensor, Tensor]:
        """Return (scale, shift) of the norm with its running statistics."""
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale


@torch.no_grad()
def update_norms(
    norms: Sequence[WeightedBatchNorm], moments: Sequence[Moments], total_weights: Sequence[Total]
) -> None:
    """Move the running statistics of norms of one momentum towards a batch's."""
    running: list[Any] = [
        statistics for norm in norms for statistics in (norm.running_mean, norm.running_var)
    ]
    ours = [
        moment
        for (mean, variance), total_weight in zip(moments, total_weights, strict=True)
        for moment in (mean, variance * _bessel(total_weight))
    ]
    momentum: Any = norms[0].momentum
    torch._foreach_lerp_(running, ours, momentum)


def _bessel(total_weight: Total) -> Total:
    """Return the factor from a biased variance to an unbiased one."""
    rest = total_weight - 1
    return total_weight / (rest.clamp(min=1) if isinstance(rest, Tensor) else max(rest, 1))


def _moments(x: Tensor, weights: Tensor, total_weight: Total) -> Moments:
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
    means: NDArray[np.floating],
    squares: NDArray[np.floating],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (mean, variance), (channels,) each, from the blocks of all processes.

    block_weights: (blocks,). means, squares: (blocks, channels) weighted means and sums of squared
    deviations from them. Combined in double precision (Chan, Golub and LeVeque 1983).
    """
    sums = np.empty((2, means.shape[1]))
    norm_kernels.add_moments(block_weights, means, squares, *sums)
    mean, mean_square = total(sums) / total_weight
    variance = np.maximum(mean_square - mean * mean, 0)
    return mean.astype(np.float32), variance.astype(np.float32)


def mean_gradients(
    of_norm: NDArray[np.float64], total_weight: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what the norm's backward pass subtracts: means of dL/dy and of z_hat dL/dy over all processes.

    of_norm: (2, channels) this process's sums of the two, the gradients of beta and gamma.
    """
    mean_grad, mean_product = (total(of_norm) / total_weight).astype(np.float32)
    return mean_grad, mean_product
