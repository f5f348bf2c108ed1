"""Learning curves and parity plots of run folders, whatever state they are in."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from serving import example, serving

from crystallite.runs.predictions import read_predictions, write_predictions
from crystallite.serve.run_views import overview, view
from crystallite.serve.settings import ServeSettings


@pytest.fixture
def run(served_runs: Path, tmp_path: Path) -> Path:
    """A copy of the run to change."""
    return Path(shutil.copytree(served_runs / "per-atom", tmp_path / "per-atom"))


def test_a_finished_run_shows_its_epochs_and_its_test(client: httpx.Client, served_runs: Path) -> None:
    [listed] = client.get("/api/v1/runs").json()["runs"]
    shown = client.get("/api/v1/runs/per-atom").json()
    assert {key: shown[key] for key in listed} == listed
    assert (listed["state"], listed["epoch"], listed["epochs"]) == ("finished", 3, 3)
    written = [
        json.loads(line) for line in (served_runs / "per-atom" / "metrics.jsonl").read_text().splitlines()
    ]
    target = listed["targets"][0]
    assert [one["loss"] for one in shown["history"]] == [one["loss"] for one in written]
    assert [one["validation"][target] for one in shown["history"]] == [
        one["targets"][target]["validation_mae"] for one in written
    ]
    [plot] = shown["parity"]
    assert plot["unit"] == "eV/atom"
    differences = np.abs(np.array(plot["true"]) - np.array(plot["predicted"]))
    assert differences.mean() == pytest.approx(plot["test_mae"])


def test_a_run_is_followed_while_it_trains(run: Path) -> None:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    for name in ("summary.json", "test_predictions.csv"):
        (run / name).unlink()
    (run / "metrics.jsonl").write_text(f'{lines[0]}\n{lines[1]}\n{{"epoch": 3, "lo')  # a line half written
    with serving(ServeSettings(runs=(str(run),))) as client:
        shown = client.get("/api/v1/runs/per-atom").json()
        assert (shown["state"], shown["epoch"], len(shown["history"])) == ("training", 2, 2)
        assert shown["parity"] == []
        assert shown["unit"] == {shown["targets"][0]: "eV/atom"}
        (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        assert client.get("/api/v1/runs/per-atom").json()["epoch"] == 3
        hour_ago = time.time() - 3600
        for name in ("metrics.jsonl", "config.toml"):
            os.utime(run / name, (hour_ago, hour_ago))
        assert client.get("/api/v1/runs/per-atom").json()["state"] == "stopped"


def test_runs_that_come_and_go_are_noticed(served_runs: Path, tmp_path: Path) -> None:
    with serving(ServeSettings(runs=(str(tmp_path),))) as client:
        assert client.get("/api/v1/runs").json() == {"runs": []}
        for name in ("new", "band_gap"):  # the second has the name of a ready model
            shutil.copytree(served_runs / "per-atom", tmp_path / name)
        names = [run["name"] for run in client.get("/api/v1/runs").json()["runs"]]
        assert names == [f"{tmp_path.name}/band_gap", "new"]
        models = [model["name"] for model in client.get("/api/v1/models").json()["models"]]
        assert models[-2:] == names
        for name in names:
            card = client.get(f"/api/v1/models/{name}").json()
            assert (card["origin"], card["atom_contributions"]) == ("run", True)
            assert client.get(f"/api/v1/runs/{name}").json()["name"] == name
        shutil.rmtree(tmp_path / "new")
        assert client.get("/api/v1/runs/new").status_code == 404
        assert client.get("/api/v1/models/new").status_code == 404


@pytest.mark.parametrize("name", ["config.toml", "metrics.jsonl", "summary.json", "test_predictions.csv"])
@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"{",
            b"\xff\xfe\x00",
            b"[1, 2]",
            b"a = 1",
            b"training = 3",
            b"data = 3\n[training]\nepochs = 'x'",
        ),
        *(
            b'{"epoch": 1, "targets": 3}',
            b'{"epoch": 1, "seconds": "x"}',
            b'{"targets": [1]}',
            b'{"epoch": "x"}',
        ),
        b'{"epoch": 1, "loss": NaN, "targets": {"a": {"validation_mae": Infinity}}}',
    ],
)
def test_damaged_files_of_a_run_stop_nothing(run: Path, name: str, content: bytes) -> None:
    (run / name).write_bytes(content)
    shown = view("x", run)
    json.dumps(shown, allow_nan=False)
    assert overview("x", run).items() <= shown.items()


def test_a_damaged_model_is_left_out_and_tells_no_path(run: Path) -> None:
    (run / "best.safetensors").write_bytes(b"x" * 100)
    with serving(ServeSettings(runs=(str(run),))) as client:
        models = client.get("/api/v1/models")
        assert models.status_code == 200
        assert "per-atom" not in [model["name"] for model in models.json()["models"]]
        assert client.get("/api/v1/runs").json()["runs"][0]["name"] == "per-atom"
        for answer in (
            client.get("/api/v1/models/per-atom"),
            client.post("/api/v1/predict", json={"structures": [example()], "models": ["per-atom"]}),
        ):
            assert answer.status_code == 422
            assert answer.json()["detail"] == "the run per-atom cannot be used: its model is damaged"


def test_predictions_of_an_ensemble_are_read_beside_their_deviations(tmp_path: Path) -> None:
    truth, predicted = np.array([[1.0, 2.0], [np.nan, 4.0]]), np.array([[1.1, 2.1], [3.1, 4.1]])
    path = tmp_path / "table.csv"
    for deviation in (None, np.full((2, 2), 0.5)):
        write_predictions(path, ["a", "b"], ["x", "y"], truth, predicted, deviation)
        table = read_predictions(path)
        assert table.ids == ["a", "b"]
        np.testing.assert_array_equal(table.truth, truth)
        np.testing.assert_array_equal(table.predicted, predicted)
