"""What export wrote, import reads: ids of any characters come back, or are refused by the export."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from archive_files import read
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import rock_salt

from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalliteError
from crystallite.sources.formats import export_dataset

HARD = ["@charge", "data", "index", "columns", "lattice", "sites", "structure", "atoms", "cif", "charge"]
HARD += [
    "a/b",
    "a;1",
    "a,1",
    "a\tb",
    '"',
    "a material_id=b c",
    "x.cif",
    "x:y",
    "0",
    "None",
    "é",
    "\u2028",
    "a@b",
]
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
