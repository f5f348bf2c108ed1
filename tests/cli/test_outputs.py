"""Commands refuse, before they read anything, to write over an input or to what can be no file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from grouped_runs import MODULUS, TINY_OPTIONS, Said, moduli
from training_runs import one_thread  # noqa: F401

from crystallite.datasets.dataset import Dataset
from crystallite.sources.exporters.published_layout import export_published


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The working folder, with a dataset, a list of ids, a map of them, a split and a published folder."""
    monkeypatch.chdir(tmp_path)
    data = moduli(12)
    data.write("d.parquet")
    Path("parts").mkdir()
    data.write("parts/0.parquet")
    export_published(data, "published", MODULUS)
    Path("ids.csv").write_text("\n".join(data.ids) + "\n")
    Path("map.json").write_text(json.dumps({data.ids[0]: data.ids[1]}))
    Path("map.csv").write_text("id,material_id\na,b\n")
    Path("split.csv").write_text("material_id,split\n" + f"{data.ids[0]},train\n")
    Path("d.csv").symlink_to("ids.csv")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "data audit published -o published/id_prop.csv",
        "data audit d.parquet --split-file split.csv -o split.csv",
        "data audit-ids ids.csv --map map.json -o ids.csv",
        "data audit-ids ids.csv --map map.json -o d.csv",
        "data audit-ids ids.csv --map map.csv -o map.csv",
        "data select d.parquet --ids ids.csv -o d.parquet",
        "data select parts --ids ids.csv -o parts/0.parquet",
        "data substitute d.parquet -o d.parquet",
        "data substitute parts -o parts/0.parquet",
        "data import published -o parts/../d.parquet --table d.parquet",
        "data diff d.parquet d.parquet --map crystals.csv -o .",
        "data fetch mp --ids d.ids.csv -o d.parquet",
    ],
)
def test_an_input_is_not_written_over(words, place, capsys):
    for name in ("crystals.csv", "d.ids.csv"):
        Path(name).write_text("id,material_id\na,b\n")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    said = Said(capsys, *words.split())
    assert (said.status, said.out, len(said.err.splitlines())) == (1, "", 1)
    assert said.err.startswith("Error: --output ")
    assert "is the input" in said.err
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


COMMANDS = [
    "data audit d.parquet -o NAME.csv",
    "data audit-ids ids.csv --map map.json -o NAME.csv",
    "data select d.parquet --ids ids.csv -o NAME.parquet",
    "data import published -o NAME.parquet",
    "data export d.parquet -o NAME.json",
    "data fetch perov5 -o NAME.parquet",
    "data fetch optimade oqmd -o NAME.parquet",
    "data substitute d.parquet -o NAME.tar",
    "predict no-model d.parquet -o NAME.csv",
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "long", "empty"])
def test_what_can_be_no_file_is_named_with_its_option(command, kind, place, capsys):
    *words, name = command.split()
    output = Path(name.replace("NAME", "x" * 300 if kind == "long" else "odd"))
    if kind == "pipe":
        os.mkfifo(output)
    elif kind == "device":
        output.symlink_to("/dev/null")
    elif kind == "folder" and "export" not in command:
        (output / "in it").mkdir(parents=True)
    said = Said(capsys, *words, "" if kind == "empty" or not output.name else output)
    if kind == "folder" and "export" in command:
        return
    assert (said.status, said.out, len(said.err.splitlines())) == (1, "", 1)
    option = "-o: the name is empty" if kind == "empty" else "--output"
    assert said.err.startswith(f"Error: {option}")


def test_audit_writes_tables_only(place, capsys):
    for words in ("data audit d.parquet -o .", "data audit-ids ids.csv --map map.json -o ids.txt"):
        assert "the name of a table ends in .csv" in Said(capsys, *words.split()).err


@pytest.mark.parametrize(
    "option", ["train d.parquet --out", "tune d.parquet --out", "data diff d.parquet d.parquet -o"]
)
@pytest.mark.parametrize("name", ["", "x" * 300, "ids.csv"])
def test_a_folder_that_cannot_be_made_is_named_with_its_option(option, name, place, capsys):
    said = Said(capsys, *option.split(), name)
    assert (said.status, len(said.err.splitlines())) == (1, 1)
    assert said.err.startswith(("Error: --out", "Error: -o: the name is empty"))


def test_a_link_stays_in_a_command(place, capsys):
    Path("link.csv").symlink_to("there.csv")
    assert Said(capsys, "data", "audit", "d.parquet", "-o", "link.csv").status == 0
    assert Path("link.csv").is_symlink()
    assert Path("there.csv").read_text().startswith("group,material_id")


def test_predictions_follow_a_link_and_spare_their_input(place, capsys, energy_model):
    from golden_files import GOLDEN

    model, before = GOLDEN / "formation-energy-per-atom.pth.tar", Path("d.parquet").read_bytes()
    Path("link.csv").symlink_to("there.csv")
    assert Said(capsys, "predict", model, "d.parquet", "-o", "link.csv").status == 0
    assert Path("link.csv").is_symlink()
    assert len(Path("there.csv").read_text().splitlines()) == 13
    for output in ("d.parquet", "parts/0.parquet"):
        said = Said(capsys, "predict", model, "d.parquet", "parts", "-o", output)
        assert "is the input" in said.err
        assert said.status == 1
    assert Path("d.parquet").read_bytes() == before


def test_an_export_into_the_empty_folder_it_is_in(place, capsys, monkeypatch):
    Path("e").mkdir()
    monkeypatch.chdir("e")
    assert Said(capsys, "data", "export", "../d.parquet", "--target", MODULUS, "-o", ".").status == 0
    assert Path.cwd() == place / "e"
    names = {path.name for path in Path().iterdir()}
    assert len(names) == 14
    assert {"id_prop.csv", "atom_init.json"} <= names
    assert (
        "exists and is not empty"
        in Said(capsys, "data", "export", "../d.parquet", "--target", MODULUS, "-o", ".").err
    )


# ---- names from data


@pytest.fixture
def escaping(tmp_path) -> Path:
    data = moduli(40)
    values = data.values(MODULUS)
    odd = Dataset.from_crystals(
        list(data), data.ids, {"/../../../escaped/x": values, "a b": values, "a/b": values}
    )
    odd.write(tmp_path / "q.parquet")
    return tmp_path / "q.parquet"


def test_names_of_properties_are_no_paths(escaping, tmp_path, capsys, monkeypatch):
    work = tmp_path / "deep" / "er" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    target = ["--target", "/../../../escaped/x"]
    assert Said(capsys, "train", escaping, *target, *TINY_OPTIONS).status == 0
    both = ["--target", "a b", "--target", "a/b"]
    said = Said(capsys, "train", escaping, *target, *both, *TINY_OPTIONS, "--members", 2, "--out", "e")
    assert said.status == 0, said.err
    assert Said(capsys, "data", "diff", escaping, escaping, "-o", "d").status == 0
    assert [path.name for path in Path("runs").iterdir()] == ["q--..-..-..-escaped-x-1"]
    assert {path.name for path in tmp_path.iterdir()} == {"q.parquet", "deep"}
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"er"}
    assert {"parity_a-b.png", "parity_a-b-2.png"} <= {path.name for path in Path("e").iterdir()}
    assert {"a-b.png", "a-b-2.png"} <= {path.name for path in Path("d").iterdir()}


def test_a_target_is_named_once(escaping, capsys):
    for second in ("a b", "a b:log10"):
        said = Said(capsys, "train", escaping, "--target", "a b", "--target", second)
        assert said.err == "Error: target a b is named 2 times\n"
