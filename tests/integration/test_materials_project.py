"""Fetching from the Materials Project's own server code gives what its own client gets, row by row.

The server (PyPI emmet-api on mongomock) and the client (mp-api) live in an environment of their own, see
materials_project_environment.
"""

from __future__ import annotations

import json
import math
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from installed_server import Server, requests_of_killed
from materials_project_environment import HERE, KEY, VERSION, make_environment, running_server
from materials_project_world import MISSING, requested, world

from crystallite.crystals.elements import symbols
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.sources.web.materials_project import THERMO_TYPES, fetch_materials, queries
from crystallite.sources.web.materials_project.ids import id_number
from crystallite.sources.web.materials_project.rows import ENERGIES

pytestmark = pytest.mark.integration

MATERIALS = world()
ASKED = requested(MATERIALS)
VISIBLE = [material for material in MATERIALS if material["license"] == "BY-C"]


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("environments"))


@pytest.fixture(scope="module")
def server(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(python, MATERIALS, tmp_path_factory.mktemp("server")) as running:
        yield running


def peer(python: Path, server: Server, folder: Path, thermo_type: str) -> dict[str, Any]:
    """Return what mp-api gets."""
    asked, answers = folder / "asked.json", folder / "answers.json"
    asked.write_text(json.dumps({"ids": ASKED, "thermo_type": thermo_type}))
    script = HERE / "materials_project_peer.py"
    subprocess.run([python, script, server.endpoint, KEY, asked, answers], check=True)
    result: dict[str, Any] = json.loads(answers.read_text())
    return result


@pytest.mark.parametrize("thermo_type", THERMO_TYPES)
def test_rows_are_those_of_mp_api(python: Path, server: Server, tmp_path: Path, thermo_type: str) -> None:
    ids = [f"mp-{number}" for number in ASKED]
    output = tmp_path / "mp.parquet"
    fetched = fetch_materials(output, KEY, ids=ids, thermo_type=thermo_type, endpoint=server.endpoint)
    dataset = Dataset.read(output)
    answers = peer(python, server, tmp_path, thermo_type)

    tasks = {task: (material, old) for task, material, old in reversed(answers["tasks"])}
    for item in fetched.resolved:
        number = id_number(item.requested_id)
        if item.found_by == "task id":
            assert tasks[number] == (item.number, item.deprecated)
        elif item.found_by == "material id":
            assert number == item.number
            assert number not in tasks
        else:
            assert number not in tasks
            assert str(number) not in answers["summary"]
    assert set(dataset.ids) == {item.material_id for item in fetched.resolved if item.number}
    for row in rows(dataset):
        assert row == peer_row(answers, row["number"])


def rows(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the crystals and properties of a dataset with the names of the Materials Project."""
    names = {
        "band_gap": "band_gap",
        "efermi": "fermi_energy",
        "homogeneous_poisson": "poisson_ratio",
        **{name: name for name in ENERGIES},
        **{f"{m}.{a}": f"{m}_{a}" for m in ("bulk_modulus", "shear_modulus") for a in ("voigt", "reuss")},
        **{f"{m}.vrh": m for m in ("bulk_modulus", "shear_modulus")},
    }
    columns = {theirs: dataset.values(ours) for theirs, ours in names.items()}
    metal = dataset.labels("is_metal")
    return [
        {
            "number": id_number(name),
            "lattice": crystal.lattice.tolist(),
            "numbers": crystal.numbers.tolist(),
            "frac_coords": crystal.frac_coords.tolist(),
            "is_metal": metal[index] == "True",
            **{key: none_if_missing(values[index]) for key, values in columns.items()},
        }
        for index, (name, crystal) in enumerate(zip(dataset.ids, dataset, strict=True))
    ]


def peer_row(answers: dict[str, Any], number: int) -> dict[str, Any]:
    """Return mp-api's row of a material in the form of `rows`."""
    row = {"number": number, **answers["summary"][str(number)]}
    for modulus in ("bulk_modulus", "shear_modulus"):
        averages = row.pop(modulus) or {}
        row |= {f"{modulus}.{name}": averages.get(name) for name in ("voigt", "reuss", "vrh")}
    return row | {name: answers["thermo"].get(str(number), {}).get(name) for name in ENERGIES}


def none_if_missing(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def test_what_became_of_each_id(server: Server, tmp_path: Path) -> None:
    ids = [f"mp-{number}" for number in ASKED]
    fetched = fetch_materials(tmp_path / "mp.parquet", KEY, ids=ids, endpoint=server.endpoint)
    live_last = sorted(VISIBLE, key=lambda material: not material["deprecated"])
    by_task = {task: material for material in live_last for task in material["tasks"]}
    by_number = {material["number"]: material for material in VISIBLE}
    for number, item in zip(ASKED, fetched.resolved, strict=True):
        material = by_task.get(number) or by_number.get(number)
        if material is None:
            assert (item.number, item.found_by) == (None, "not found")
        else:
            way = "task id" if number in by_task else "material id"
            truth = (material["number"], material["deprecated"], way)
            assert (item.number, item.deprecated, item.found_by) == truth
    counts = fetched.counts
    assert counts["not found"] >= len(MISSING)
    assert min(counts["task id"], counts["material id"], counts["merged"], counts["deprecated"]) > 3
    assert len(fetched.dataset) == counts["found"] - counts["merged"]


def test_values_are_those_put_in(server: Server, tmp_path: Path) -> None:
    fetched = fetch_materials(tmp_path / "mp.parquet", KEY, everything=True, endpoint=server.endpoint)
    dataset = fetched.dataset
    truth = {m["number"]: m for m in VISIBLE if not m["deprecated"]}
    assert sorted(id_number(name) for name in dataset.ids) == sorted(truth)
    for index, (name, crystal) in enumerate(zip(dataset.ids, dataset, strict=True)):
        material = truth[id_number(name)]
        np.testing.assert_array_equal(crystal.numbers, material["numbers"])
        np.testing.assert_array_equal(crystal.lattice, material["lattice"])
        np.testing.assert_array_equal(crystal.frac_coords, material["frac_coords"])
        energies = material["thermo"].get("GGA_GGA+U")
        assert dataset.labels("thermo_type")[index] == ("GGA_GGA+U" if energies else None)
        modulus = (material["values"]["bulk_modulus"] or {}).get("vrh")
        found = none_if_missing(dataset.values("log10_bulk_modulus")[index])
        assert found == (math.log10(modulus) if modulus and modulus > 0 else None)
    assert set(dataset.labels("database_version")) == {VERSION}


def test_pages_and_batches(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fetch_materials(tmp_path / "a.parquet", KEY, everything=True, endpoint=server.endpoint)
    monkeypatch.setattr(queries, "PAGE", 7)
    monkeypatch.setattr(queries, "BATCH", 20)
    parts = fetch_materials(tmp_path / "b.parquet", KEY, everything=True, endpoint=server.endpoint)
    assert parts.dataset.table.equals(whole.dataset.table)


def test_chemical_systems(server: Server, tmp_path: Path) -> None:
    everything = fetch_materials(tmp_path / "a.parquet", KEY, everything=True, endpoint=server.endpoint)
    kinds = [frozenset(crystal.numbers.tolist()) for crystal in everything.dataset]
    wanted = kinds[0], kinds[-1]
    systems = ["-".join(symbols()[number] for number in kind) for kind in wanted]
    fetched = fetch_materials(tmp_path / "b.parquet", KEY, chemical_systems=systems, endpoint=server.endpoint)
    expected = [name for name, kind in zip(everything.dataset.ids, kinds, strict=True) if kind in wanted]
    assert fetched.dataset.ids == expected


def test_killed_and_resumed(server: Server, tmp_path: Path) -> None:
    """A fetch killed at any moment asks for nothing again, but for what was under way when it was killed."""
    (tmp_path / "ids.txt").write_text("\n".join(f"mp-{number}" for number in ASKED))
    code = (
        "from pathlib import Path\n"
        "from crystallite.sources.web.materials_project import queries, fetch_materials\n"
        "queries.BATCH = 10\n"
        "ids = Path('ids.txt').read_text().split()\n"
        f"fetch_materials('mp.parquet', '{KEY}', ids=ids, endpoint='{server.endpoint}')\n"
    )
    requests = requests_of_killed(code, tmp_path / "mp.parquet", server, (5, 20, 40))
    asked = Counter(line for line in requests if "/heartbeat" not in line)
    assert len(asked) > 60
    assert sum(asked.values()) - len(asked) <= 3
    assert not (tmp_path / "mp.journal").exists()
    at_once = fetch_materials(
        tmp_path / "b.parquet", KEY, ids=[f"mp-{n}" for n in ASKED], endpoint=server.endpoint
    )
    assert Dataset.read(tmp_path / "mp.parquet").table.equals(at_once.dataset.table)


def test_wrong_key(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CrystalliteError, match="refused the key"):
        fetch_materials(tmp_path / "mp.parquet", KEY[::-1], everything=True, endpoint=server.endpoint)
    assert list(tmp_path.iterdir()) == []
