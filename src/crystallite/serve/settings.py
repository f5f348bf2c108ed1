"""What a server is started with, and what it takes at most."""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from ..errors import CrystalliteError

ENVIRONMENT = "CRYSTALLITE_SERVE"  # hands the settings to the processes of a server
SHORTEST_TOKEN = 16  # characters
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Limits:
    """What a server takes at most.

    body: bytes of a request, or of a line of one that is answered as it comes. structures: crystals of such.
    atoms: of a crystal. all_atoms: of all crystals of a request. seconds: until a request has arrived, and
    again until each part of it is answered and sent. waiting: requests at the same time of a process; those
    that come then are asked to come again. together: crystals that are evaluated at once, fewer if large.
    """

    body: int = 16 << 20
    structures: int = 1_000
    atoms: int = 5_000
    all_atoms: int = 200_000
    seconds: float = 60.0
    waiting: int = 64
    together: int = 256


@dataclass(frozen=True)
class ServeSettings:
    """Where a server listens, to whom, and which run folders it shows.

    token: what a request must bear, or "". hosts: names under which the server is asked, besides its own.
    runs: run folders, and folders of them. workers: processes.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    open_to_all: bool = False
    hosts: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    workers: int = 1
    limits: Limits = field(default_factory=Limits)

    def check(self) -> None:
        """Raise CrystalliteError for settings that are unsafe or point nowhere."""
        if not self.is_local and not self.token and not self.open_to_all:
            raise CrystalliteError(
                f"--host {self.host} lets other machines in: give a token that they must know "
                "(CRYSTALLITE_TOKEN in the environment), or --open-to-all"
            )
        if self.token and (len(self.token) < SHORTEST_TOKEN or not self.token.isascii()):
            raise CrystalliteError(f"the token must have {SHORTEST_TOKEN} ASCII characters or more")
        if self.token and (not self.token.isprintable() or " " in self.token):
            raise CrystalliteError("the token has spaces or control characters")
        for run in self.runs:
            if not Path(run).is_dir():
                raise CrystalliteError(f"{run}: no such folder of runs")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def allowed_hosts(self) -> list[str]:
        """Names that a request may give as its host, in lower case and without a port."""
        own = f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host
        return [name.lower() for name in (*LOCAL_NAMES, own, *self.hosts)]

    def to_environment(self) -> None:
        """Leave the settings where the processes of the server find them."""
        os.environ[ENVIRONMENT] = json.dumps(asdict(self))

    @classmethod
    def from_environment(cls) -> Self:
        """Return the settings that `to_environment` left."""
        values: dict[str, Any] = json.loads(os.environ[ENVIRONMENT])
        lists = {name: tuple(values.pop(name)) for name in ("hosts", "runs")}
        return cls(**{**values, **lists, "limits": Limits(**values["limits"])})
