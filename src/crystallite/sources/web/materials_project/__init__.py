"""Crystals and properties of the Materials Project, through its web interface.

Read in this order: fetch (the whole of it), resolve (which material an id means today), rows (documents to a
dataset), queries (what is asked of the server), web and journal (asking patiently, and never twice).
"""

from .fetch import DEFAULT_THERMO_TYPE, THERMO_TYPES, Fetched, fetch_materials
from .ids import ARTICLE_LISTS, article_ids, check_ids
from .resolve import Resolved

__all__ = [
    "ARTICLE_LISTS",
    "DEFAULT_THERMO_TYPE",
    "THERMO_TYPES",
    "Fetched",
    "Resolved",
    "article_ids",
    "check_ids",
    "fetch_materials",
]
