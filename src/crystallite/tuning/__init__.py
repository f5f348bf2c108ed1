"""Tuning: the search for settings with the smallest validation error.

Imports training and what is below it.

- search: `tune`
- space: which settings a search tries, and where
- study: where trials are kept, and how processes share them
- results: the best settings, a table and two figures
"""

from __future__ import annotations

from ..extras import needed

needed("torch", "training", "crystallite[train]")
