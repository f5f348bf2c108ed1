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

from ..errors import CrystalliteError
from .rendezvous import meet

Result = TypeVar("Result")
Values = TypeVar("Values", bound=np.floating)


def rank() -> int:
    """Number of this process, 0 when there is only one."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def n_processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_restart() -> bool:
    """Whether torchrun has started the processes again after one was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def may_restart() -> bool:
    """Whether torchrun will start the processes again when one is lost (`--max-restarts`)."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0


def is_one_of_several() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def process_group(device: str) -> Iterator[str]:
    """Join the processes that torchrun started and yield this one's device; alone, there is nothing to join.

    Of several processes on `cuda` each takes the GPU of its number on its machine.
    """
    if not is_one_of_several() or distributed.is_initialized():
        yield device
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(device)
    store, number, count = meet()
    distributed.init_process_group("nccl" if on_gpu else "gloo", store=store, rank=number, world_size=count)
    try:
        yield device
        distributed.barrier()  # nobody leaves while another is still being told something
    finally:
        distributed.destroy_process_group()


def is_loss(error: Exception) -> bool:
    """Whether an error says that another process is gone."""
    return isinstance(error, distributed.DistBackendError) or "gloo" in str(error).lower()


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


def shared_out(
    rows: NDArray[np.int64], compute: Callable[[NDArray[np.int64]], NDArray[Values]]
) -> NDArray[Values]:
    """Return `compute(rows)`, (rows, columns), of which each process computes its share."""
    if n_processes() == 1:
        return compute(rows)
    own = compute(own_share(rows))
    whole = np.zeros((len(rows), own.shape[1]))
    whole[rank() :: n_processes()] = own
    return total(whole).astype(own.dtype)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # type: ignore[override]
        summed = tensor.contiguous().clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        summed = gradient.contiguous().clone()
        distributed.all_reduce(summed)
        return summed


def differentiable_total(tensor: Tensor) -> Tensor:
    """Sum a tensor over all processes; gradients flow back to all of them."""
    summed: Tensor = _Total.apply(tensor)  # type: ignore[no-untyped-call]
    return summed


@torch.no_grad()
def add_gradients(network: nn.Module, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum the gradients of all processes, and return the sum of `numbers`, all in one message."""
    if n_processes() == 1:
        return numbers
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    n_gradients = len(flat)
    flat = torch.cat((flat, torch.from_numpy(numbers).to(flat)))
    distributed.all_reduce(flat)
    start = 0
    for parameter in parameters:
        assert parameter.grad is not None
        parameter.grad.copy_(flat[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()
    return flat[n_gradients:].cpu().numpy().astype(np.float64)


def on_first(action: Callable[[], Result]) -> Result:
    """Run `action` in process 0 and return its result in all; an error is raised in all."""
    if n_processes() == 1:
        return action()
    box: list[Any] = [None, None]
    try:
        if rank() == 0:
            box[0] = action()
    except BaseException as error:
        box[1] = str(error) or repr(error)
        raise
    finally:
        distributed.broadcast_object_list(box, src=0)
    if box[1] is not None:
        raise CrystalliteError(box[1])
    result: Result = box[0]
    return result


def ask_every() -> int:
    """How many steps lie between two questions that all processes have to answer."""
    return 1 if n_processes() == 1 else 8


def any_of(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    return bool(total(np.array([float(flag)]))[0]) if n_processes() > 1 else flag
