"""The recipe small: support vector machines on descriptors, as a model like the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from grouped_runs import Said
from strategies import in_cell
from training_runs import ENERGY, energies, of_target, strict_json, summary

import crystallite
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.features.descriptors import descriptor_values
from crystallite.features.kernel_machine import LIMIT, kernel_sums
from crystallite.graphs.packed import build_graphs, gather_batch
from crystallite.models.bundle import Bundle, read_bundle, write_bundle
from crystallite.models.checkpoint import read_model, save_model
from crystallite.settings.config import GraphConfig
from crystallite.training.kernel_learner import Data, KernelLearner, chosen
from crystallite.training.preparation import prepare
from crystallite.training.run_settings import run_config


@pytest.fixture(scope="module")
def data():
    return energies(200)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return crystallite.train(
        data, ENERGY, recipe="small", out=tmp_path_factory.mktemp("small") / "run", progress=False
    )


def test_it_learns_more_than_the_mean(run) -> None:
    figures = of_target(summary(run.folder))
    assert figures["test_mae"] < 0.5 * figures["baseline_mae"]
    assert {path.name for path in run.folder.iterdir()} >= {
        "best.safetensors", "config.toml", "metrics.jsonl", "parity.png", "split.csv", "summary.json",
        "test_predictions.csv",
    }  # fmt: skip
    [line] = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert strict_json(line)["epoch"] == 1


def test_it_computes_what_scikit_learn_does(run, data) -> None:
    """The machine is that of libsvm on the same points: float32 in the file, sums in another order."""
    from sklearn.svm import SVR

    model = run.model
    rows = [data.ids.index(name) for name in run_ids(run, "train")]
    graphs = build_graphs(data.arrays, GraphConfig())
    values = descriptor_values(gather_batch(graphs, np.arange(len(data))))
    center, scale = (model.weights[name] for name in ("center", "scale"))
    np.testing.assert_allclose(center, values[rows].mean(axis=0), rtol=1e-12)
    varies = scale != 1
    np.testing.assert_allclose(scale[varies], values[rows].std(axis=0)[varies], rtol=1e-12)
    assert varies.sum() > 90
    points = np.clip((values - center) / scale, -LIMIT, LIMIT)
    truth = model.targets.normalized(data.values(ENERGY)[:, None])[:, 0].astype(np.float64)
    [choice] = model.info["chosen"]
    machine = SVR(C=choice["penalty"], gamma=choice["gamma"], epsilon=choice["tube"])
    machine.fit(points[rows], truth[rows])
    expected = model.targets.from_outputs(machine.predict(points)[:, None])[:, 0]
    np.testing.assert_allclose(run.predict(data), expected, rtol=0, atol=2e-3)  # libsvm stops at 1e-3
    np.testing.assert_allclose(
        kernel_sums(points.astype(np.float32), model.weights)[:, 0],
        sum(
            c * np.exp(-model.weights["gammas"][0] * ((points - p) ** 2).sum(axis=1))
            for c, p in zip(
                model.weights["coefficients"][0], model.weights["points"].astype(float), strict=True
            )
        )
        + model.weights["intercepts"][0],
        atol=1e-5,
    )


def run_ids(run, part: str) -> list[str]:
    lines = (run.folder / "split.csv").read_text(encoding="utf-8").splitlines()
    return [line.split(",")[0] for line in lines if line.endswith(f",{part}")]


def test_predictions_do_not_depend_on_the_crystals_beside(run, data) -> None:
    together = run.predict(data)
    for row in (0, 5, 199):
        assert run.predict(data.crystal(row))[0] == together[row]


def test_it_is_repeated_bit_for_bit(run, data, tmp_path) -> None:
    again = crystallite.train(data, ENERGY, recipe="small", out=tmp_path / "again", progress=False)
    assert again.model.weights.keys() == run.model.weights.keys()
    for name, array in run.model.weights.items():
        np.testing.assert_array_equal(again.model.weights[name], array)
    resumed = crystallite.resume(run.folder, data=data, progress=False)
    np.testing.assert_array_equal(resumed.predict(data), run.predict(data))


def test_intervals_neighbours_and_the_embedding(run, data, tmp_path) -> None:
    frame = crystallite.predict(run.folder, data, interval=80, neighbours=2)
    assert (frame[f"{ENERGY}_lower"] < frame[f"{ENERGY}_upper"]).all()
    trained = frame.loc[run_ids(run, "train")]
    assert (trained["neighbour_1"] == trained.index).mean() > 0.9  # it is its own neighbour, twins apart
    assert run.embed(data).shape == (200, 108)
    assert np.abs(run.embed(data)).max() <= LIMIT
    with pytest.raises(CrystalliteError, match="no vectors of atoms"):
        run.embed(data, atoms=True)
    with pytest.raises(CrystalliteError, match="readout = per-atom"):
        run.site_contributions(data.crystal(0))


def test_several_targets_with_gaps_and_weights(data, tmp_path) -> None:
    random = np.random.default_rng(0)
    gaps = np.where(random.random(200) < 0.5, np.nan, -data.values(ENERGY))
    several = data.with_property("other", gaps, "eV/atom").with_property("weight", random.random(200) + 0.1)
    run = crystallite.train(
        several,
        [ENERGY, "other"],
        recipe="small",
        weight_column="weight",
        out=tmp_path / "run",
        progress=False,
    )
    assert run.predict(several).shape == (200, 2)
    for name in (ENERGY, "other"):
        assert np.corrcoef(run.predict(several).T)[0, 1] < -0.9, name
    second = run.model.of_targets([1])
    save_model(tmp_path / "second.safetensors", second)
    alone = crystallite.load_model(tmp_path / "second.safetensors").predict(several)
    np.testing.assert_array_equal(alone, run.predict(several)[:, 1])


def test_classes(data, tmp_path) -> None:
    stable = (data.values(ENERGY) < np.median(data.values(ENERGY))).astype(float)
    run = crystallite.train(
        data.with_property("stable", stable), "stable", recipe="small", task="classification",
        out=tmp_path / "run", progress=False,
    )  # fmt: skip
    probabilities = run.predict(data)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert ((probabilities > 0.5) == (stable > 0.5)).mean() > 0.8
    assert of_target(summary(run.folder))["test_auc"] > 0.8  # of 20 crystals


def test_one_file_for_several_and_damaged_ones(run, data, tmp_path) -> None:
    model = run.model
    write_bundle(tmp_path / "bundle.safetensors", Bundle([model], reliability=model.reliability))
    bundled = read_bundle(tmp_path / "bundle.safetensors").members[0]
    np.testing.assert_array_equal(bundled.weights["points"], model.weights["points"])
    for name in ("points", "gammas"):
        damaged = read_model(run.folder / "best.safetensors")
        damaged.weights[name] = damaged.weights[name][:-1]
        save_model(tmp_path / "damaged.safetensors", damaged)
        with pytest.raises(CrystalliteError, match="kernel machine"):
            read_model(tmp_path / "damaged.safetensors")


def test_a_machine_for_other_descriptors_is_refused(run, tmp_path) -> None:
    """As one of before there were those of the primitive cell."""
    older = read_model(run.folder / "best.safetensors")
    older.config = replace(older.config, atom_width=105)
    for name in ("points", "center", "scale"):
        older.weights[name] = np.ascontiguousarray(older.weights[name][..., :105])
    older.reliability = None
    save_model(tmp_path / "older.safetensors", older)
    with pytest.raises(CrystalliteError, match=r"for 105 descriptors, and this version .* has 108: train it"):
        read_model(tmp_path / "older.safetensors")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "3"], "has no epochs"),
        (["--set", "atom_width=16"], "has no atom_width"),
        (["--from", "band_gap"], "nothing can be trained further"),
        (["--members", "3"], "would be the same"),
    ],
)
def test_what_makes_no_sense_is_refused(words, message, tmp_path, capsys) -> None:
    said = Said(
        capsys, "train", "dielectric", "--target", "band_gap", "--recipe", "small", *words,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert said.status != 0
    assert message in said.err
    assert not (tmp_path / "run").exists()


def test_a_small_model_cannot_be_fine_tuned(run, data, tmp_path) -> None:
    with pytest.raises(CrystalliteError, match="cannot be trained further"):
        crystallite.train(data, ENERGY, start_from=run.folder, out=tmp_path / "run", progress=False)


def test_very_few_crystals(tmp_path) -> None:
    """Fewer than inner folds need: the first settings are taken."""
    few = energies(12)
    run = crystallite.train(
        few, ENERGY, recipe="small", split="60/20/20", out=tmp_path / "run", progress=False
    )
    assert np.isfinite(run.predict(few)).all()


def test_settings_are_chosen_by_inner_folds() -> None:
    """A steep function of one descriptor among noise needs another width than a smooth one."""
    random = np.random.default_rng(0)
    points = random.normal(size=(400, 2)).astype(np.float32)
    ones = np.ones(400)

    def width(truth: np.ndarray) -> float:
        data = Data(points.astype(float), truth.astype(float), ones, np.arange(400))
        return chosen(data, "regression", np.random.default_rng(0)).gamma

    assert width(points[:, 0]) < width(np.sin(4 * points[:, 0].astype(float)))


def test_copies_of_a_material_are_in_one_inner_fold() -> None:
    """Of noise there is nothing to learn, but by heart: then copies in two folds would tell each other."""
    random = np.random.default_rng(0)
    points = np.repeat(random.normal(size=(60, 3)), 4, axis=0)
    noise = np.repeat(random.normal(size=60), 4)
    by_material = Data(points, noise, np.ones(240), np.repeat(np.arange(60), 4))
    by_heart = by_material._replace(groups=np.arange(240))
    penalties = [
        chosen(data, "regression", np.random.default_rng(0)).penalty for data in (by_material, by_heart)
    ]
    assert penalties[0] < penalties[1]


def test_an_interrupted_run_is_resumed(data, run, tmp_path, monkeypatch) -> None:
    def stop(self, *_):
        raise KeyboardInterrupt

    monkeypatch.setattr(KernelLearner, "validate", stop)
    with pytest.raises(KeyboardInterrupt):
        crystallite.train(data, ENERGY, recipe="small", out=tmp_path / "run", progress=False)
    monkeypatch.undo()
    resumed = crystallite.resume(tmp_path / "run", data=data, progress=False)
    np.testing.assert_array_equal(resumed.predict(data), run.predict(data))


def test_fits_that_are_begun_again_are_the_same(data) -> None:
    trainer = prepare(data, run_config(data, data, ENERGY, recipe="small"))
    trainer.run_epoch()
    first = trainer.predict(trainer.split.test)
    state = trainer.state()
    again = prepare(data, run_config(data, data, ENERGY, recipe="small"))
    again.load_state(state[0], {**state[1], "history": []})  # as a stop between fit and validation leaves it
    again.run_epoch()
    np.testing.assert_array_equal(again.predict(trainer.split.test), first)


def test_rounding_is_no_descriptor(tmp_path) -> None:
    """Pure elements have deviations of 0 and 1e-17: these say nothing of a supercell or a compound."""
    elements = Dataset.read("elastic")
    rows = [k for k in range(len(elements)) if len(set(elements.crystal(k).numbers.tolist())) == 1]
    pure = elements.select(rows)
    assert len(pure) > 40
    run = crystallite.train(
        pure, "log10_bulk_modulus", recipe="small", split="80/10/10 %", out=tmp_path / "run", progress=False
    )
    crystal = next(pure.crystal(k) for k in range(len(pure)) if len(pure.crystal(k)) > 1)
    supercell = in_cell(crystal, np.diag([3, 1, 1]))
    assert np.abs(run.embed([crystal]) - run.embed([supercell])).max() < 1e-2
    assert run.predict(supercell)[0] == pytest.approx(run.predict(crystal)[0], abs=1e-3)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_only_the_ratios_of_weights_count(data, factor, tmp_path) -> None:
    weights = np.random.default_rng(0).random(200) + 0.1
    errors = []
    for name, column in (("a", weights), ("b", factor * weights)):
        run = crystallite.train(
            data.with_property("weight", column), ENERGY, recipe="small", weight_column="weight",
            out=tmp_path / name, progress=False,
        )  # fmt: skip
        errors.append(of_target(summary(run.folder))["test_mae"])
    assert errors[0] == pytest.approx(errors[1], rel=1e-3)


def test_one_class_in_the_training_set(data, tmp_path) -> None:
    labelled = data.with_property("stable", np.ones(200))
    run = crystallite.train(
        labelled, "stable", recipe="small", task="classification", out=tmp_path / "run", progress=False
    )
    assert (run.predict(labelled) > 0.9).all()


def test_settings_of_a_run_train_again(run, data, tmp_path, capsys) -> None:
    data.write(tmp_path / "data.parquet")
    words = ["--config", run.folder / "config.toml", "--out", tmp_path / "again"]
    said = Said(capsys, "train", tmp_path / "data.parquet", *words)
    assert said.status == 0, said.err
    again = crystallite.load_model(tmp_path / "again")
    np.testing.assert_array_equal(again.predict(data), run.predict(data))
