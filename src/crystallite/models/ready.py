"""The models that come with the package, by the names of their properties. `make models` makes their files.

A file may predict several properties; each of them is a model of its own name.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..datasets.builtin import PREFIX, name_in_package
from ..errors import CrystalliteError
from .checkpoint import read_header

FOLDER = Path(__file__).parents[1] / "data" / "models"
ALL = "all"  # stands for every ready model
UNIVERSAL = "formation_energy"  # of the most crystals and elements; what it has learned helps most properties


class ReadyModel(NamedTuple):
    """A property that a file of the package predicts.

    column: which of the file's targets it is. card: facts about the file; `of_property` those of this one.
    """

    name: str
    path: Path
    column: int
    card: dict[str, Any]

    @property
    def of_property(self) -> dict[str, Any]:
        """What the card says of this property."""
        facts: dict[str, Any] = self.card["properties"][self.name]
        return facts


@cache
def ready_models() -> dict[str, ReadyModel]:
    """Return name -> model of all that come with the package, in the order of the files and their targets."""
    found = {}
    for path in sorted(FOLDER.glob("*.safetensors")):
        card = read_header(path).get("card")
        if not isinstance(card, dict) or not isinstance(card.get("properties"), dict):
            raise CrystalliteError(f"{path} has no card: install Crystallite again")
        for column, name in enumerate(card["properties"]):
            found[name] = ReadyModel(name, path, column, card)
    return found


def ready_base(name: str) -> str:
    """Return the name of the ready model to fine-tune for this property: its own, or UNIVERSAL."""
    models = ready_models()
    if UNIVERSAL not in models:
        raise CrystalliteError("no models to start from come with this copy of Crystallite")
    own = (known for known, model in models.items() if name in (known, model.of_property["column"]))
    return next(own, UNIVERSAL)


def ready_name(word: str | Path) -> str | None:
    """Return the name of the ready model that `word` stands for (`all` is one), or None.

    Names may have `builtin:` before them; a Path never is one. Raises CrystalliteError for builtin: before
    another name, and for a name that is also that of a file or folder here.
    """
    if not isinstance(word, str):
        return None
    if not word.startswith(PREFIX) and not word.isidentifier():
        return None  # without a look at the files
    return name_in_package(word, [*ready_models(), ALL], "model")
