"""The device that a network runs on: whether it works here, and what a run folder calls it.

PyTorch is imported where a device needs it: the CPU of a prediction does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import CrystalliteError, first_line
from ..extras import needed


@contextmanager
def standard_tensors() -> Iterator[None]:
    """Make new tensors in single precision on the CPU, whatever torch's defaults are set to."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(before)


def usable_device(device: str) -> str:
    """Return `device`, such as `cpu` or `cuda:1`; raises CrystalliteError unless it computes here."""
    if device == "cpu":
        return device
    torch = needed("torch", f"device {device!r}", "crystallite[train]")
    try:
        torch.ones(1, device=device).add(1).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = first_line(error)
        raise CrystalliteError(f"cannot use device {device!r}: {reason}") from error
    return device


def device_name(device: str) -> str:
    """Return the kind of device, with its product name where that may matter: cpu, cuda (NVIDIA H100)."""
    import torch

    kind = torch.device(device).type
    return f"{kind} ({torch.cuda.get_device_name(device)})" if kind == "cuda" else kind
