"""What every importer and exporter promises: what is written is read again, or refused by the export."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ase
import ase.io
import numpy as np
import pyarrow.parquet as pq
import pytest
from archive_files import AWKWARD_IDS, assert_same_columns, mixed_dataset, read, same_crystal
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import rock_salt

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.sources.formats import export_dataset

Options = dict[str, Any]  # of `read`


def with_everything() -> Dataset:
    """Every kind of column with missing values, hard ids, and a name that needs quotes."""
    return mixed_dataset().with_property("gap pbe = (x) [y]", np.linspace(0, 1, 60), "eV")


def with_plain_words() -> Dataset:
    """Without the ids and texts that names of files and ASE databases cannot be."""
    plain = mixed_dataset().select(range(len(AWKWARD_IDS), 60))
    return plain.with_property("label", [None, *(f"l{i}" for i in range(49))])


def with_one_property() -> Dataset:
    """Of the plain ones those that have a bulk modulus, and nothing else."""
    plain = with_plain_words()
    known = plain.select(~np.isnan(plain.values("bulk_modulus")))
    return Dataset(known.table.drop_columns(["count", "is_metal", "whole", "label"]), known.name)


def beside(dataset: Dataset, path: Path) -> Options:
    """Write the properties into a table of their own; return what reads them."""
    table = path.with_name("table.parquet")
    pq.write_table(dataset.table.drop_columns(["lattice", "numbers", "frac_coords"]), table)
    return {"table": table, "units": dataset.units}


def arrays(dataset: Dataset, path: Path) -> Options:
    lattice, offsets, numbers, frac = dataset.arrays
    ids = np.array(dataset.ids)
    np.savez(path, ids=ids, lattice=lattice, offsets=offsets, numbers=numbers, frac=frac)
    return beside(dataset, path)


def cifs(dataset: Dataset, path: Path) -> Options:
    export_dataset(dataset, path, "whole")
    return beside(dataset, path)


def poscars(dataset: Dataset, path: Path) -> Options:
    path.mkdir()
    for name, crystal in zip(dataset.ids, dataset, strict=True):
        atoms = ase.Atoms(crystal.numbers, cell=crystal.lattice, scaled_positions=crystal.frac_coords)
        ase.io.write(path / f"{name}.vasp", atoms, format="vasp")
    return beside(dataset, path)


class Format(NamedTuple):
    """A file or folder, what it can hold, and how far its crystals may be off, as `same_crystal` has it.

    write: instead of the exporter, where there is none; returns what the importer has to be told.
    """

    name: str
    dataset: Callable[[], Dataset] = with_everything
    tolerance: float = 0.0  # bit for bit
    write: Callable[[Dataset, Path], Options] | None = None
    options: Options = {}  # noqa: RUF012 (nobody writes to it)


FORMATS = [
    *map(Format, ("cifs.msgpack", "cifs.msgpack.zstd", "cifs.bin.zst")),
    *map(Format, ("a-cifs.json", "cifs.json.zstd", "cifs.json.gz")),
    *map(Format, ("task.json.gz", "list.json", "list.json.zstd")),
    Format("x.extxyz", tolerance=1e-14),
    Format("x.db", with_plain_words, tolerance=1e-14),
    Format("folder", with_one_property, tolerance=1e-8, options={"target": "bulk_modulus"}),
    Format("structures.npz", write=arrays),
    Format("cifs", with_plain_words, tolerance=1e-8, write=cifs),
    Format("poscars", with_plain_words, tolerance=1e-12, write=poscars),
]


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_crystals_ids_properties_and_units_come_back(form, tmp_path):
    dataset, path = form.dataset(), tmp_path / form.name
    notices: list[str] = []
    if form.write:
        options = form.write(dataset, path)
    else:
        notices, options = export_dataset(dataset, path), form.options
    imported = read(path, **options)
    found = imported.dataset
    assert imported.bad == []
    assert_same_columns(found, dataset)
    assert all(same_crystal(*pair, form.tolerance) for pair in zip(found, dataset, strict=True))
    assert form.tolerance or found.fingerprint == dataset.fingerprint
    assert found.units.items() <= dataset.units.items()
    for name in dataset.units.keys() - found.units.keys():  # lost, and the export said so
        assert f"{name} ({dataset.units[name]})" in "\n".join(notices)


# ---- ids of any characters

HARD = ["@charge", "data", "index", "columns", "lattice", "sites", "structure", "atoms", "cif", "charge"]
HARD += ["a/b", "a;1", "a,1", "a\tb", '"', "a material_id=b c", "x.cif", "x:y", "None", "é", "\u2028", "a@b"]
NUMBERS = ["00123", "123", "0", "007", "1e5", "1E5", "1_000", "+5", "-0", "1.50", "T", "nan", "NA", "0x10"]
ids_lists = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8) | st.sampled_from(HARD),
    min_size=1,
    max_size=4,
    unique=True,
)


@pytest.mark.parametrize(
    "name", ["folder", "cifs.json", "cifs.msgpack", "task.json.gz", "list.json", "x.extxyz", "x.db"]
)
@settings(max_examples=25)
@given(ids=ids_lists)
@example(ids=NUMBERS)
@example(ids=["structure"])
@example(ids=["atoms", "structure"])
@example(ids=["data", "index", "columns"])
@example(ids=["lattice", "sites", "@module"])
@example(ids=["a material_id=b c", "007"])
@example(ids=["a;1", "b;2"])
@example(ids=["x.cif", "x"])
@example(ids=["attributes", "id"])
@example(ids=["a.gz", "POSCAR", "b.cif.gz"])
def test_ids_come_back(name, ids):
    values = [1e16 * (k + 1) for k in range(len(ids))]
    dataset = Dataset.from_crystals([rock_salt(5.0 + 0.1 * k) for k in range(len(ids))], ids, {"gap": values})
    with tempfile.TemporaryDirectory() as folder:
        try:
            export_dataset(dataset, Path(folder) / name)
        except CrystalliteError as error:
            if name in {"folder", "x.db"}:
                return
            raise AssertionError("refused") from error
        imported = read(Path(folder) / name, target="gap")
        found = imported.dataset
    assert found.ids == ids
    assert found.values("gap").tolist() == values
    np.testing.assert_allclose(found.arrays.lattices, dataset.arrays.lattices, atol=1e-9)
    assert imported.bad == []


def test_unusual_names_of_files_are_not_refused(tmp_path):
    names = ["Fe2O3 (hematite), relaxed", "käse-1", "it's 100%"]
    dataset = Dataset.from_crystals(list(mixed_dataset().select(range(3))), names, {"gap": [1.0, 2.0, 3.0]})
    export_dataset(dataset, tmp_path / "folder")
    assert read(tmp_path / "folder").dataset.ids == names
