"""A word means the same data everywhere: in training, prediction, `data` commands, resume and verify."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
from grouped_runs import MODULUS, TINY_OPTIONS, Said, moduli
from training_runs import one_thread  # noqa: F401

from crystallite.datasets.builtin import builtin_path
from crystallite.datasets.dataset import iter_batches
from crystallite.errors import CrystalliteError
from crystallite.sources.exporters.published_layout import export_published
from crystallite.sources.resolver import located, read_dataset


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder: ten crystals in a folder named after a built-in set, and in other forms."""
    monkeypatch.chdir(tmp_path)
    ten = moduli(40).select(range(30, 40))
    ten.write(Path("elastic") / "ten.parquet")
    ten.write("ten.parquet")
    export_published(ten, Path("published"), MODULUS)
    shutil.copytree("published", "cifs")
    Path("cifs/id_prop.csv").unlink()
    Path("empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("word", "kind", "path"),
    [
        ("formation", "dataset", builtin_path("formation")),
        ("builtin:elastic", "dataset", builtin_path("elastic")),
        ("./elastic", "dataset", Path("elastic")),
        (Path("elastic"), "dataset", Path("elastic")),
        ("elastic/", "dataset", Path("elastic")),
        ("ten.parquet", "dataset", Path("ten.parquet")),
        ("published", "published", Path("published")),
        ("cifs", "structures", Path("cifs")),
        ("cifs/*.cif", "structures", Path("cifs/*.cif")),
    ],
    ids=str,
)
def test_what_words_stand_for(word, kind, path, here, monkeypatch):
    if word == "elastic/":
        Path("elastic").rename("mine")
        word, path = "mine/", Path("mine")
    source = located(word)
    assert (source.kind, source.path) == (kind, path)
    if source.name.startswith("builtin:"):
        assert located(source.name) == source
    else:
        assert Path(source.name).is_absolute()
        monkeypatch.chdir("empty")
        assert located(source.name).path == here / path


def test_cifs_come_before_parquet_files(here):
    """A table of predictions beside CIFs is not the data."""
    shutil.copy("ten.parquet", "cifs")
    assert located("cifs").kind == "structures"
    shutil.copy("ten.parquet", "published")
    assert located("published").kind == "published"


@pytest.mark.parametrize("make", ["folder", "file"])
@pytest.mark.parametrize(
    "words",
    [
        ["data", "info", "elastic"],
        ["data", "export", "elastic", "-o", "out.extxyz"],
        ["data", "select", "elastic", "--where", "a=b", "-o", "out.parquet"],
        ["data", "diff", "formation", "elastic"],
        ["data", "audit", "elastic"],
        ["train", "elastic", "--target", MODULUS, "--out", "run"],
        ["tune", "elastic", "--target", MODULUS, "--out", "run"],
        ["learning-curve", "elastic", "--target", MODULUS, "--out", "run"],
        ["predict", "model", "elastic"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_name_with_two_meanings_is_refused(words, make, here, capsys, first_run):
    if make == "file":
        shutil.rmtree("elastic")
        Path("elastic").write_text("")
    said = Said(capsys, *(first_run if word == "model" else word for word in words))
    assert said.status == 1
    assert (
        f"elastic is both a dataset that comes with Crystallite and a {make} here: "
        f"write builtin:elastic for the dataset, ./elastic for the {make}"
    ) in said.err
    assert not Path("run").exists()


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """A run on the built-in elastic set."""
    from crystallite.cli import main

    folder = tmp_path_factory.mktemp("runs") / "run"
    words = ["train", "builtin:elastic", "--target", MODULUS, *TINY_OPTIONS, "--set", "train_limit=20"]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--out", str(folder)])
    assert not stop.value.code
    return folder


def source_of(run: Path) -> str:
    return tomllib.loads((run / "config.toml").read_text())["data"]["source"]


@pytest.mark.parametrize("source", ["builtin:elastic", "elastic"])  # as now, and as version 0.1.0 wrote it
def test_a_run_finds_its_builtin_set_beside_a_folder_of_the_name(source, first_run, here, capsys):
    run = shutil.copytree(first_run, here / "run")
    assert source_of(run) == "builtin:elastic"
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("builtin:elastic", source))
    assert Said(capsys, "verify", run).out == f"{run}: repeated bit for bit\n"
    (run / "summary.json").unlink()
    assert Said(capsys, "train", "--resume", run).status == 0


def test_a_run_finds_its_folder_from_elsewhere(here, capsys, monkeypatch):
    words = ["train", "./elastic", "--target", MODULUS, *TINY_OPTIONS, "--split", "6/2/2", "--out", "run"]
    assert Said(capsys, *words).status == 0
    assert source_of(here / "run") == str(here / "elastic")
    monkeypatch.chdir("empty")
    assert Said(capsys, "verify", here / "run").status == 0
    (here / "run" / "summary.json").unlink()
    assert Said(capsys, "train", "--resume", here / "run").status == 0


def ids(out: str) -> list[str]:
    return [line.partition(",")[0] for line in out.splitlines()[1:]]


def test_predict_and_read_mean_the_same(first_run, here, capsys):
    ten = read_dataset("ten.parquet").ids
    for word in ("./elastic", "ten.parquet", "published", "cifs", "cifs/*.cif"):
        said = Said(capsys, "predict", first_run, word)
        assert (said.status, sorted(ids(said.out))) == (0, sorted(ten)), word
    for word in ("./elastic", "ten.parquet", "published"):
        assert sorted(read_dataset(word).ids) == sorted(ten)
    assert len(ids(Said(capsys, "predict", first_run, "builtin:elastic").out)) == 1181


def test_nested_parts_are_a_dataset_for_predict_too(first_run, here, capsys):
    read_dataset("ten.parquet").select(range(5)).write(Path("parts/year=2015/a.parquet"))
    assert Said(capsys, "predict", first_run, "parts").out.count("\n") == 6


def test_capital_cifs_and_deep_patterns(first_run, here, capsys):
    one, two, three = sorted(Path("cifs").glob("*.cif"))[:3]
    Path("db/sub").mkdir(parents=True)
    shutil.copy(one, "db/one.cif")
    shutil.copy(two, "db/TWO.CIF")
    shutil.copy(three, "db/sub/three.cif")
    assert ids(Said(capsys, "predict", first_run, "db").out) == ["TWO", "one"]
    assert ids(Said(capsys, "predict", first_run, "db/**/*.cif").out) == ["one", "three"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("builtin:elastik", r"no dataset 'elastik' comes with Crystallite \(did you mean elastic\?\)"),
        ("elastik", r"elastik: no such file, .*did you mean elastic\?"),
        ("empty", r"empty: a folder without id_prop\.csv, CIFs, POSCARs and \.parquet files"),
        ("notes.txt", r"notes\.txt: no file of structures .*ase convert notes\.txt NAME\.extxyz"),
        ("*.nothing", r"\*\.nothing: no such file"),
    ],
)
def test_other_words_are_refused_alike(word, message, first_run, here, capsys):
    Path("notes.txt").write_text("notes")
    with pytest.raises(CrystalliteError, match=message):
        read_dataset(word)
    with pytest.raises(CrystalliteError, match=r"no (built-in )?dataset"):
        iter_batches(word, 10)
    said = Said(capsys, "predict", first_run, word)
    assert said.status == 1
    assert message.rpartition(" ")[2].rstrip("\\)?").replace("\\", "") in said.err


def test_cifs_without_a_table_are_no_dataset(here):
    with pytest.raises(CrystalliteError, match="crystallite data import cifs --table"):
        read_dataset("cifs")
    for word in ("cifs", "published"):
        with pytest.raises(CrystalliteError, match=rf"'{word}' is no \.parquet file, .*read_dataset also"):
            iter_batches(word, 10)
