"""Learning curves: growing training sets, one test set, a table, a figure and a power law."""

from __future__ import annotations

import numpy as np
import pytest
from grouped_runs import MODULUS, TINY_OPTIONS, Said, moduli, part_of_rows, runs_of, start, train_group
from training_runs import of_target, one_thread, strict_json, summary, table  # noqa: F401

from crystallite.errors import CrystalliteError
from crystallite.experiments.learning_curve import fit_power_law

SIZES = [8, 20, 48]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("curves") / "run"
    train_group(moduli(), {"sizes": SIZES}, path)
    return path


def parts(folder):
    return [part_of_rows(folder / f"size-{size}") for size in SIZES]


def test_sizes_are_nested_and_share_validation_and_test(folder):
    small, middle, large = parts(folder)
    for found, size in zip((small, middle, large), SIZES, strict=True):
        assert (found == "train").sum() == size
        for part in ("validation", "test"):
            np.testing.assert_array_equal(found == part, large == part)
    assert not ((small == "train") & (middle != "train")).any()
    assert not ((middle == "train") & (large != "train")).any()


def test_table_figure_and_fit(folder):
    found = summary(folder)
    errors = [of_target(summary(folder / f"size-{size}"))["test_mae"] for size in SIZES]
    assert (found["sizes"], of_target(found)["test_mae"], found["n_test"]) == (SIZES, errors, 6)
    header, rows = table(folder / "learning_curve.csv")
    assert header == ["n_train", "test_mae"]
    assert [int(size) for size, _ in rows] == SIZES
    np.testing.assert_allclose([float(error) for _, error in rows], errors, rtol=1e-6)
    slope, intercept = np.polyfit(np.log(SIZES), np.log(errors), 1)
    assert of_target(found)["exponent"] == pytest.approx(-slope)
    assert of_target(found)["factor"] == pytest.approx(np.exp(intercept))
    assert (folder / "learning_curve.png").stat().st_size > 1000


def test_a_column_of_parts_is_not_read_from_the_top(tmp_path):
    """The first rows of a file may be all of one kind."""
    dataset = moduli().with_property("part", ["train"] * 40 + ["val"] * 10 + ["test"] * 10)
    train_group(dataset, {"sizes": [10, 20]}, tmp_path / "run", split_column="part")
    small, large = (part_of_rows(tmp_path / "run" / f"size-{size}") == "train" for size in (10, 20))
    assert (small.sum(), large.sum(), (small & large).sum()) == (10, 20, 10)
    assert np.flatnonzero(small).max() > 20


def test_without_sizes_they_double_up_to_all(tmp_path):
    folder = start(moduli(), {"sizes": []}, tmp_path / "run")
    assert strict_json((folder / "group.json").read_text()) == {"sizes": [3, 6, 12, 24, 48]}


def test_the_command(tmp_path, capsys):
    moduli().write(tmp_path / "data.parquet")
    words = ["--target", MODULUS, "--size", 20, "--size", 10, "--size", 20, *TINY_OPTIONS]
    said = Said(capsys, "learning-curve", tmp_path / "data.parquet", *words, "--out", tmp_path / "run")
    assert (said.status, said.err) == (0, "")
    found = of_target(summary(tmp_path / "run"))
    assert [run.name for run in runs_of(tmp_path / "run")] == ["size-10", "size-20"]
    assert said.out.splitlines() == [
        f"{MODULUS}: test MAE of 6 crystals",
        f"      10 training crystals  {found['test_mae'][0]:.4f} log10(GPa)",
        f"      20 training crystals  {found['test_mae'][1]:.4f} log10(GPa)",
        f"  fit: {found['factor']:.4g} x N^-{found['exponent']:.3f} log10(GPa)",
        f"  {tmp_path / 'run' / 'learning_curve.png'}",
        f"Everything is in {tmp_path / 'run'}",
    ]
    assert Said(capsys, "train", "--resume", tmp_path / "run").out == said.out


@pytest.mark.parametrize(
    ("sizes", "settings", "message"),
    [
        ([10, 49], {}, "between 2 and the 48 training crystals, not 10, 49"),
        ([1, 20], {}, "between 2 and the 48 training crystals, not 1, 20"),
        ([20], {}, "at least two different sizes"),
        ([20, 20], {}, "at least two different sizes"),
        ([], {"split": "3/20/20 crystals"}, "at least two different sizes"),
        ([10, 20], {"split": "80/20/0"}, "needs a test set"),
        ([10, 20], {"target": [MODULUS, "poisson_ratio"]}, "one regression target"),
        ([10, 20], {"target": "stiff", "task": "classification"}, "one regression target"),
    ],
)
def test_what_cannot_be_trained_leaves_no_folder(sizes, settings, message, tmp_path):
    dataset = moduli()
    dataset = dataset.with_property("stiff", dataset.values("bulk_modulus") > 100)
    with pytest.raises(CrystalliteError, match=message):
        start(dataset, {"sizes": sizes}, tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_a_power_law_is_recovered():
    sizes = np.array([100.0, 1000.0, 10000.0])
    factor, exponent = fit_power_law(sizes, 3 * sizes**-0.4)
    assert (factor, exponent) == (pytest.approx(3), pytest.approx(0.4))
