"""`crystallite data substitute` as a user meets it: every kind of output, ids, bad inputs, mistakes."""

from __future__ import annotations

import gc
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from grouped_runs import Said
from strategies import perovskite, rock_salt

from crystallite.crystals.cif import read_cif
from crystallite.crystals.crystal import pack_crystals
from crystallite.datasets.dataset import Dataset
from crystallite.materials.substitution import Rules
from crystallite.sources.candidates import write_candidates
from crystallite.sources.exporters.published_layout import cif_text
from crystallite.sources.streaming import read_crystals

OUTPUTS = ["c.tar", "c.tar.gz", "c.zip", "c.parquet", "c"]


@pytest.fixture
def place(tmp_path, monkeypatch, elastic) -> Path:
    """The working folder, with a dataset of twelve crystals."""
    monkeypatch.chdir(tmp_path)
    elastic.select(range(12)).write("d.parquet")
    return tmp_path


@pytest.fixture
def substitute(place, capsys):
    """Run the command; it has to work."""

    def run(*words):
        said = Said(capsys, "data", "substitute", *words)
        assert said.status == 0, said.err
        return said.err

    return run


def unpacked(output: Path) -> Path:
    """The CIFs of an output as a folder."""
    folder = output.with_name(f"{output.name}-unpacked")
    if output.suffix == ".zip":
        with zipfile.ZipFile(output) as archive:
            archive.extractall(folder)
    else:
        with tarfile.open(output) as archive:
            archive.extractall(folder, filter="data")
    return folder


def crystals_of(output: Path) -> dict:
    """What is in an output, by ids."""
    source = output if output.is_dir() or output.suffix == ".parquet" else unpacked(output)
    return dict(read_crystals([str(source)], [], lambda error: pytest.fail(str(error))))


def test_all_outputs_have_the_same_crystals(substitute, place):
    assert "60 candidates from 12 crystals in c.tar" in substitute("d.parquet", "--number", 5, "-o", "c.tar")
    expected = crystals_of(place / "c.tar")
    assert len(expected) == 60
    for output in OUTPUTS[1:]:
        substitute("d.parquet", "--number", 5, "-o", output)
        found = crystals_of(place / output)
        assert found.keys() == expected.keys()
        for name, crystal in found.items():
            np.testing.assert_array_equal(crystal.numbers, expected[name].numbers)
            difference = crystal.frac_coords - expected[name].frac_coords
            np.testing.assert_allclose(difference - difference.round(), 0, atol=1e-9)
            assert crystal.volume == pytest.approx(expected[name].volume, rel=1e-8)


def test_a_dataset_says_what_each_candidate_comes_from(substitute, place):
    substitute("d.parquet", "--number", 3, "-o", "c.parquet")
    data = Dataset.read("c.parquet")
    assert data.label_names == ["parent", "substitutions"]
    assert list(dict.fromkeys(data.labels("parent"))) == Dataset.read("d.parquet").ids
    for name, parent, said in zip(data.ids, *map(data.labels, data.label_names), strict=True):
        assert name == f"{parent}_{said}"


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_same_command_makes_the_same_bytes(output, substitute, place):
    def content(path):
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return [(file.name, file.read_bytes()) for file in files]

    made = []
    for k, seed in enumerate((3, 3, 4)):
        Path(f"{k}").mkdir()
        words = ("d.parquet", "--number", 2, "--strain", 2, "--copies", 2, "--seed", seed)
        substitute(*words, "-o", f"{k}/{output}")
        made.append(content(place / f"{k}" / output))
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_a_candidate_does_not_depend_on_other_crystals(substitute, place):
    words = ("--strain", 5, "--copies", 3)
    substitute("d.parquet", *words, "-o", "all")
    name = Dataset.read("d.parquet").ids[7]
    Dataset.read("d.parquet").select([name]).write("one.parquet")
    substitute("one.parquet", *words, "-o", "one")
    alone = sorted(Path("one").iterdir())
    assert len(alone) == 30
    assert all(file.read_bytes() == Path("all", file.name).read_bytes() for file in alone)


def test_only_allowed_elements(substitute, place):
    substitute("d.parquet", "--exclude", "Nb, Si", "--number", 30, "-o", "c.parquet")
    assert not {41, 14} & set(Dataset.read("c.parquet").arrays.numbers.tolist())
    Path("salt.cif").write_text(cif_text(rock_salt(5.7), "salt"))
    substitute("salt.cif", "--elements", "Li,K,Cl", "-o", "few")
    assert sorted(file.name for file in Path("few").iterdir()) == ["salt_Na-K.cif", "salt_Na-Li.cif"]


# ---- ids


def test_ids_of_candidates_of_candidates_are_their_own(substitute, place):
    for name in ("x", "x_Ca-Sr"):
        Path(f"{name}.cif").write_text(cif_text(perovskite(3.9), name))
    substitute("x.cif", "x_Ca-Sr.cif", "--number", 500, "-o", "c.tar")
    with tarfile.open("c.tar") as archive:
        names = archive.getnames()
    assert {"x_Ca-Sr+Ti-Zr.cif", "x_Ca-Sr_Ti-Zr.cif"} <= set(names)
    assert len(set(names)) == len(names) == 1000


def test_odd_ids_become_names_of_files_and_stay_apart(substitute, place):
    ids = ["../a/b", "..-a-b", "a b", "A-b", "a-b", "a-b-2", "é", "x" * 300, "x" * 299, "=1+1", "a b"]
    Dataset.from_crystals([rock_salt(5.7)] * len(ids), ids).write("odd.parquet")
    for output in OUTPUTS:
        substitute("odd.parquet", "--number", 2, "-o", output)
    data = Dataset.read("c.parquet")
    assert len({name.casefold() for name in data.ids}) == 2 * len(ids)
    assert data.labels("parent")[::2] == ids
    assert sorted(file.stem for file in Path("c").iterdir()) == sorted(data.ids)
    assert {path.name for path in place.iterdir()} == {"d.parquet", "odd.parquet", *OUTPUTS}
    with tarfile.open("c.tar") as tar, zipfile.ZipFile("c.zip") as zipped:
        assert tar.getnames() == zipped.namelist() == [f"{name}.cif" for name in data.ids]


# ---- inputs


def test_bad_inputs_are_named_and_the_others_used(place, capsys):
    Path("good.cif").write_text(cif_text(rock_salt(5.7), "good"))
    Path("bad.cif").write_text("data_bad\n")
    Dataset.from_arrays(pack_crystals([rock_salt(0.9)]), ["dense"]).write("dense.parquet")
    words = ("data", "substitute", "good.cif", "bad.cif", "dense.parquet", "missing.cif", "-o")
    said = Said(capsys, *words, "c.tar")
    assert said.status == 1
    for name, reason in (("bad.cif", "no"), ("dense", "Å apart"), ("missing.cif", "no such file")):
        assert any(line.startswith(f"{name}: ") and reason in line for line in said.err.splitlines())
    assert "10 candidates from 1 crystals in c.tar" in said.err
    assert "3 of 4 inputs could not be used" in said.err
    assert Said(capsys, *words, "d.tar", "--skip-bad").status == 0
    assert Path("c.tar").read_bytes() == Path("d.tar").read_bytes()


def test_crystals_without_a_substitute_are_counted(substitute, place):
    for name, crystal in (("salt", rock_salt(5.7)), ("titanate", perovskite(3.9))):
        Path(f"{name}.cif").write_text(cif_text(crystal, name))
    said = substitute("salt.cif", "titanate.cif", "--elements", "K,Cl,Br", "-o", "c.tar")
    assert "Notice: 1 crystals have no substitute by these rules" in said


def test_memory_does_not_grow_with_candidates(place):
    def peak(copies, output):
        gc.collect()
        tracemalloc.start()
        rules = Rules(10, strain=0.01, copies=copies)
        write_candidates(["d.parquet"], place / output, rules, progress=False)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    Dataset.read("d.parquet").select(range(4)).write("d.parquet")
    for ending in (".tar", ".zip"):
        peak(1, f"first{ending}")
        few, many = peak(1, f"few{ending}"), peak(10, f"many{ending}")
        assert many - few < 50_000, ending  # bytes, for 360 candidates more; zipfile needs 180,000


# ---- mistakes and interruptions


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("d.parquet -o c.csv", "ends in .tar, .tar.gz, .zip or .parquet, or is a folder's"),
        ("d.parquet -o .", "exists and is not empty"),
        ("d.parquet -o c.tar --elements", "requires an argument"),
        ("d.parquet -o c.tar --elements Xx,Si", "Xx is none from H to Fm"),
        ("d.parquet -o c.tar --exclude ,", "write symbols with commas between them"),
        ("d.parquet -o c.tar --elements Si --exclude Si", "leaves none"),
        ("d.parquet -o c.tar --elements He", "no candidate could be made; nothing is written"),
        ("d.parquet -o c.tar --copies 2", "no effect without --strain"),
        ("d.parquet -o c.tar --strain nan", "not a number"),
        ("d.parquet -o c.tar --strain 21", "is not in the range"),
        ("d.parquet -o c.tar --number 0", "is not in the range"),
        ("missing -o c.tar", "no candidate could be made"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(words, message, place, capsys):
    said = Said(capsys, "data", "substitute", *words.split())
    assert said.status in (1, 2)
    assert message in said.err
    assert [path.name for path in place.iterdir()] == ["d.parquet"]


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_interruption_leaves_the_old_output(output, place):
    Path("z.cif").write_text("data_bad\n")  # is read last
    path = place / output
    if output == "c":
        path.mkdir()
    else:
        path.write_text("old")

    def stop(source, reason):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_candidates(["d.parquet", "z.cif"], path, Rules(4), progress=False, on_bad=stop)
    assert list(path.iterdir()) == [] if output == "c" else path.read_text() == "old"
    assert {file.name for file in place.iterdir()} == {"d.parquet", "z.cif", output}


def test_an_empty_folder_is_filled(substitute, place):
    Path("c").mkdir()
    substitute("d.parquet", "--number", 1, "-o", "c")
    names = [file.name for file in Path("c").iterdir()]
    assert len(names) == 12
    assert all(read_cif(Path("c", name)) for name in names)
