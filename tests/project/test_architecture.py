"""The rooms of the package: imports go down, never up or round, and each room says what is in it."""

from __future__ import annotations

import ast
import configparser
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import crystallite

PACKAGE = Path(crystallite.__file__).parent
ROOT = Path(__file__).parents[2]
RULES = configparser.ConfigParser()
RULES.read(ROOT / ".importlinter")
OWN_WORDS = {"cli", "tracking", "cif", "materials_project"}  # described otherwise
ROOMS = sorted(
    path.parent for path in PACKAGE.rglob("__init__.py") if path.parent.name not in {*OWN_WORDS, PACKAGE.name}
)


def layers(contract: str) -> dict[str, int]:
    """The floor of every room of a contract of .importlinter, counted from the top."""
    lines = RULES[f"importlinter:contract:{contract}"]["layers"].split("\n")
    return {room: floor for floor, line in enumerate(filter(None, lines)) for room in line.split(" | ")}


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """The modules of the package that a module imports, inside functions as well: ("crystals", "cif")."""
    package = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = (*base, *(node.module.split(".") if node.module else ()))
            yield from ((*module, name.name) for name in node.names)


@pytest.mark.parametrize(("contract", "inside"), [("rooms", ()), ("sources", ("sources",))])
def test_rooms_import_from_rooms_below_them(contract: str, inside: tuple[str, ...]) -> None:
    floors, depth = layers(contract), len(inside)
    found = 0
    for path in PACKAGE.joinpath(*inside).rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[depth]
        for module in imports(path):
            if room not in floors or module[:depth] != inside or module[depth] not in floors:
                continue
            other = module[depth]
            assert room == other or floors[room] < floors[other], f"{path} imports {'.'.join(module)}"
            found += 1
    assert found > 20


def test_every_room_has_its_floor() -> None:
    names = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert names - {"__init__", "__main__"} == layers("rooms").keys()


def modules_in(room: Path) -> set[str]:
    """The names of the modules and packages in a room."""
    return {
        path.stem for path in room.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    } - {"__init__"}


def text_of(module: Path) -> str:
    """The source of a module or of all modules of a package."""
    files = module.rglob("*.py") if module.is_dir() else [module]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.relative_to(PACKAGE).as_posix())
def test_a_rooms_contents_names_all_that_is_in_it(room: Path) -> None:
    contents = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
    about, _, listing = contents.partition("\n- ")
    assert "Imports" in about
    listed = set(re.findall(r"(?<=[-,;] )(\w+)(?=[,:;])", f"- {listing}".replace("\n ", "")))
    assert modules_in(room) <= listed
    source = text_of(room)
    for name in re.findall(r"`(\w+)`", listing):
        assert re.search(rf"(def|class) {name}\b|^{name} = ", source, re.MULTILINE), name
