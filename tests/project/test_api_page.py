"""docs/api.md has every name at the top level of the package, by where it lives; `make docs` makes it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import crystallite
import crystallite.sklearn

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def named() -> dict[str, object]:
    """What the page shows, by the last part of its name."""
    found = {}
    for path in re.findall(r"^::: (\S+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        module, _, name = path.rpartition(".")
        found[name] = getattr(importlib.import_module(module), name)
    return found


def test_every_public_name_is_on_the_page():
    modules = (crystallite, crystallite.sklearn)
    public = {name: getattr(module, name) for module in modules for name in module.__all__}
    assert public.items() - {("__version__", crystallite.__version__)} <= named().items()


def test_what_is_on_the_page_has_a_docstring_of_its_own():
    assert [name for name, shown in named().items() if not vars(shown).get("__doc__", shown.__doc__)] == []
