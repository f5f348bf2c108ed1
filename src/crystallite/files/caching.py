"""Where what can be made again is kept."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """Return the folder for graphs and crystals: `CRYSTALLITE_CACHE`, or the system's place for caches."""
    chosen = os.environ.get("CRYSTALLITE_CACHE")
    return Path(chosen) if chosen else user_cache_path("crystallite")
