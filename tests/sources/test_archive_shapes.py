"""The shapes in which programs and services write crystals in JSON are read, or named in one line."""

from __future__ import annotations

import gzip
import json

import msgpack
import pandas as pd
import pytest
from archive_files import read
from strategies import rock_salt

from crystallite.errors import CrystalliteError
from crystallite.sources.exporters.published_layout import cif_text
from crystallite.sources.reading.pymatgen_json import structure_dict

CRYSTALS = [rock_salt(5.0), rock_salt(6.0)]
S, T = map(structure_dict, CRYSTALS)
MPID = {"@module": "emmet.core.mpid", "@class": "MPID", "string": "mp-149"}


def jarvis(crystal, *, cartesian=False):
    coords = crystal.frac_coords @ crystal.lattice if cartesian else crystal.frac_coords
    elements = ["Na"] * 4 + ["Cl"] * 4
    return {
        "lattice_mat": crystal.lattice.tolist(),
        "coords": coords.tolist(),
        "elements": elements,
        "cartesian": cartesian,
        "props": [""] * 8,
    }


def entry(name, crystal):
    attributes = {
        "lattice_vectors": crystal.lattice.tolist(),
        "cartesian_site_positions": (crystal.frac_coords @ crystal.lattice).tolist(),
        "species_at_sites": ["Na"] * 4 + ["Cl"] * 4,
        "dimension_types": [1, 1, 1],
        "nsites": 8,
        "_gap": 1.5,
    }
    return {"id": name, "type": "structures", "attributes": attributes}


def frame():
    return pd.DataFrame({"material_id": ["a", "b"], "structure": [S, T], "gap": [1.5, None]})


def lines(*values):
    return "\n".join(map(json.dumps, values)) + "\n"


RECORDS = [
    {"material_id": "a", "structure": S, "gap": 1.5},
    {"material_id": "b", "structure": T, "gap": None},
]
DFT_3D = [
    {"jid": "a", "atoms": jarvis(CRYSTALS[0]), "gap": 1.5},
    {"jid": "b", "atoms": jarvis(CRYSTALS[1], cartesian=True), "gap": "na"},
]
NA_CL = jarvis(CRYSTALS[0])
OPTIMADE = {"data": [entry("a", CRYSTALS[0]), entry("b", CRYSTALS[1])], "meta": {"api_version": "1.2"}}

TWO = {
    "list": json.dumps(RECORDS),
    "lines": lines(*RECORDS),
    "records of ids": json.dumps({"a": {"structure": S, "gap": 1.5}, "b": {"structure": T}}),
    "structures of ids": json.dumps({"a": S, "b": cif_text(CRYSTALS[1], "b")}),
    "text of JSON": json.dumps({"a": json.dumps(S), "b": json.dumps(jarvis(CRYSTALS[1]))}),
    "entries of pymatgen": json.dumps([{"entry_id": n, "structure": s} for n, s in (("a", S), ("b", T))]),
    "CIFs": json.dumps([{"material_id": "a", "cif": cif_text(CRYSTALS[0], "a"), "gap": 1.5}, RECORDS[1]]),
    "JARVIS": json.dumps(DFT_3D),
    "JARVIS of ids": json.dumps({"a": DFT_3D[0]["atoms"], "b": DFT_3D[1]["atoms"]}),
    "OPTIMADE": json.dumps(OPTIMADE),
    "OPTIMADE, meta first": json.dumps(dict(reversed(OPTIMADE.items()))),
    "OPTIMADE lines": lines(*OPTIMADE["data"]),
    **{
        f"pandas {orient}": frame().to_json(orient=orient)
        for orient in ("columns", "records", "split", "index")
    },
    "pandas table": frame().to_json(orient="table"),
    "pandas lines": frame().to_json(orient="records", lines=True),
    "pandas by index": frame().set_index("material_id").to_json(),
    "pandas split by index": frame().set_index("material_id").to_json(orient="split"),
    "split, data first": json.dumps(
        {"data": [[S, 1.5], [T, None]], "columns": ["structure", "gap"], "index": ["a", "b"]}
    ),
}


@pytest.mark.parametrize("shape", TWO)
@pytest.mark.parametrize("packed", [False, True])
def test_two_crystals_in_every_shape(shape, packed, tmp_path):
    path = tmp_path / "x.json"
    if packed and "lines" in shape:
        path = tmp_path / "x.jsonl.gz"
        path.write_bytes(gzip.compress(TWO[shape].encode()))
    elif packed:
        path = tmp_path / "x.msgpack"
        path.write_bytes(msgpack.packb(json.loads(TWO[shape])))
    else:
        path.write_text(TWO[shape])
    dataset = read(path).dataset
    assert dataset.ids == ["a", "b"]
    assert [len(crystal) for crystal in dataset] == [8, 8]
    assert [round(crystal.volume) for crystal in dataset] == [125, 216]
    for name in {"gap", "_gap"} & set(dataset.properties):
        assert dataset.values(name)[0] == 1.5


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ([{"material_id": MPID, "structure": S}], "mp-149"),
        ({"material_id": MPID, "structure": S, "fields_not_requested": ["a"]}, "mp-149"),
        ([{"material_id": 149, "structure": S}], "149"),
        ([{"structure": S}], "0"),
        ([S], "0"),
        (S, "x"),
        (jarvis(CRYSTALS[0]), "x"),
        ({"jid": "JVASP-1", "atoms": jarvis(CRYSTALS[0])}, "JVASP-1"),
        (entry("odbx/1", CRYSTALS[0]), "odbx/1"),
        ({"data": entry("odbx/1", CRYSTALS[0]), "meta": {}}, "odbx/1"),
        ({"structure": S}, "structure"),
        ({"a": {"structure": S, "material_id": "mp-1"}}, "mp-1"),
    ],
)
def test_one_crystal_and_its_id(value, name, tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(value))
    assert read(tmp_path / "x.json").dataset.ids == [name]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (lines({"id": "a"}, {"id": "b"}), "holds no crystals but a dictionary with the keys id; known are"),
        ('{"results": [1, 2], "count": 2}', "a dictionary with the keys results, count; known are"),
        ('[{"formula": "NaCl", "gap": 1}]', "but a dictionary with the keys formula, gap; known are"),
        ('{"1": {"cell": [], "numbers": []}, "ids": [1]}', "a dictionary with the keys 1, ids; known are"),
        ('{"gap": {"0": 1.5}, "formula": {"0": "NaCl"}}', "holds properties, no crystals"),
        (json.dumps([{"material_id": ["a"], "structure": S}]), "element 1: the id is no text but a list"),
        (json.dumps([{"material_id": {"a": 1}, "structure": S}]), "the id is no text but a dictionary"),
        (json.dumps([{"jid": "J", "atoms": {**NA_CL, "elements": ["Xx"] * 8}}]), "unknown element Xx"),
        (json.dumps([{"jid": "J", "atoms": {**NA_CL, "coords": [[0, 0]]}}]), "x.json, element 1 (J): "),
        (json.dumps([{"jid": "J", "atoms": {**NA_CL, "coords": 1}}]), "x.json, element 1 (J): "),
        (json.dumps({"id": "a", "attributes": {"dimension_types": 3}}), "not a structure as OPTIMADE"),
        (json.dumps([*RECORDS, {"structure": S, "gap": "high"}]), "gap, crystal 3 (2): 'high' is text"),
        (json.dumps([{"structure": S, "gap": 10**400}]), "x.json: "),
    ],
)
def test_what_is_not_known_is_named(text, reason, tmp_path):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CrystalliteError) as caught:
        read(tmp_path / "x.json")
    assert reason in str(caught.value)


def test_words_for_missing_values_are_told(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(DFT_3D))
    imported = read(tmp_path / "x.json")
    assert imported.dataset.table["gap"].to_pylist() == [1.5, None]
    assert imported.notices == [f"{tmp_path / 'x.json'}: property gap: 'na' is a missing value"]
