"""What a tracker shows of a run, each read by its own reader, for the tests."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from training_runs import metrics, summary

from crystallite import tracking
from crystallite.runs.folder import RunConfig
from crystallite.tracking import TRACKING, flat_settings, numbers_in

FILES = {"best.safetensors", "config.toml", "summary.json", "test_predictions.csv", "split.csv"}


class Shown(NamedTuple):
    """A run as a tracker shows it. scalars: steps and values by name; artifacts: contents by file name."""

    scalars: dict[str, list[tuple[int, float]]]
    summary: dict[str, float]
    settings: dict[str, str]
    figures: set[str]
    artifacts: dict[str, bytes]


def in_tensorboard(folder: Path) -> Shown:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    reader = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0, "images": 0, "tensors": 0})
    reader.Reload()
    scalars = {
        tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]
    }
    text = [make_ndarray(event.tensor_proto)[0].decode() for event in reader.Tensors("settings/text_summary")]
    rows = [line.strip("| ").split(" | ") for line in "".join(text).splitlines()[2:]]
    of_run = {name for entry in metrics(folder) for name in numbers_in(entry)}
    return Shown(
        {name: points for name, points in scalars.items() if name in of_run},
        {name: points[-1][1] for name, points in scalars.items() if name not in of_run},
        {row[0]: row[1] if len(row) > 1 else "" for row in rows},
        set(reader.Tags()["images"]),
        {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()},
    )


def mlflow_client() -> Any:
    return tracking._backend("mlflow").load().MlflowClient()


def in_mlflow(folder: Path) -> Shown:
    client, run_id = mlflow_client(), identity(folder)["mlflow"]["run_id"]
    run = client.get_run(run_id)
    histories = {name: client.get_metric_history(run_id, name) for name in run.data.metrics}
    scalars = {name: [(m.step, m.value) for m in history] for name, history in histories.items()}
    of_run = {name for entry in metrics(folder) for name in numbers_in(entry)}
    artifacts = {
        file.path: Path(client.download_artifacts(run_id, file.path)).read_bytes()
        for file in client.list_artifacts(run_id)
    }
    return Shown(
        {name: points for name, points in scalars.items() if name in of_run},
        {name: points[0][1] for name, points in scalars.items() if name not in of_run and len(points) == 1},
        run.data.params,
        {name.removesuffix(".png") for name in artifacts if name.endswith(".png")},
        artifacts,
    )


def in_clearml(folder: Path) -> Shown:
    session = Path(os.environ["CLEARML_CACHE_DIR"], "offline", identity(folder)["clearml"]["task_id"])
    with zipfile.ZipFile(f"{session}.zip") as file:
        task = json.loads(file.read("task.json"))
        lines = file.read("metrics.jsonl").decode().splitlines()
        artifacts = {Path(name).name: file.read(name) for name in file.namelist() if "/artifacts/" in name}
    scalars: dict[str, list[tuple[int, float]]] = {}
    result: dict[str, float] = {}
    figures = set()
    for event in (event for line in lines for event in json.loads(line)):
        names = dict.fromkeys((event["metric"], event["variant"]))
        if event["type"] == "training_debug_image":
            figures.add(event["variant"])
        elif event["metric"] == "Summary":
            result[event["variant"]] = event["value"]
        else:
            scalars.setdefault("/".join(names), []).append((event["iter"], event["value"]))
    settings = {
        f"{table}.{name}": item["value"]
        for table, items in task["hyperparams"].items()
        for name, item in items.items()
    }
    return Shown(scalars, result, settings, figures, artifacts)


READERS = {"tensorboard": in_tensorboard, "mlflow": in_mlflow, "clearml": in_clearml}


def identity(folder: Path) -> dict[str, dict[str, str]]:
    return json.loads((folder / TRACKING).read_text())


def assert_shown(folder: Path, tracker: str) -> None:
    """The tracker shows every epoch of the run once, its configuration, summary, figures and files."""
    shown = READERS[tracker](folder)
    expected: dict[str, list[tuple[int, float]]] = {}
    for entry in metrics(folder):
        for name, number in numbers_in(entry).items():
            expected.setdefault(name, []).append((entry["epoch"], number))
    assert expected
    assert {name: [step for step, _ in points] for name, points in shown.scalars.items()} == {
        name: [step for step, _ in points] for name, points in expected.items()
    }
    for name, points in expected.items():
        assert [value for _, value in shown.scalars[name]] == pytest.approx(
            [value for _, value in points], 1e-6
        )
    numbers = numbers_in(summary(folder))
    for name, number in numbers.items():
        name = f"best_{name}" if name.startswith("validation_") else name
        assert shown.summary[name] == pytest.approx(number, 1e-6)
    settings = flat_settings(RunConfig.read(folder))
    assert shown.settings == {name: str(value) for name, value in settings.items()}
    assert {"data.targets", "graph.n_neighbors", "training.epochs"} <= set(settings)
    assert shown.figures == {path.stem for path in folder.glob("*.png")} != set()
    assert set(shown.artifacts) >= FILES
    for name in FILES:
        assert shown.artifacts[name] == (folder / name).read_bytes()
