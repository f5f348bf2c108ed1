"""Answers of the service are those of the command line, to the last digit, however they are asked for."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from serving import EXAMPLES, example

import crystallite
from crystallite.cli import cli
from crystallite.models.ready import ready_models

NAMES = ["garnet.cif", "quartz.cif", "rock_salt.cif", "rutile.cif"]


def command_line(model: str, paths: list[Path], *options: str) -> str:
    result = CliRunner().invoke(cli, ["predict", model, *map(str, paths), *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def asked(client: httpx.Client, names: list[str], **question) -> dict:
    answer = client.post(
        "/api/v1/predict", json={"structures": [example(name) for name in names], **question}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("model", ["all", "band_gap", "is_metal"])
def test_a_table_is_the_command_lines_byte_for_byte(client: httpx.Client, model: str) -> None:
    question = {
        "structures": [example(name) for name in NAMES], "models": [model], "interval": 90, "neighbours": 2
    }  # fmt: skip
    answer = client.post("/api/v1/predict", json=question, headers={"Accept": "text/csv"})
    expected = command_line(
        model, [EXAMPLES / name for name in NAMES], "--interval", "90", "--neighbours", "2"
    )
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text == expected
    assert len(expected.splitlines()) == 1 + len(NAMES)


def test_numbers_as_json_are_those_of_the_table(client: httpx.Client) -> None:
    text = command_line("all", [EXAMPLES / name for name in NAMES], "--interval", "68", "--neighbours", "3")
    rows = {row["material_id"]: row for row in csv.DictReader(io.StringIO(text))}
    predictions = asked(client, NAMES, interval=68, neighbours=3)["predictions"]
    assert [one["material_id"] for one in predictions] == [Path(name).stem for name in NAMES]
    for one in predictions:
        row = rows[one["material_id"]]
        assert [part["model"] for part in one["properties"]] == list(ready_models())
        for part in one["properties"]:
            name = part["name"]
            cells = {key: row[f"{name}{suffix}"] for key, suffix in
                     (("value", ""), ("std", "_std"), ("lower", "_lower"), ("upper", "_upper"),
                      ("novelty", "_novelty"))}  # fmt: skip
            for key, cell in cells.items():
                assert part[key] == (float(cell) if cell else None), (name, key)
            assert part["unseen_elements"] == row[f"{name}_unseen_elements"].split()
            assert [near["id"] for near in part["neighbours"]] == [
                row[f"{name}_neighbour_{k}"] for k in (1, 2, 3)
            ]
            assert part["neighbours"][0]["distance"] == float(row[f"{name}_neighbour_1_distance"])


def test_some_models_give_what_all_of_them_give(client: httpx.Client) -> None:
    every = {part["model"]: part for part in asked(client, NAMES[:1])["predictions"][0]["properties"]}
    some = asked(client, NAMES[:1], models=["fermi_energy", "bulk_modulus", "band_gap"])
    parts = some["predictions"][0]["properties"]
    assert {part["model"] for part in parts} == {"fermi_energy", "bulk_modulus", "band_gap"}
    for part in parts:
        assert part == every[part["model"]]


def test_a_run_predicts_as_it_does_in_python(client: httpx.Client, served_runs: Path) -> None:
    [one] = asked(client, ["quartz.cif"], models=["per-atom"])["predictions"]
    expected = crystallite.load_model(served_runs / "per-atom").predict(EXAMPLES / "quartz.cif")
    assert one["properties"][0]["value"] == float(expected[0])
    assert one["properties"][0]["unit"] == "eV/atom"
    both = asked(client, ["quartz.cif"], models=["all", "per-atom"])["predictions"][0]["properties"]
    assert [part["model"] for part in both] == [*ready_models(), "per-atom"]
    assert both[-1]["value"] == float(expected[0])


def test_embeddings_are_those_of_python(client: httpx.Client) -> None:
    question = {"structures": [example(name) for name in NAMES], "model": "band_gap"}
    answer = client.post("/api/v1/embed", json=question).json()
    vectors = np.array([one["vector"] for one in answer["embeddings"]], np.float32)
    expected = crystallite.load_model("band_gap").embed([EXAMPLES / name for name in NAMES])
    np.testing.assert_array_equal(vectors, expected)


def test_a_stream_answers_every_line_in_order(client: httpx.Client, elastic: crystallite.Dataset) -> None:
    from crystallite.sources.reading.pymatgen_json import structure_dict

    rows = range(200)
    lines = [
        json.dumps({"name": f"{elastic.ids[k]}.json", "text": json.dumps(structure_dict(elastic.crystal(k)))})
        for k in rows
    ]
    lines[50:50] = ["", "no json", '{"name": "empty.cif", "text": ""}', '{"nome": 1}']
    pieces = (piece.encode() for piece in ("\n".join(lines[:100]) + "\n", "\n".join(lines[100:])))
    answer = client.post("/api/v1/predict/stream?models=bulk_modulus&interval=90", content=pieces)
    read = [json.loads(line) for line in answer.text.splitlines()]
    good = [one for one in read if "properties" in one]
    assert [one["source"] for one in read if "reason" in one] == ["line 51", "line 53", "empty.cif"]
    assert [one["material_id"] for one in good] == [elastic.ids[k] for k in rows]
    values = [one["properties"][0]["value"] for one in good]
    expected = crystallite.load_model("bulk_modulus").predict(elastic.select(list(rows)))
    # JSON holds the very coordinates, so only the order of additions of positions may differ: none does
    np.testing.assert_array_equal(values, expected)


def test_numbers_do_not_depend_on_who_else_asks(client: httpx.Client) -> None:
    alone = {name: asked(client, [name], interval=90)["predictions"][0] for name in NAMES}
    before = crystals_and_batches(client)
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda name: asked(client, [name], interval=90), NAMES * 8))
    for name, answer in zip(NAMES * 8, together, strict=True):
        assert answer["predictions"] == [alone[name]]
    after = crystals_and_batches(client)
    assert after[0] - before[0] == 32
    assert after[1] - before[1] < 32, "no two requests were evaluated together"


def crystals_and_batches(client: httpx.Client) -> tuple[float, float]:
    lines = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#")
    return float(lines["crystallite_crystals_total"]), float(lines["crystallite_batch_crystals_count"])


def test_what_cannot_be_used_is_told_beside_what_can(client: httpx.Client) -> None:
    overlapping = "x\n1\n3 0 0\n0 3 0\n0 0 3\nSi\n2\nDirect\n0 0 0\n0 0 0.01\n"
    question = {
        "structures": [
            {"name": "POSCAR", "text": overlapping},
            example(),
            {"name": "bad.cif", "text": "data_x\n"},
            example(),
        ],
        "models": ["band_gap"],
    }
    answer = client.post("/api/v1/predict", json=question)
    assert answer.status_code == 200
    read = answer.json()
    assert [one["material_id"] for one in read["predictions"]] == ["rock_salt", "rock_salt-2"]
    assert read["predictions"][0]["properties"] == read["predictions"][1]["properties"]
    reasons = {one["source"]: one["reason"] for one in read["errors"]}
    assert set(reasons) == {"POSCAR", "bad.cif"}
    assert "0.03" in reasons["POSCAR"]
    assert "atom_site" in reasons["bad.cif"]


def test_nothing_usable_is_an_error_that_says_why(client: httpx.Client) -> None:
    question = {"structures": [{"name": "bad.cif", "text": "data_x\n"}]}
    answer = client.post("/api/v1/predict", json=question)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("none of the structures can be used; bad.cif: no atoms")
    assert len(answer.json()["errors"]) == 1


def test_several_crystals_of_a_text_are_each_predicted(client: httpx.Client) -> None:
    text = example("rock_salt.cif")["text"] + example("quartz.cif")["text"]
    answer = client.post("/api/v1/predict", json={"structures": [{"name": "two.cif", "text": text}]}).json()
    assert [one["material_id"] for one in answer["predictions"]] == ["two:rock_salt", "two:quartz"]


@pytest.mark.parametrize(
    ("question", "status", "words"),
    [
        ({"structures": []}, 422, "structures"),
        ({"structures": [example()], "models": ["band_gab"]}, 404, "did you mean band_gap"),
        ({"structures": [example()], "models": ["../../etc/passwd"]}, 404, "no model"),
        ({"structures": [example()], "interval": 100}, 422, "interval"),
        ({"structures": [example()], "neighbours": 11}, 422, "neighbours"),
        ({"structures": [example()], "model": "band_gap"}, 422, "model"),
        ({"structures": [{"name": "x"}]}, 422, "text"),
    ],
)
def test_bad_questions_are_refused_with_a_reason(
    client: httpx.Client, question: dict, status: int, words: str
) -> None:
    answer = client.post("/api/v1/predict", json=question)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
