"""Where the processes that torchrun starts meet, again after each restart.

torchrun keeps one store of keys over all restarts, and in it the addresses of processes that are gone: those
started anew would call the dead (github.com/pytorch/pytorch/issues/135712). First they agree on a name
under which nobody has written before.
"""

from __future__ import annotations

import secrets
import time

from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

_POLL = 0.01  # seconds between two looks of the first process at who has come


def meet() -> tuple[Store, int, int]:
    """Return a store of this start's processes alone, the number of this process and how many there are."""
    store, rank, n_processes = next(rendezvous("env://"))
    own = secrets.token_hex(8)
    name = _gather(store, own, n_processes) if rank == 0 else _join(store, own, rank)
    return PrefixStore(name, store), rank, n_processes


def _gather(store: Store, own: str, n_processes: int) -> str:
    """Answer all who have said their name, dead or alive, until every process has joined.

    Only a living process can join: it needs the answer to a name that it has just drawn.
    """
    missing = set(range(1, n_processes))
    while missing:
        for rank in sorted(missing):
            if store.check([f"name/{rank}"]):
                store.set(f"answer/{store.get(f'name/{rank}').decode()}", own)
            if store.check([f"joined/{own}/{rank}"]):
                missing.remove(rank)
        time.sleep(_POLL)
    return own


def _join(store: Store, own: str, rank: int) -> str:
    store.set(f"name/{rank}", own)
    name = store.get(f"answer/{own}").decode()  # waits for it
    store.set(f"joined/{name}/{rank}", "")
    return name
