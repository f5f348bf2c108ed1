"""Deviations of an ensemble: robust, on the learned scale, and flagged where there is little to fit."""

from __future__ import annotations

import numpy as np
import pytest
from grouped_runs import TINY_OPTIONS, Said, moduli, part_of_rows, train_group
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from training_runs import of_target, one_thread, strict_json, summary, table  # noqa: F401

from crystallite import load_model
from crystallite.evaluation.calibration import LEAST_VALUES, Calibration, coverage, fit_calibration

TRUE = (1.7, 0.6)  # scale and floor that errors are drawn with


def drawn(n, seed=0, draw=stats.norm):
    """Errors and spreads of n crystals, the errors drawn with the deviations of TRUE."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.5, 2, n)
    return draw.rvs(size=n, random_state=rng) * Calibration(*TRUE).deviation(spread), spread


# ---- known truth


def test_scale_and_floor_are_recovered():
    found = np.array([fit_calibration(*drawn(4000, seed))[:2] for seed in range(8)])
    # A standard error of 8 fits of 4,000: 0.02 of the scale, 0.04 of the floor, which shares its part.
    assert found[:, 0].mean() == pytest.approx(TRUE[0], abs=0.08)
    assert found[:, 1].mean() == pytest.approx(TRUE[1], abs=0.15)


@pytest.mark.parametrize("draw", [stats.norm, stats.t(3), stats.laplace])
def test_two_thirds_of_new_errors_lie_within_one_deviation(draw):
    """Whatever their tails: to three standard errors of 1,000 fitted and 4,000 new errors."""
    for seed in range(5):
        calibration = fit_calibration(*drawn(1000, seed, draw))
        error, spread = drawn(4000, 100 + seed, draw)
        (observed,) = coverage(error, calibration.deviation(spread), np.array([0.6827]))
        assert observed == pytest.approx(0.6827, abs=3 * np.sqrt(0.6827 * 0.3173 * (1 / 1000 + 1 / 4000)))


@pytest.mark.parametrize("n_values", [1, 3, 10, 40])
def test_of_few_values_the_fraction_is_right_or_larger_on_average(n_values):
    """0.6827 of the ranks 1 to n + 1; of one or two values the largest is as far as it goes."""
    observed = []
    for seed in range(400):
        calibration = fit_calibration(*drawn(n_values, seed))
        error, spread = drawn(50, 1000 + seed)
        observed.append(coverage(error, calibration.deviation(spread), np.array([0.6827]))[0])
    expected = min(0.6827, n_values / (n_values + 1))
    assert np.mean(observed) == pytest.approx(expected, abs=0.05)


def test_constant_errors_and_errors_that_follow_the_spread_are_told_apart():
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.2, 5, 4000)
    scale, floor, *_ = fit_calibration(3 * rng.normal(size=4000), spread)
    assert (scale, floor) == (pytest.approx(0, abs=0.3), pytest.approx(3, rel=0.1))
    scale, floor, *_ = fit_calibration(3 * spread * rng.normal(size=4000), spread)
    assert (scale, floor) == (pytest.approx(3, rel=0.1), pytest.approx(0, abs=0.8))


# ---- outliers


@pytest.mark.parametrize("seed", range(30))
def test_one_outlier_moves_the_scale_by_less_than_a_tenth(seed):
    """A value 100 deviations off among 240, at the crystal of smallest, middle or largest spread."""
    error, spread = drawn(240, seed)
    before = fit_calibration(error, spread)
    for row in np.argsort(spread)[[0, 120, 239]]:
        wrong = error.copy()
        wrong[row] = 100 * Calibration(*TRUE).deviation(spread[row])
        after = fit_calibration(wrong, spread)
        assert after.scale == pytest.approx(before.scale, rel=0.1)
        np.testing.assert_allclose(after.deviation(spread), before.deviation(spread), rtol=0.1)


def test_one_crystal_on_which_the_members_disagree_moves_no_other():
    error, spread = drawn(240)
    before = fit_calibration(error, spread)
    apart = spread.copy()
    apart[0] = 1e6
    np.testing.assert_allclose(
        fit_calibration(error, apart).deviation(spread[1:]), before.deviation(spread[1:]), rtol=0.1
    )


# ---- invariances


@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.integers(2, 60))
def test_units_and_order_do_not_matter(seed, of_error, of_spread, n_values):
    error, spread = drawn(n_values, seed)
    scale, floor, *_ = fit_calibration(error, spread)
    order = np.random.default_rng(seed).permutation(n_values)
    assert fit_calibration(error[order], spread[order])[:2] == pytest.approx((scale, floor))
    assert fit_calibration(-error, spread)[:2] == (scale, floor)
    scaled = fit_calibration(of_error * error, of_spread * spread)
    assert scaled[:2] == pytest.approx((scale * of_error / of_spread, floor * of_error))


def test_unknown_errors_do_not_count():
    error, spread = drawn(50)
    hidden = np.append(error, [np.nan, np.nan]), np.append(spread, [100.0, 0.0])
    assert fit_calibration(*hidden) == fit_calibration(error, spread)
    np.testing.assert_array_equal(coverage(*hidden), coverage(error, spread))


def test_members_that_agree_have_the_size_of_their_error():
    error = np.append(np.full(50, 3.0), np.full(50, -5.0))
    assert fit_calibration(error, np.zeros(100))[:2] == (0, 5)
    assert fit_calibration(np.zeros(2), np.ones(2))[:2] == (1, 0)


# ---- logarithms


def test_a_logarithm_is_calibrated_as_one(tmp_path):
    """An ensemble of NAME:log10 is that of the logarithm, its deviation that of 10^x: 10^x ln 10 dx."""
    data = moduli()
    data = data.with_property("logarithm", np.log10(data.values("bulk_modulus")))
    settings = {"split": "40/30/30"}
    logarithm = train_group(data, {"members": 2}, tmp_path / "a", "logarithm", **settings)
    modulus = train_group(data, {"members": 2}, tmp_path / "b", "bulk_modulus:log10", **settings)
    plain, scaled = (load_model(tmp_path / name) for name in "ab")
    members = np.log10([load_model(tmp_path / "b" / f"member-{k}").predict(data) for k in (1, 2)])
    mean, deviation = scaled.predict_with_uncertainty(data)
    (calibration,) = scaled.calibrations
    assert (calibration.transform, plain.calibrations[0].transform) == ("log10", "standard")
    # Both average the members, one their moduli, the other their logarithms: equal to second order.
    assert calibration.scale == pytest.approx(plain.calibrations[0].scale, rel=0.1)
    assert calibration.floor == pytest.approx(plain.calibrations[0].floor, rel=0.1)
    spread = members.std(axis=0, ddof=1)
    np.testing.assert_allclose(deviation, mean * np.log(10) * calibration.deviation(spread), rtol=1e-9)
    rows = part_of_rows(tmp_path / "b" / "member-1") == "validation"
    error = data.values("logarithm") - np.log10(mean)
    assert fit_calibration(error[rows], spread[rows])[:2] == pytest.approx(calibration[:2], rel=1e-6)
    coverages = [of_target(found)["coverage_95"] for found in (logarithm, modulus)]
    assert coverages[0] == pytest.approx(coverages[1], abs=0.12)


# ---- few values, and none


def test_one_validation_crystal_is_said_and_flagged(tmp_path, capsys):
    moduli(20).write(tmp_path / "data.parquet")
    words = ["--target", "bulk_modulus", "--members", 2, "--split", "18/1/1", *TINY_OPTIONS]
    said = Said(capsys, "train", tmp_path / "data.parquet", *words, "--out", tmp_path / "run")
    assert said.status == 0, said.err
    assert "Notice: bulk_modulus is known for 1 validation crystals" in said.err
    assert "bulk_modulus_std is rough" in said.err
    assert "  deviations are rough: 1 validation values are too few\n" in said.out
    found = of_target(summary(tmp_path / "run"))
    assert (found["calibrated"], found["n_calibration"]) == (False, 1)
    written = strict_json((tmp_path / "run" / "ensemble.json").read_text())["calibration"]["bulk_modulus"]
    assert (written["calibrated"], written["n_values"]) == (False, 1)


def test_no_known_validation_value_leaves_the_deviation_unknown(tmp_path):
    """Of one target; the other, with enough of them, is calibrated."""
    data = moduli(150).with_property("part", (["train"] * 4 + ["val"] * 5 + ["test"]) * 15)
    validated = np.array(data.labels("part")) == "val"
    data = data.with_property("x", np.where(validated, np.nan, data.values("bulk_modulus")))
    targets = ["x", "shear_modulus"]
    with pytest.warns(
        UserWarning, match=r"x is known for 0 validation .* x_std is unknown \(NaN\)"
    ) as warned:
        found = train_group(data, {"members": 2}, tmp_path / "run", targets, split_column="part")
    assert not [warning for warning in warned if "shear_modulus_std" in str(warning.message)]
    assert (found["targets"]["x"]["calibrated"], found["targets"]["x"]["n_calibration"]) == (False, 0)
    assert found["targets"]["x"]["test_mae"] > 0
    assert found["targets"]["x"]["coverage_68"] is found["targets"]["x"]["mean_deviation"] is None
    known = found["targets"]["shear_modulus"]
    assert known["calibrated"]
    assert known["n_calibration"] >= LEAST_VALUES
    assert known["mean_deviation"] > 0
    mean, deviation = load_model(tmp_path / "run").predict_with_uncertainty(data)
    assert np.isfinite(mean).all()
    assert np.isnan(deviation[:, 0]).all()
    assert np.isfinite(deviation[:, 1]).all()
    header, rows = table(tmp_path / "run" / "test_predictions.csv")
    assert {row[header.index("x_std")] for row in rows} == {""}
