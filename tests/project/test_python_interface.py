"""What the package offers at its top level: every experiment, any model, predictions as arrays and frames."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_files import GOLDEN
from grouped_runs import MODULUS, TINY, moduli

import crystallite
from crystallite.sources.formats import export_dataset

QUIET = {"progress": False, **TINY}


@pytest.fixture(scope="module")
def data():
    return moduli(60)


@pytest.fixture(scope="module")
def ensemble(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensemble") / "run"
    return crystallite.train_ensemble(data, MODULUS, 2, split="40/10/10", out=folder, **QUIET)


def test_every_name_is_there():
    for name in crystallite.__all__:
        assert getattr(crystallite, name) is not None
    assert set(crystallite.__all__) <= set(dir(crystallite))


def test_an_ensemble_predicts_and_shows_itself(ensemble, data):
    mean, deviation = ensemble.predict_with_uncertainty(data)
    np.testing.assert_array_equal(mean, crystallite.load_model(ensemble.folder).predict(data))
    assert (deviation > 0).all()
    html = ensemble._repr_html_()
    assert f"<td>{MODULUS}</td><td>test MAE</td>" in html
    assert "data:image/png;base64," in html


def test_cross_validation_and_learning_curve(data, tmp_path):
    folds = crystallite.cross_validate(data, MODULUS, 3, out=tmp_path / "folds", **QUIET)
    assert folds.summary["n_test"] == len(data)
    assert "test MAE, all at once" in folds._repr_html_()
    curve = crystallite.learning_curve(data, MODULUS, [10, 20], out=tmp_path / "curve", **QUIET)
    assert curve.summary["sizes"] == [10, 20]
    again = crystallite.resume(curve.folder, data=data, progress=False)
    assert (again.folder, again.summary) == (curve.folder, curve.summary)
    with pytest.raises(crystallite.CrystalliteError, match="at least 3 folds"):
        crystallite.cross_validate(data, MODULUS, 2, out=tmp_path / "two", **QUIET)
    assert not (tmp_path / "two").exists()


def test_one_run_is_resumed_verified_and_shown(tmp_path):
    data = moduli(40)
    data.write(tmp_path / "data.parquet")
    run = crystallite.train(tmp_path / "data.parquet", MODULUS, out=tmp_path / "run", **QUIET)
    again = crystallite.resume(run.folder, progress=False)
    np.testing.assert_array_equal(again.predict(data), run.predict(data))
    assert crystallite.verify(run.folder, progress=False).same
    assert "parity" in run._repr_html_()
    with pytest.raises(crystallite.CrystalliteError, match="parallel is for several"):
        crystallite.resume(run.folder, parallel=2)


def test_predictions_as_a_frame(ensemble, data, tmp_path):
    frame = crystallite.predict(ensemble, data)
    columns = [MODULUS, f"{MODULUS}_std", "novelty", "unseen_elements"]
    assert (list(frame.columns), frame.index.name) == (columns, "material_id")
    assert list(frame.index) == data.ids
    assert frame.attrs["units"] == {MODULUS: "log10(GPa)", f"{MODULUS}_std": "log10(GPa)", "novelty": "%"}
    np.testing.assert_array_equal(frame[MODULUS], ensemble.predict(data))
    crystals = crystallite.predict(ensemble.folder, list(data)[:3])
    assert list(crystals.index) == ["0", "1", "2"]
    # Another batch: float32 sums in another order, 1e-6 of values up to some hundred GPa.
    np.testing.assert_allclose(crystals[MODULUS], frame[MODULUS][:3], rtol=1e-5)

    export_dataset(data.select(range(3)), tmp_path / "published", MODULUS)
    cifs = sorted(map(str, (tmp_path / "published").glob("*.cif")))
    from_files = crystallite.predict(ensemble, cifs)
    np.testing.assert_allclose(from_files.loc[data.ids[:3], MODULUS], frame[MODULUS][:3], rtol=1e-5)
    assert list(crystallite.predict(ensemble, tmp_path / "published").index) == sorted(data.ids[:3])

    Path(cifs[0]).write_text("no CIF")
    with pytest.raises(crystallite.CrystalError, match=Path(cifs[0]).name):
        crystallite.predict(ensemble, cifs)
    with pytest.warns(UserWarning, match="1 inputs cannot be used"):
        assert len(crystallite.predict(ensemble, cifs, skip_bad=True)) == 2
    with pytest.raises(crystallite.CrystalliteError, match="no such model"):
        crystallite.predict(tmp_path / "nothing", data)


def test_a_frame_holds_no_prediction_that_is_no_number(data):
    model = crystallite.load_model(GOLDEN / "formation-energy-per-atom.pth.tar")
    with torch.no_grad():
        model.model.network.output.bias.fill_(math.inf)
    with pytest.raises(crystallite.CrystalError, match=r"crystal 0: .* not a finite number"):
        crystallite.predict(model, data)
