"""Several processes that train one network, started by torchrun.

Each process takes its share of every batch. Sums over the batch (batch norms, loss, gradients) are sums over
all processes, so that any number of processes computes what one does, to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from .errors import CrystalliteError

Result = TypeVar("Result")


def rank() -> int:
    """Number of this process, 0 when there is only one."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def n_processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_restart() -> bool:
    """Whether torchrun has started the processes again after one was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the processes that torchrun started; does nothing in a process started otherwise."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or distributed.is_initialized():
        yield
        return
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def own_share(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return this process's rows of a batch."""
    return rows[rank() :: n_processes()]


def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum an array over all processes."""
    if n_processes() == 1:
        return values
    tensor = torch.from_numpy(np.array(values, dtype=np.float64))
    if distributed.get_backend() == "nccl":
        tensor = tensor.cuda()
    distributed.all_reduce(tensor)
    return tensor.cpu().numpy()


def differentiable_total(tensor: Tensor) -> Tensor:
    """Sum a tensor over all processes; gradients flow back to all of them."""
    if n_processes() == 1:
        return tensor
    from torch.distributed.nn.functional import all_reduce

    summed: Tensor = all_reduce(tensor)  # type: ignore[no-untyped-call]
    return summed


@torch.no_grad()
def add_gradients(network: nn.Module) -> None:
    """Sum the gradients of all processes, in one message."""
    if n_processes() == 1:
        return
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    distributed.all_reduce(flat)
    start = 0
    for parameter in parameters:
        assert parameter.grad is not None
        parameter.grad.copy_(flat[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()


def on_first(action: Callable[[], Result]) -> Result:
    """Run `action` in process 0 and return its result in all; an error is raised in all."""
    if n_processes() == 1:
        return action()
    box: list[Any] = [None, None]
    if rank() == 0:
        try:
            box[0] = action()
        except CrystalliteError as error:
            box[1] = str(error)
    distributed.broadcast_object_list(box, src=0)
    if box[1] is not None:
        raise CrystalliteError(box[1])
    result: Result = box[0]
    return result


def any_of(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    return bool(total(np.array([float(flag)]))[0]) if n_processes() > 1 else flag
