"""What the Materials Project client fetches, against recorded replies of its own server code."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from materials_project_replay import (
    IDS,
    MATERIALS,
    Replay,
    as_recorded,  # noqa: F401
    fetch,
    replaying,
)

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.sources.reading import crystal_pile
from crystallite.sources.web import materials_project
from crystallite.sources.web.materials_project import article_ids
from crystallite.sources.web.materials_project.ids import format_id, id_number

server = pytest.fixture(replaying)


# ---- crystals, values and reports


def test_what_became_of_each_id(server: Replay, tmp_path: Path) -> None:
    fetched = fetch(server, tmp_path)
    by_task = {task: material for material in MATERIALS.values() for task in material["tasks"]}
    for name, item in zip(IDS, fetched.resolved, strict=True):
        number = id_number(name)
        material = by_task.get(number) or MATERIALS.get(number)
        way = "task id" if number in by_task else "material id" if material else "not found"
        assert (item.requested_id, item.found_by) == (name, way)
        assert item.number == (material and material["number"])
        assert item.deprecated == (material and material["deprecated"])
    counts = fetched.counts
    assert counts["found"] + counts["not found"] == len(IDS)
    assert counts["found"] - counts["merged"] == len(fetched.dataset) == len(MATERIALS)
    assert min(counts["task id"], counts["material id"], counts["merged"], counts["deprecated"]) > 0


def test_report_of_ids(server: Replay, tmp_path: Path) -> None:
    fetched = fetch(server, tmp_path)
    with (tmp_path / "mp.ids.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["requested_id"] for line in lines] == IDS
    assert [line["material_id"] or None for line in lines] == [r.material_id for r in fetched.resolved]
    assert {line["deprecated"] for line in lines} == {"true", "false", ""}
    assert lines[-1] == {
        "requested_id": "mp-1900007",
        "material_id": "",
        "deprecated": "",
        "found_by": "not found",
        "problem": "no material has this id",
    }


@pytest.mark.parametrize(("thermo_type", "stored"), [("GGA_GGA+U", "GGA_GGA+U"), ("R2SCAN", "r2SCAN")])
def test_rows_hold_what_the_server_has(server: Replay, tmp_path: Path, thermo_type: str, stored: str) -> None:
    fetch(server, tmp_path, ids=IDS, thermo_type=thermo_type)
    dataset = Dataset.read(tmp_path / "mp.parquet")
    for index, name in enumerate(dataset.ids):
        material = MATERIALS[id_number(name)]
        crystal = dataset.crystal(index)
        np.testing.assert_array_equal(crystal.numbers, material["numbers"])
        np.testing.assert_array_equal(crystal.lattice, material["lattice"])
        np.testing.assert_array_equal(crystal.frac_coords, material["frac_coords"])
        energies = material["thermo"].get(stored)
        assert dataset.labels("thermo_type")[index] == (thermo_type if energies else None)
        names = ("formation_energy_per_atom", "energy_per_atom", "uncorrected_energy_per_atom")
        for energy in (*names, "energy_above_hull"):
            assert missing_as_none(dataset, energy, index) == (energies and energies[energy])
        if energies:
            assert energies["uncorrected_energy_per_atom"] > energies["energy_per_atom"]
    assert 0 < dataset.labels("thermo_type").count(None) < len(dataset)


def test_properties_have_their_names(server: Replay, tmp_path: Path) -> None:
    dataset = fetch(server, tmp_path).dataset
    for index, name in enumerate(dataset.ids):
        values = MATERIALS[id_number(name)]["values"]
        found = {column: missing_as_none(dataset, column, index) for column in dataset.properties}
        assert found["band_gap"] == values["band_gap"]
        assert found["fermi_energy"] == values["efermi"]
        assert found["is_metal"] == values["is_metal"]
        assert found["poisson_ratio"] == values["homogeneous_poisson"]
        assert found["deprecated"] == MATERIALS[id_number(name)]["deprecated"]
        for modulus in ("bulk_modulus", "shear_modulus"):
            averages = values[modulus] or dict.fromkeys(("vrh", "voigt", "reuss"))
            assert found[modulus] == averages["vrh"]
            assert found[f"{modulus}_voigt"] == averages["voigt"]
            assert found[f"{modulus}_reuss"] == averages["reuss"]
            vrh = averages["vrh"]
            assert found[f"log10_{modulus}"] == (math.log10(vrh) if vrh and vrh > 0 else None)


def missing_as_none(dataset: Dataset, column: str, index: int) -> float | None:
    value = float(dataset.values(column)[index])
    return None if math.isnan(value) else value


def test_units_are_those_of_the_builtin_sets(server: Replay, tmp_path: Path) -> None:
    units = fetch(server, tmp_path).dataset.units
    for name in ("elastic", "formation", "dielectric"):
        known = Dataset.read(name).units
        assert known.items() <= units.items()


def test_where_rows_come_from(server: Replay, tmp_path: Path) -> None:
    dataset = fetch(server, tmp_path).dataset
    assert set(dataset.labels("database_version")) == {"2026.11.22"}
    assert all(day and len(day) == 10 for day in dataset.labels("query_date"))
    assert [id_number(raw or "") for raw in dataset.labels("raw_id")] == [id_number(i) for i in dataset.ids]
    assert "mp-aaaejupj" in dataset.labels("raw_id")
    assert dataset.metadata["licence"] == "Materials Project, CC-BY-4.0"


def test_everything_comes_in_pages(server: Replay, tmp_path: Path) -> None:
    dataset = fetch(server, tmp_path, everything=True).dataset
    expected = [number for number, material in MATERIALS.items() if not material["deprecated"]]
    assert [id_number(name) for name in dataset.ids] == sorted(expected)
    listing = [request for request in server.asked() if "_sort_fields" in request]
    assert [request.rpartition("=")[2] for request in listing] == ["0", "4", "8", "12"]
    assert not (tmp_path / "mp.ids.csv").exists()


def test_an_unusable_crystal_is_left_out_and_reported(server: Replay, tmp_path: Path) -> None:
    server.replies = {
        request: {**kept, "text": with_half_occupied(kept["text"], "mp-aaaejupj")}
        for request, kept in server.replies.items()
    }
    fetched = fetch(server, tmp_path)
    (why,) = fetched.problems.values()
    assert "partial occupancy" in why
    assert fetched.problems == {"mp-2000007": why}
    assert "mp-2000007" not in fetched.dataset.ids
    reported = [item.problem for item in fetched.resolved if item.material_id == "mp-2000007"]
    assert set(reported) == {why}


@pytest.mark.parametrize("limit", [0, crystal_pile.IN_MEMORY])
def test_neither_the_order_of_replies_nor_the_disk_changes_the_file(
    server: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    server.replies = {
        request: {**kept, "text": with_half_occupied(kept["text"], "mp-aaaejvxh")}
        for request, kept in server.replies.items()
    }
    fetched = fetch(server, tmp_path)
    whole = (tmp_path / "mp.parquet").read_bytes()
    deprecated = fetched.dataset.values("deprecated")
    assert 0 < np.argmax(deprecated) < len(deprecated) - 1  # among the others, and came after them
    assert fetched.problems.keys() == {"mp-2000889"}
    server.replies = {
        request: {**kept, "text": in_reverse(kept["text"])} for request, kept in server.replies.items()
    }
    monkeypatch.setattr(crystal_pile, "IN_MEMORY", limit)
    again = fetch(server, tmp_path)
    assert (tmp_path / "mp.parquet").read_bytes() == whole
    assert (again.resolved, again.problems) == (fetched.resolved, fetched.problems)


def in_reverse(text: str) -> str:
    content = json.loads(text)
    if "data" in content:
        content["data"].reverse()
    return json.dumps(content)


def with_half_occupied(text: str, material_id: str) -> str:
    content = json.loads(text)
    for document in content.get("data", []):
        if document.get("material_id") == material_id and "structure" in document:
            document["structure"]["sites"][0]["species"][0]["occu"] = 0.5
    return json.dumps(content)


# ---- ids


def test_spellings_of_an_id() -> None:
    for text in ("mp-149", "149", "mp-ft", "mp-aaaaaaft", "aaaaaaft", "mvc-149"):
        assert id_number(text) == 149
    for text in ("", "mp-", "mp", "Fe2O3", "MP-149", "mp-1-2", "ft", "material_id", "mp--1"):
        with pytest.raises(ValueError, match="not an id"):
            id_number(text)
    assert format_id(149) == "mp-149"
    assert format_id(3_347_529) == "mp-3347529"
    assert format_id(3_347_530) == "mp-aaahilze"
    assert all(id_number(format_id(n)) == n for n in (0, 1, 3_347_530, 26**8, 26**8 - 1))


def test_article_lists() -> None:
    lists = {name: article_ids(name) for name in materials_project.ARTICLE_LISTS}
    assert [len(ids) for ids in lists.values()] == [46_744, 27_430, 3_402, 46_744]
    assert all(len(set(ids)) == len(ids) for ids in lists.values())
    assert lists["formation"][:3] == ["mp-754118", "mp-978908", "mp-633688"]
    assert lists["band-gap"][:3] == ["mp-754118", "mp-633688", "mp-3799"]
    assert lists["elastic"][:3] == ["mp-571420", "mp-21248", "mp-7090"]
    with pytest.raises(CrystalliteError, match="there are: formation"):
        article_ids("elasticity")


def test_foreign_ids_are_not_mistaken(server: Replay, tmp_path: Path) -> None:
    fetched = fetch(server, tmp_path, ids=["mvc-500002", *IDS])
    assert fetched.resolved[0].found_by == "not found"
    assert "mvc-" in fetched.resolved[0].problem
    assert fetched.resolved[1:] == fetch(server, tmp_path).resolved
