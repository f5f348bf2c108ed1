"""Folders that version 0.1.0 wrote are read and resumed, with results in today's layout.

data/runs_0_1_0.zip was written by 0.1.0 on 60 crystals of `elastic` (all of them: `single`), the unfinished
ones stopped after an epoch; figures, and states that nothing reads, are left out to keep it small.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from grouped_runs import MODULUS, Said, moduli, runs_of
from shown_runs import READERS
from training_runs import metrics, one_thread, summary, table, with_gaps  # noqa: F401

from crystallite import load_model
from crystallite.datasets.dataset import Dataset
from crystallite.evaluation.results import upgraded
from crystallite.experiments import experiment as experiments
from crystallite.runs.folder import METRICS, read_summary
from crystallite.tracking import set_trackers
from crystallite.training import train as training
from crystallite.training.verification import verify

TWO = ["bulk_modulus", "shear_modulus"]
FIGURES = {"unit", "test_mae", "baseline_mae", "test_rmse", "test_r2", "validation_mae"}


@pytest.fixture
def old(tmp_path):
    with zipfile.ZipFile(Path(__file__).parents[1] / "data" / "runs_0_1_0.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path


def old_json(path: Path) -> dict:
    return json.loads(path.read_text())


# ---- the shape


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("single", {MODULUS: FIGURES}),
        ("two_targets", dict.fromkeys(TWO, FIGURES)),
        ("classes", {"stiff": {"unit", "test_auc", "test_accuracy", "baseline_accuracy", "validation_auc"}}),
    ],
)
def test_a_summary_has_its_figures_under_their_targets(name, figures, old):
    before, now = old_json(old / name / "summary.json"), read_summary(old / name)
    assert {target: set(found) for target, found in now["targets"].items()} == figures
    for target, found in now["targets"].items():
        for figure, value in found.items():
            written = before[figure] if figure in before else before["targets"][target][figure]
            index = before["target"].index(target)
            expected = written[index if figure == "unit" else target] if name == "two_targets" and isinstance(
                written, dict | list) else written[0] if figure == "unit" else written  # fmt: skip
            assert value == expected
    kept = {"task", "validation_error", "best_epoch", "epochs", "training_seconds"}
    kept |= {"n_train", "n_validation", "n_test"}
    assert {key: value for key, value in now.items() if key != "targets"} == {
        key: before[key] for key in kept
    }
    assert upgraded(now) == now


def test_an_epoch_has_its_errors_under_their_targets(old):
    line = old_json_lines(old / "single")[0]
    now = upgraded(line, [MODULUS])
    error = line.pop("validation_mae")
    assert now == {**line, "targets": {MODULUS: {"validation_mae": error}}}
    line = old_json_lines(old / "two_targets")[0]
    now = upgraded(line, TWO)
    errors = line.pop("validation_mae")
    assert now == {**line, "targets": {name: {"validation_mae": errors[name]} for name in TWO}}
    assert upgraded(now, TWO) == now


def old_json_lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def test_a_summary_of_several_runs_has_its_figures_under_its_target(old):
    before, now = old_json(old / "ensemble" / "summary.json"), read_summary(old / "ensemble")
    of_target = now["targets"]["bulk_modulus"]
    assert (of_target["unit"], of_target["coverage_68"]) == ("GPa", before["coverage_68"])
    single = now["single_model"]
    assert single["targets"]["bulk_modulus"]["test_mae"] == before["single_model"]["test_mae"]
    assert set(single) == {"targets", "n_runs", "validation_error", "validation_error_confidence"}


# ---- what reads the folders


def test_they_predict_as_they_did(old):
    for name in ("single", "two_targets", "classes", "ensemble"):
        header, rows = table(old / name / "test_predictions.csv")
        data, predictor = Dataset.read("elastic"), load_model(old / name)
        chosen = data.select([data.ids.index(row[0]) for row in rows])
        columns = predictor.predict_packed(predictor.graphs(chosen))
        for column, predicted in zip(predictor.columns, columns.T, strict=True):
            written = f"{column}_predicted" if f"{column}_predicted" in header else column
            expected = [float(row[header.index(written)]) for row in rows]
            np.testing.assert_allclose(predicted, expected, rtol=2e-5)


def test_a_finished_run_is_resumed_and_verified(old, capsys):
    before = old_json(old / "single" / "summary.json")
    run = training.resume(old / "single", progress=False)
    assert run.summary == summary(old / "single")
    assert run.summary["targets"][MODULUS]["test_mae"] == pytest.approx(before["test_mae"], rel=1e-5)
    assert [set(entry["targets"]) for entry in metrics(old / "single")] == [{MODULUS}] * 2
    said = Said(capsys, "train", "--resume", old / "single")
    assert f"  test MAE            {before['test_mae']:.4f} log10(GPa)\n" in said.out
    verdict = verify(old / "single", progress=False)
    assert verdict.largest < float("inf")  # the same weights by name and shape


@pytest.mark.parametrize("tracker", ["tensorboard"])
def test_a_run_stopped_after_an_epoch_resumes(tracker, old):
    """Its first epoch is shown under the names of the second."""
    fold = old / "folds_unfinished" / "fold-2"
    first = old_json_lines(fold)[0]
    set_trackers(fold, (tracker,))
    run = training.resume(fold, data=moduli(), progress=False)
    assert set(run.summary["targets"]) == {MODULUS}
    assert metrics(fold)[0] == upgraded(first, [MODULUS])
    shown = READERS[tracker](fold).scalars[f"validation_mae/{MODULUS}"]
    assert [step for step, _ in shown] == [1, 2]
    assert shown[0][1] == pytest.approx(first["validation_mae"])


@pytest.mark.parametrize(
    ("name", "names", "n_runs"),
    [("folds_unfinished", [MODULUS], 3), ("members_unfinished", TWO, 2), ("sizes_unfinished", [MODULUS], 2)],
)
def test_a_group_that_is_half_done_is_finished(name, names, n_runs, old, capsys):
    dataset = with_gaps(moduli(), TWO)[0] if names == TWO else moduli()
    done = old_json(next(old.glob(f"{name}/*/summary.json")))
    found = experiments.resume_group(old / name, data=dataset, progress=False)
    assert (list(found["targets"]), len(runs_of(old / name))) == (names, n_runs)
    if name == "sizes_unfinished":
        assert found["targets"][MODULUS]["test_mae"][0] == done["test_mae"]
        return
    spread = found["single_model"] if name == "members_unfinished" else found
    for target in names:
        errors = [read_summary(run)["targets"][target]["test_mae"] for run in runs_of(old / name)]
        assert done.get("targets", {}).get(target, done)["test_mae"] in errors
        assert spread["targets"][target]["test_mae"] == pytest.approx(np.mean(errors))


def test_the_members_of_a_finished_ensemble_are_left_alone(old):
    written = {path: path.read_bytes() for path in (old / "ensemble").glob("member-*/*")}
    before = old_json(old / "ensemble" / "summary.json")
    found = experiments.resume_group(old / "ensemble", data=moduli(), progress=False)
    assert found["targets"]["bulk_modulus"]["test_mae"] == pytest.approx(before["test_mae"], rel=1e-5)
    assert {path: path.read_bytes() for path in written} == written
