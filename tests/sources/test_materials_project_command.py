"""`crystallite fetch mp` as a user meets it: what it prints, and keys and arguments that cannot be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from materials_project_replay import (
    IDS,
    KEY,
    MATERIALS,
    Replay,
    as_recorded,  # noqa: F401
    fetch,
    replaying,
)

from crystallite.cli import fetch as fetch_command
from crystallite.errors import CrystalliteError
from crystallite.sources.web import materials_project
from crystallite.sources.web.materials_project import fetch_materials

server = pytest.fixture(replaying)


def run(*arguments: object, input: str | None = None) -> Result:
    return CliRunner().invoke(fetch_command.command, ["mp", *map(str, arguments)], input=input)


def test_command(server: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    output = tmp_path / "mp.parquet"
    monkeypatch.setenv("MP_API_KEY", KEY)
    monkeypatch.setenv("MP_API_ENDPOINT", server.endpoint)
    result = run("--ids", tmp_path / "ids.txt", "-o", output)
    assert result.exit_code == 0, result.output
    counts = Counter(item.found_by for item in fetch(server, tmp_path).resolved)
    assert f"{len(IDS)} ids: {len(IDS) - counts['not found']} found" in result.stdout
    assert f"{counts['not found']} missing" in result.stdout
    assert "crystals have no GGA_GGA+U energies" in result.stdout
    assert f"{output}: {len(MATERIALS)} crystals of database version 2026.11.22" in result.stdout
    assert KEY not in result.output


def test_command_asks_for_the_key(server: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MP_API_KEY", raising=False)
    arguments = ("--everything", "-o", tmp_path / "mp.parquet", "--endpoint", server.endpoint)
    refused = run(*arguments)
    assert isinstance(refused.exception, CrystalliteError)
    assert "set MP_API_KEY" in str(refused.exception)
    monkeypatch.setattr(fetch_command, "_is_interactive", lambda: True)
    result = run(*arguments, input=KEY + "\n")
    assert result.exit_code == 0, result.output
    assert KEY not in result.output


@pytest.mark.parametrize("arguments", [[], ["--everything", "--chemsys", "Li-O"]])
def test_command_wants_one_kind(tmp_path: Path, arguments: list[str]) -> None:
    result = run(*arguments, "-o", tmp_path / "mp.parquet")
    assert "one of --ids, --article, --chemsys, --everything" in str(result.exception)


def test_command_knows_the_lists() -> None:
    assert fetch_command.ARTICLE_LISTS == materials_project.ARTICLE_LISTS
    assert tuple(materials_project.THERMO_TYPES) == fetch_command.THERMO_TYPES
    assert fetch_command.THERMO_TYPES[0] == materials_project.DEFAULT_THERMO_TYPE


@pytest.mark.parametrize("key", ["short", KEY + "0", "ä" * 32, ""])
def test_keys_that_cannot_be(tmp_path: Path, key: str) -> None:
    with pytest.raises(CrystalliteError, match="is 32 letters and digits") as error:
        fetch_materials(tmp_path / "mp.parquet", key, everything=True)
    assert not key or key not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_arguments_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(CrystalliteError, match=r"ends in .parquet"):
        fetch_materials(tmp_path / "mp.csv", KEY, everything=True)
    with pytest.raises(CrystalliteError, match="no thermo type 'PBE'"):
        fetch_materials(tmp_path / "mp.parquet", KEY, everything=True, thermo_type="PBE")
    with pytest.raises(CrystalliteError, match="one of them"):
        fetch_materials(tmp_path / "mp.parquet", KEY)
    with pytest.raises(CrystalliteError, match="starts with https"):
        fetch_materials(tmp_path / "mp.parquet", KEY, everything=True, endpoint="localhost:80")


def test_ids_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MP_API_KEY", KEY)
    file = tmp_path / "ids.csv"
    file.write_text("material_id,value\nmp-1,0.5\nFe2O3,0.5\n")
    result = run("--ids", file, "-o", tmp_path / "mp.parquet")
    assert isinstance(result.exception, CrystalliteError)
    assert str(result.exception) == f"{file}: 'Fe2O3' is not an id such as mp-149"
    with pytest.raises(CrystalliteError, match="ids: no ids"):
        fetch_materials(tmp_path / "mp.parquet", KEY, ids=[])
