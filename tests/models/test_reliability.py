"""What a model says of its reliability: intervals, distances to the training data, nearest crystals."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from grouped_runs import TINY, Said, train_group

import crystallite
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.graphs.packed import build_graphs
from crystallite.models import held_out, reference
from crystallite.models.bundle import Bundle, read_bundle, write_bundle
from crystallite.models.checkpoint import read_model, save_model
from crystallite.models.loading import load_bundle, load_model
from crystallite.models.nearest import nearest
from crystallite.models.reference import Reference
from crystallite.models.reliability import Reliability

pytestmark = pytest.mark.filterwarnings("ignore:.* is known for .* validation crystals")
MODULUS = "bulk_modulus"
TARGETS = [f"{MODULUS}:log10", "poisson_ratio"]


@pytest.fixture(scope="module")
def data(elastic: Dataset) -> Dataset:
    return elastic.select(range(200))


@pytest.fixture(scope="module")
def run(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    crystallite.train(data, TARGETS, **{**TINY, "epochs": 5}, split="60/20/20", out=folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def ensemble(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "ensemble"
    train_group(data, {"members": 2}, folder, TARGETS, **{**TINY, "epochs": 5}, split="60/20/20")
    return folder


def split_of(folder: Path) -> dict[str, list[str]]:
    with (folder / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row["material_id"] for row in rows if row["split"] == name] for name in ("train", "test")}


# ---- distances


def test_the_nearest_are_those_of_all_distances() -> None:
    rng = np.random.default_rng(0)
    queries, points = (
        rng.normal(size=(7, 5)).astype(np.float32),
        rng.normal(size=(2500, 5)).astype(np.float32),
    )
    distances = np.linalg.norm(queries[:, None] - points, axis=2)
    rows, found = nearest(queries, np.ascontiguousarray(points.T), 4)
    np.testing.assert_array_equal(rows, np.argsort(distances, axis=1)[:, :4])
    np.testing.assert_allclose(found, np.sort(distances, axis=1)[:, :4], rtol=1e-5)  # float32


def test_the_nearest_of_few_and_of_none() -> None:
    points = np.zeros((3, 2), np.float32)
    rows, found = nearest(np.zeros((0, 3), np.float32), points, 2)
    assert rows.shape == found.shape == (0, 2)
    rows, found = nearest(np.ones((1, 3), np.float32), points, 2)
    assert rows.tolist() == [[0, 1]]  # of points at one distance the first


def test_bytes_move_no_crystal_far() -> None:
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(500, 40)).astype(np.float32)
    ids = [str(row) for row in range(500)]
    made = Reference.of(embedding, np.zeros((500, 1)), ids, np.array([1, 8]))
    rows, distances = made.neighbors(embedding, 2)
    assert rows[:, 0].tolist() == list(range(500))
    # Half a step of 256 in each of 24 directions, of a range of some 7 deviations: 0.08 at most.
    assert distances[:, 0].max() < 0.08 < distances[:, 1].min()


def test_of_many_crystals_some_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "MOST_CRYSTALS", 50)
    embedding = np.random.default_rng(0).normal(size=(80, 8)).astype(np.float32)
    values = np.arange(80.0)[:, None]
    made = Reference.of(embedding, values, [str(k) for k in range(80)], np.array([1]))
    assert len(made.ids) == len(made.codes) == 50
    assert [float(name) for name in made.ids] == made.values[:, 0].tolist()


def test_of_very_many_some_are_embedded_and_all_elements_are_known(
    run: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out, "MOST_EMBEDDED", 9)
    graphs = build_graphs(data.arrays, crystallite.GraphConfig())
    model, training = read_model(run / "best.safetensors"), np.arange(20, 150)
    values = np.column_stack([data.values(MODULUS), data.values("poisson_ratio")])
    found = held_out.measured_reliability([model], graphs, values, data.ids, training, np.arange(20))
    assert found is not None
    places = [data.ids.index(name) for name in found.reference.ids]
    assert len(set(places)) == 9
    assert set(places) <= set(training.tolist())
    elements = np.unique(np.concatenate([data[row].numbers for row in training]))
    np.testing.assert_array_equal(found.reference.elements, elements)


def test_equal_crystals_are_no_distance_apart() -> None:
    made = Reference.of(np.ones((4, 8), np.float32), np.zeros((4, 1)), list("abcd"), np.array([1]))
    assert made.distances(np.ones((2, 8), np.float32)).tolist() == [0, 0]


# ---- of a run


def test_training_crystals_are_their_own_neighbours(run: Path, data: Dataset) -> None:
    chosen = data.select([data.ids.index(name) for name in split_of(run)["train"][:20]])
    frame = crystallite.predict(run, chosen, neighbours=1)
    assert frame["neighbour_1"].tolist() == chosen.ids
    for name in (MODULUS, "poisson_ratio"):
        np.testing.assert_allclose(frame[f"neighbour_1_{name}"], chosen.values(name), rtol=1e-6)  # float32
    assert (frame["neighbour_1_distance"] < 0.2).all()


def test_novelty_is_a_rank_among_held_out_crystals(run: Path) -> None:
    reliability = load_model(run).reliability
    assert reliability is not None
    assert len(reliability.distances) == 40
    novelty = reliability.novelty(np.sort(reliability.distances))
    np.testing.assert_allclose(novelty, np.arange(40) * 2.5)
    assert reliability.novelty(np.array([0.0, 1e9])).tolist() == [0, 100]


def test_elements_that_were_never_seen_are_named(run: Path, data: Dataset) -> None:
    by_id = {name: data.crystal(k) for k, name in enumerate(data.ids)}
    crystal = by_id[split_of(run)["train"][0]]
    strange = replace(crystal, numbers=np.full(len(crystal.numbers), 100))
    frame = crystallite.predict(run, [crystal, strange])
    assert frame["unseen_elements"].tolist() == ["", "Fm"]


def test_intervals_hold_the_share_of_the_held_out_crystals(run: Path, data: Dataset) -> None:
    model = read_model(run / "best.safetensors")
    with (run / "split.csv").open(newline="") as file:
        held_out = [row["material_id"] for row in csv.DictReader(file) if row["split"] == "validation"]
    chosen = data.select([data.ids.index(name) for name in held_out])
    frame = crystallite.predict(run, chosen, interval=80)
    for name in model.targets.names:
        truth = chosen.values(name)
        # one of them lies on the edge of its interval, to the rounding of errors kept in single precision
        room = 1e-6 * (frame[f"{name}_upper"] - frame[f"{name}_lower"])
        inside = (truth >= frame[f"{name}_lower"] - room) & (truth <= frame[f"{name}_upper"] + room)
        assert inside.sum() == 33  # ceil(41 x 0.8), on the crystals that the intervals are made of
        assert (frame[f"{name}_lower"] <= frame[name]).all()
        assert (frame[name] <= frame[f"{name}_upper"]).all()
    assert (frame[f"{MODULUS}_lower"] > 0).all()  # of a logarithm


def test_a_wider_interval_contains_a_narrower_one(ensemble: Path, data: Dataset) -> None:
    narrow, wide = (crystallite.predict(ensemble, data, interval=level) for level in (50, 90))
    for name in (MODULUS, "poisson_ratio"):
        assert (wide[f"{name}_lower"] < narrow[f"{name}_lower"]).all()
        assert (wide[f"{name}_upper"] > narrow[f"{name}_upper"]).all()


def test_too_high_a_level_is_unknown(run: Path, data: Dataset, tmp_path: Path) -> None:
    frame = crystallite.predict(run, data.select(range(3)), interval=99)
    assert frame[f"{MODULUS}_lower"].isna().all()
    data.select(range(3)).write(tmp_path / "d.parquet")
    said = crystallite.predict(run, tmp_path / "d.parquet", interval=99)
    assert len(said) == 3


# ---- files


@pytest.mark.parametrize("kind", ["run", "ensemble"])
def test_one_file_says_the_same(kind: str, request, data: Dataset, tmp_path: Path) -> None:
    path = request.getfixturevalue(kind)
    write_bundle(tmp_path / "one.safetensors", load_bundle(path))
    before, after = (
        crystallite.predict(model, data, interval=90, neighbours=2)
        for model in (path, tmp_path / "one.safetensors")
    )
    assert after.equals(before)


def test_half_precision_costs_less_than_the_error(ensemble: Path, data: Dataset, tmp_path: Path) -> None:
    bundle = load_bundle(ensemble)
    for name, half in (("full", False), ("half", True)):
        write_bundle(tmp_path / f"{name}.safetensors", bundle, half=half)
    full, half = (crystallite.predict(tmp_path / f"{name}.safetensors", data) for name in ("full", "half"))
    for name in (MODULUS, "poisson_ratio"):
        assert np.abs(half[name] / full[name] - 1).max() < 5e-3  # weights are rounded by 5e-4
        assert not half[name].equals(full[name])


def test_a_property_of_several_alone_is_the_same(ensemble: Path, data: Dataset, tmp_path: Path) -> None:
    bundle = load_bundle(ensemble)
    of_both = crystallite.predict(ensemble, data, interval=90, neighbours=1)
    for k, name in enumerate(bundle.members[0].targets.names):
        write_bundle(tmp_path / "alone.safetensors", bundle.of_targets([k]))
        alone = crystallite.predict(tmp_path / "alone.safetensors", data, interval=90, neighbours=1)
        assert name in alone.columns
        for column in alone.columns:
            if column in ("unseen_elements", "neighbour_1"):
                assert alone[column].equals(of_both[column])
            else:  # float32 products of another width add up in the same order
                np.testing.assert_allclose(alone[column], of_both[column], rtol=1e-6)


def test_an_ensemble_in_memory_is_that_of_its_folder(data: Dataset, tmp_path: Path) -> None:
    tiny = {**TINY, "split": "60/20/20", "progress": False}
    trained = crystallite.train_ensemble(data, MODULUS, 2, out=tmp_path / "run", **tiny)
    in_memory, of_folder = (
        crystallite.predict(model, data, interval=90) for model in (trained, tmp_path / "run")
    )
    assert in_memory.equals(of_folder)


def test_the_network_in_pytorch_has_the_same_embedding(run: Path, data: Dataset) -> None:
    from crystallite.graphs.packed import gather_batch
    from crystallite.models.torch_networks import evaluated
    from crystallite.network.evaluation import EvaluationNetwork

    model = read_model(run / "best.safetensors")
    batch = gather_batch(load_model(run).graphs(data), np.arange(len(data)))
    theirs = evaluated(model.network)(batch)
    ours = EvaluationNetwork(model.config, model.weights).outputs_and_embedding(batch)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)  # float32 sums of another order


def test_a_target_may_not_have_the_name_of_another_column(data: Dataset, tmp_path: Path) -> None:
    named = data.with_property("novelty", data.values(MODULUS))
    run = crystallite.train(named, "novelty", **TINY, split="60/20/20", out=tmp_path / "run", progress=False)
    with pytest.raises(CrystalliteError, match="two columns would have the name novelty"):
        crystallite.predict(run, data)


def test_training_data_can_be_left_out(run: Path, data: Dataset, tmp_path: Path, capsys) -> None:
    said = Said(capsys, "models", "export", run, tmp_path / "shared", "--without-training-data")
    assert said.status == 0
    shared = tmp_path / "shared" / "model.safetensors"
    ids = split_of(run)["train"]
    assert ids[0].encode() not in shared.read_bytes()
    before, after = (crystallite.predict(model, data, interval=90, neighbours=1) for model in (run, shared))
    assert set(after["neighbour_1"]) == {""}
    assert after[f"neighbour_1_{MODULUS}"].isna().all()
    kept = [name for name in before.columns if not name.startswith("neighbour") or name.endswith("distance")]
    assert after[kept].equals(before[kept])


def test_a_number_that_never_varies_makes_nothing_far() -> None:
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(300, 30)).astype(np.float32)
    embedding[:, 0] = 0.7 + 1e-7 * rng.normal(size=300)
    made = Reference.of(embedding, np.zeros((300, 1)), [str(k) for k in range(300)], np.array([1]))
    new = embedding[:1].copy()
    new[0, 0] += 0.001
    assert made.distances(new) < 2 * made.distances(embedding).max() + 1


def damaged(reliability: Reliability) -> dict[str, dict]:
    arrays = reliability.to_arrays()
    return {
        "no distances": {k: v for k, v in arrays.items() if k != "distances"},
        "no reference": {k: v for k, v in arrays.items() if not k.startswith("reference.")},
        "errors of others": {**arrays, "errors": arrays["errors"][1:]},
        "a target less": {**arrays, "reference.values": arrays["reference.values"][:, :1]},
        "ids that are none": {**arrays, "reference.ids": np.arange(20, dtype=np.uint8)},
        "infinite": {**arrays, "distances": np.full_like(arrays["distances"], np.inf)},
        "codes": {**arrays, "reference.codes": arrays["reference.codes"].astype(np.float32)},
        "logistic": {**arrays, "logistic": np.array([np.nan, 0])},
        "none held out": {
            **arrays,
            **{name: arrays[name][:0] for name in ("errors", "distances", "spreads")},
        },
    }


@pytest.mark.parametrize("kind", list(range(9)))
def test_damage_is_told(kind: int, run: Path) -> None:
    reliability = load_model(run).reliability
    assert reliability is not None
    arrays = list(damaged(reliability).values())[kind]
    with pytest.raises(CrystalliteError, match=r"its (reliability|training data)"):
        Reliability.from_arrays(arrays, 2)


def test_files_without_reliability_are_read_and_say_so(run: Path, data: Dataset, tmp_path: Path) -> None:
    save_model(tmp_path / "old.safetensors", replace(read_model(run / "best.safetensors"), reliability=None))
    frame = crystallite.predict(tmp_path / "old.safetensors", data)
    assert list(frame.columns) == [MODULUS, "poisson_ratio"]
    for options in ({"interval": 90}, {"neighbours": 1}):
        with pytest.raises(CrystalliteError, match="does not know its errors"):
            crystallite.predict(tmp_path / "old.safetensors", data, **options)


def test_members_that_are_missing_are_told(ensemble: Path, tmp_path: Path) -> None:
    bundle = load_bundle(ensemble)
    path = tmp_path / "one.safetensors"
    write_bundle(path, Bundle(bundle.members, bundle.calibrations[:1]))
    with pytest.raises(CrystalliteError, match="do not fit together"):
        read_bundle(path)


# ---- the command


def test_the_command_adds_what_is_asked_for(run: Path, data: Dataset, tmp_path: Path, capsys) -> None:
    data.select(range(5)).write(tmp_path / "d.parquet")
    words = ["--interval", 90, "--neighbours", 2, "-o", tmp_path / "out.csv"]
    said = Said(capsys, "predict", run, tmp_path / "d.parquet", *words)
    assert said.status == 0, said.err
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    frame = crystallite.predict(run, data.select(range(5)), interval=90, neighbours=2)
    assert list(rows[0]) == ["material_id", *frame.columns]
    assert [row["neighbour_2"] for row in rows] == frame["neighbour_2"].tolist()
    np.testing.assert_allclose([float(row["novelty"]) for row in rows], frame["novelty"])


def test_parquet_tables_have_units(run: Path, data: Dataset, tmp_path: Path, capsys) -> None:
    import pyarrow.parquet as pq

    data.select(range(5)).write(tmp_path / "d.parquet")
    Said(capsys, "predict", run, tmp_path / "d.parquet", "--interval", 90, "-o", tmp_path / "out.parquet")
    schema = pq.read_schema(tmp_path / "out.parquet")
    for name in (MODULUS, f"{MODULUS}_lower", f"{MODULUS}_upper"):
        assert schema.field(name).metadata == {b"unit": b"GPa"}
    assert schema.field("novelty").metadata == {b"unit": b"%"}
    assert schema.field("unseen_elements").type == "string"


@pytest.mark.parametrize("level", ["0", "100", "-5", "nan", "x"])
def test_levels_that_make_no_sense(level: str, run: Path, capsys) -> None:
    said = Said(capsys, "predict", run, "elastic", "--interval", level)
    assert said.status in (1, 2)
    assert "interval" in said.err
    assert said.out == ""


def test_at_a_terminal_values_stand_below_each_other(
    run: Path, data: Dataset, tmp_path: Path, monkeypatch
) -> None:
    from io import StringIO

    from crystallite.models.file_predictions import predict_files
    from crystallite.models.tables import Extras

    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    renamed = Dataset.from_crystals([data.crystal(0)], ["evil\x1b[2J"])
    renamed.write(tmp_path / "d.parquet")
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    predict_files([load_model(run)], [str(tmp_path / "d.parquet")], None, Extras(interval=99), progress=False)
    lines = screen.getvalue().splitlines()
    assert lines[0] == "evil?[2J"
    shown = dict(line.split(maxsplit=1) for line in lines[1:] if len(line.split()) > 1)
    assert float(shown[MODULUS].split()[0]) == pytest.approx(
        load_model(run).predict(data.crystal(0))[0, 0], rel=1e-3
    )
    assert shown[MODULUS].endswith("GPa")
    assert f"{MODULUS}_lower" not in shown  # too few held-out crystals for 99 %
    assert "nan" not in screen.getvalue()
