"""Named public sets, fetched from mirrors that the tests make of real files."""

from __future__ import annotations

import csv
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from crystallite.cli import fetch_public as cli
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.sources.exporters.archives import export_matbench
from crystallite.sources.exporters.published_layout import cif_text
from crystallite.sources.web import public, public_sets
from crystallite.sources.web.public import fetch_public, sha256
from crystallite.sources.web.public_sets import PUBLIC_SETS

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = ("formation-energy-per-atom.pth.tar", "semi-metal-classification.pth.tar")


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder with files under the names of the public ones."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("CRYSTALLITE_MIRROR", str(folder))
    return folder


def know(monkeypatch, name: str, *paths: Path) -> None:
    """Let the checksums known of a set be those of the files made for it."""
    entry = public_sets.PUBLIC_SETS[name]
    files = tuple(f._replace(sha256=sha256(path)) for f, path in zip(entry.files, paths, strict=True))
    monkeypatch.setitem(public_sets.PUBLIC_SETS, name, entry._replace(files=files))


def matbench_file(folder: Path, elastic: Dataset) -> Path:
    """Write 20 crystals as the bulk-modulus task of Matbench has them."""
    some = elastic.select(range(20))
    task = Dataset.from_arrays(some.arrays, [str(row) for row in range(20)])
    path = folder / "matbench_log_kvrh.json.gz"
    export_matbench(task.with_property("log10(K_VRH)", some.values("log10_bulk_modulus")), path)
    return path


def test_a_matbench_task(mirror, tmp_path, monkeypatch, elastic):
    know(monkeypatch, "matbench_log_kvrh", matbench_file(mirror, elastic))
    fetch_public("matbench_log_kvrh", tmp_path / "k.parquet", cache=tmp_path)
    dataset = Dataset.read(tmp_path / "k.parquet")
    np.testing.assert_array_equal(
        dataset.values("log10_bulk_modulus"), elastic.values("log10_bulk_modulus")[:20]
    )
    assert dataset.units == {"log10_bulk_modulus": "log10(GPa)"}
    assert dataset.fingerprint == elastic.select(range(20)).fingerprint
    assert "s41524-020-00406-3" in dataset.metadata["citation"]
    assert dataset.metadata["licence"].startswith("CC-BY-4.0")
    assert dataset.metadata["sha256"] == sha256(mirror / "matbench_log_kvrh.json.gz")


def test_another_file_is_refused(mirror, tmp_path, elastic):
    matbench_file(mirror, elastic)
    with pytest.raises(CrystalliteError, match=r"not the expected file: SHA-256 .*, expected 44b113ddb7e2"):
        fetch_public("matbench_log_kvrh", tmp_path / "k.parquet", cache=tmp_path)
    assert not (tmp_path / "k.parquet").exists()


def test_what_the_mirror_lacks(mirror, tmp_path):
    with pytest.raises(CrystalliteError, match=r"has no file matbench_mp_gap.json.gz \(of https://ml"):
        fetch_public("matbench_mp_gap", tmp_path / "g.parquet", cache=tmp_path)


def test_castelli_columns_get_our_names(mirror, tmp_path, monkeypatch, elastic):
    some = elastic.select(range(5))
    raw = Dataset.from_arrays(
        some.arrays, list("01234"), {"e_form": [1.0, 2, 3, 4, 5], "gap is direct": [True] * 5}
    )
    export_matbench(raw, mirror / "castelli_perovskites.json.gz")
    know(monkeypatch, "castelli_perovskites", mirror / "castelli_perovskites.json.gz")
    fetched = fetch_public("castelli_perovskites", tmp_path / "c.parquet", cache=tmp_path)
    assert set(fetched.dataset.properties) == {"formation_energy_per_cell", "gap_is_direct"}
    assert fetched.dataset.units == {"formation_energy_per_cell": "eV"}


def write_perov5(folder: Path, dataset: Dataset) -> None:
    (folder / "perov_5").mkdir()
    for number, part in enumerate(("train", "val", "test")):
        with (folder / "perov_5" / f"{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["", "material_id", "formula", "heat_all", "heat_ref", "dir_gap", "ind_gap", "cif"]
            )
            for row in range(number * 4, number * 4 + 4):
                text = cif_text(dataset.crystal(row), str(row))
                gap = "" if row == 5 else 0.5
                writer.writerow([row, 1000 + row, "ABX3", row / 10, row / 20, gap, 0, text])


def test_perov5(mirror, tmp_path, elastic):
    write_perov5(mirror, elastic)
    fetch_public("perov5", tmp_path / "p.parquet", cache=tmp_path)
    dataset = Dataset.read(tmp_path / "p.parquet")
    assert dataset.ids == [str(1000 + row) for row in range(12)]
    assert dataset.labels("split") == ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    np.testing.assert_allclose(dataset.values("heat_all"), np.arange(12) / 10)
    assert dataset.units == dict.fromkeys(("heat_all", "heat_ref", "dir_gap", "ind_gap"), "eV")  # of the cell
    assert np.isnan(dataset.values("dir_gap")).tolist() == [row == 5 for row in range(12)]
    for found, expected in zip(dataset, elastic.select(range(12)), strict=True):
        np.testing.assert_array_equal(found.numbers, expected.numbers)
        assert found.volume == pytest.approx(expected.volume)


def test_published_models_are_copied(mirror, tmp_path, monkeypatch):
    for name in MODELS:
        shutil.copy(GOLDEN / name, mirror)
    entry = PUBLIC_SETS["published-models"]
    assert len(entry.files) == 8
    two = tuple(file for file in entry.files if file.name in MODELS)
    monkeypatch.setitem(public_sets.PUBLIC_SETS, "published-models", entry._replace(files=two))
    know(monkeypatch, "published-models", *(mirror / name for name in MODELS))
    paths = fetch_public("published-models", tmp_path / "models", cache=tmp_path)
    assert [path.name for path in paths] == list(MODELS)
    assert all(path.read_bytes() == (GOLDEN / path.name).read_bytes() for path in paths)


@pytest.fixture
def address(mirror, monkeypatch):
    """The mirror as a web server; `requests` are its paths."""
    pytest.importorskip("pooch")
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requests.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(mirror))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("CRYSTALLITE_MIRROR", f"http://127.0.0.1:{server.server_port}/")
        yield requests
        server.shutdown()
        thread.join()


def test_a_mirror_in_the_web_is_asked_once(address, mirror, tmp_path, monkeypatch, elastic):
    know(monkeypatch, "matbench_log_kvrh", matbench_file(mirror, elastic))
    for _ in range(2):
        fetch_public("matbench_log_kvrh", tmp_path / "k.parquet", cache=tmp_path / "cache", progress=False)
        assert len(Dataset.read(tmp_path / "k.parquet")) == 20
    assert address == ["/matbench_log_kvrh.json.gz"]
    kept = tmp_path / "cache" / "downloads" / "matbench_log_kvrh.json.gz"
    kept.write_bytes(b"damaged")
    fetch_public("matbench_log_kvrh", tmp_path / "k.parquet", cache=tmp_path / "cache", progress=False)
    assert len(address) == 2


def test_files_in_folders_and_pages_in_their_place(address, mirror, tmp_path, elastic):
    write_perov5(mirror, elastic)
    fetched = fetch_public("perov5", tmp_path / "p.parquet", cache=tmp_path / "cache", progress=False)
    assert len(fetched.dataset) == 12
    (mirror / "perov_5" / "val.csv").write_text("<!DOCTYPE html><title>Log in</title>")
    with pytest.raises(CrystalliteError, match=r"perov_5/val.csv is a web page"):
        fetch_public("perov5", tmp_path / "q.parquet", cache=tmp_path / "other", progress=False)
    assert [path.name for path in (tmp_path / "other" / "downloads" / "perov_5").iterdir()] == ["train.csv"]


def test_what_cannot_be_downloaded(address, tmp_path, monkeypatch):
    with pytest.raises(
        CrystalliteError, match=r"the server answered 404 .* set CRYSTALLITE_MIRROR to that folder"
    ):
        fetch_public("matbench_mp_gap", tmp_path / "g.parquet", cache=tmp_path, progress=False)
    monkeypatch.setenv("CRYSTALLITE_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(CrystalliteError, match=r"no connection .is there a network"):
        fetch_public("matbench_mp_gap", tmp_path / "g.parquet", cache=tmp_path, progress=False)


def test_a_download_that_does_not_end(address, mirror, tmp_path, monkeypatch):
    """What was written of it is gone, and nothing of it is read."""
    monkeypatch.setattr(public, "LARGEST_DOWNLOAD", 1 << 20)
    (mirror / "matbench_mp_gap.json.gz").write_bytes(bytes(3 << 20))
    with pytest.raises(CrystalliteError, match=r"matbench_mp_gap\.json\.gz sends more than 1,048,576 bytes"):
        fetch_public("matbench_mp_gap", tmp_path / "g.parquet", cache=tmp_path / "cache", progress=False)
    assert list((tmp_path / "cache" / "downloads").iterdir()) == []


def test_every_set_says_what_it_is():
    for name, entry in PUBLIC_SETS.items():
        assert entry.licence
        assert "https://doi.org/" in entry.citation
        assert entry.summary.endswith(".")
        assert all(file.address.startswith("https://") for file in entry.files)
        assert all(len(file.sha256) == 64 for file in entry.files) or name == "perov5"
    names = [file.name for entry in PUBLIC_SETS.values() for file in entry.files]
    assert len(set(names)) == len(names)


def test_commands(mirror, tmp_path, monkeypatch, elastic):
    commands = {command.name: command for command in cli.commands()}
    assert set(commands) == set(PUBLIC_SETS)
    shown = CliRunner().invoke(commands["perov5"], ["--help"]).output
    assert "Cite: Castelli" in " ".join(shown.split())
    assert "perov5.parquet" in shown
    know(monkeypatch, "matbench_log_kvrh", matbench_file(mirror, elastic))
    output = str(tmp_path / "k.parquet")
    result = CliRunner().invoke(commands["matbench_log_kvrh"], ["-o", output], catch_exceptions=False)
    assert "20 crystals; log10_bulk_modulus" in result.output
    assert "Licence: CC-BY-4.0" in result.output
    write_perov5(mirror, elastic)
    output = str(tmp_path / "p.parquet")
    result = CliRunner().invoke(commands["perov5"], ["-o", output], catch_exceptions=False)
    assert "No checksum is known for it" in result.output


def test_unknown_names_and_outputs(tmp_path):
    with pytest.raises(CrystalliteError, match="no public set 'x'; there are: matbench_mp_e_form"):
        fetch_public("x", tmp_path / "x.parquet", cache=tmp_path)
    with pytest.raises(CrystalliteError, match=r"ends in .parquet"):
        fetch_public("perov5", tmp_path / "x.csv", cache=tmp_path)
    assert public.RENAMED.keys() <= PUBLIC_SETS.keys()


def test_long_cells_are_allowed_while_they_are_read_only(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(f"material_id,cif,heat_all,heat_ref,dir_gap,ind_gap\na,{'x' * 200_000},1,1,1,1\n")
    usual = csv.field_size_limit()
    (row,) = public._rows(path)
    assert len(row["cif"]) == 200_000
    assert csv.field_size_limit() == usual
