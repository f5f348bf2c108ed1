"""Descriptors are what their names say, for any way to write the crystal down."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from grouped_runs import Said
from strategies import CHANGES, made

import crystallite
from crystallite.crystals.crystal import Crystal, pack_crystals
from crystallite.crystals.element_properties import PROPERTIES, element_properties
from crystallite.datasets.dataset import Dataset
from crystallite.features.descriptors import DESCRIPTORS, UNITS, descriptor_values
from crystallite.graphs.packed import build_graph, build_graphs, gather_batch, pack_graphs
from crystallite.settings.config import GraphConfig
from crystallite.settings.recipes import N_DESCRIPTORS

DOCS = Path(__file__).parents[2] / "docs" / "descriptors.md"


def described(crystals: list[Crystal]) -> np.ndarray:
    graphs = build_graphs(crystals, GraphConfig())
    return descriptor_values(gather_batch(graphs, np.arange(graphs.n_crystals)))


def rock_salt() -> Crystal:
    sites = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    coordinates = [*sites, *(np.array(sites) + 0.5).tolist()]
    return made(5.64 * np.eye(3), 4 * [11] + 4 * [17], np.ravel(coordinates).tolist())


def test_of_rock_salt() -> None:
    """Six bonds of 2.82 Å, and of the next shell of twelve at 3.988 Å half: each counts 6 of 12."""
    found = dict(zip(DESCRIPTORS, described([rock_salt()])[0], strict=True))
    radius = {11: 1.66, 17: 1.02}  # Å (Cordero et al. 2008)
    assert found["atomic_number_mean"] == 14
    assert found["atomic_number_deviation"] == 3
    assert found["covalent_radius_range"] == pytest.approx(0.64)
    assert found["volume_per_atom"] == pytest.approx(5.64**3 / 8, rel=1e-6)
    assert found["density"] == pytest.approx(2.164, abs=0.002)  # NaCl at this lattice constant
    spheres = 4 * sum(4 / 3 * np.pi * r**3 for r in radius.values())
    assert found["packing_fraction"] == pytest.approx(spheres / 5.64**3, rel=1e-6)
    assert found["n_elements"] == 2
    assert found["primitive_atoms"] == 2
    assert found["longest_edge"] == pytest.approx(5.64 / 2**0.5)
    assert found["shortest_edge"] == pytest.approx(5.64 / 2**0.5)
    assert found["mixing_entropy"] == pytest.approx(np.log(2))
    assert found["shortest_bond_mean"] == pytest.approx(2.82, rel=1e-6)
    assert found["shortest_bond_deviation"] == pytest.approx(0, abs=1e-6)
    assert found["shortest_bond_ratio_mean"] == pytest.approx(2.82 / 2.68, rel=1e-6)
    assert found["mean_bond_mean"] == pytest.approx((2.82 + 2.82 * 2**0.5) / 2, rel=1e-6)
    assert found["inverse_cube_mean"] == pytest.approx(6 * 2.82**-3 + 6 * (2.82 * 2**0.5) ** -3, rel=1e-6)
    valence = 6 * np.exp((2.68 - 2.82) / 0.37)
    of_next = [6 * np.exp((2 * r - 2.82 * 2**0.5) / 0.37) for r in radius.values()]
    assert found["bond_valence_mean"] == pytest.approx(valence + np.mean(of_next), rel=1e-6)
    assert found["charge_transfer_mean"] == pytest.approx(0, abs=1e-9)
    assert found["charge_transfer_maximum"] == -found["charge_transfer_minimum"] > 0
    of_sodium, of_chlorine = (2 / (1 + np.exp(40 * (3.988 / (2 * r) - 1.25))) for r in radius.values())
    near = 6 / (1 + np.exp(40 * (2.82 / 2.68 - 1.25)))
    assert found["coordination_maximum"] == pytest.approx(near + 3 * of_sodium, abs=0.01)
    assert found["coordination_minimum"] == pytest.approx(near + 3 * of_chlorine, abs=0.01)


@pytest.mark.parametrize("name", CHANGES)
def test_they_do_not_depend_on_how_a_crystal_is_written(name: str, formation) -> None:
    """Lengths are float32, rounded by 3e-7 of them; dispersion has their sixth power, the step slope 10."""
    rng = np.random.default_rng(len(name))
    chosen = list(formation.select(rng.choice(len(formation), 100, replace=False)))
    before, after = described(chosen), described([CHANGES[name](crystal, rng) for crystal in chosen])
    # A deviation of equal values is the root of rounding.
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=2e-4)


def test_reduced_and_full_graphs_are_described_alike(formation) -> None:
    chosen = list(formation.select(range(0, 300, 5)))
    full = [build_graph(crystal, GraphConfig(), reduced=False) for crystal in chosen]
    values = descriptor_values(gather_batch(pack_graphs(full, pack_crystals(chosen)), np.arange(len(chosen))))
    np.testing.assert_allclose(values, described(chosen), rtol=1e-4, atol=2e-4)


def test_a_crystal_is_described_alone_as_among_others(formation) -> None:
    chosen = list(formation.select(range(20)))
    together = described(chosen)
    for row in (0, 7, 19):
        np.testing.assert_array_equal(described([chosen[row]])[0], together[row])
    assert described([]).shape == (0, len(DESCRIPTORS))


def test_every_element_is_known() -> None:
    table = element_properties()
    assert np.isfinite(table[1:]).all()
    assert (table[1:, PROPERTIES.index("covalent_radius")] > 0.2).all()
    assert table[26, PROPERTIES.index("electronegativity")] == 1.83
    assert table[26, PROPERTIES.index("group")] == 8
    assert np.isfinite(described([made(4 * np.eye(3), [z], [0, 0, 0]) for z in range(1, 101)])).all()


def test_files_hold_numbers_for_these() -> None:
    assert len(DESCRIPTORS) == N_DESCRIPTORS
    assert set(UNITS) <= set(DESCRIPTORS)


def test_the_page_names_all() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    without_statistics = {
        re.sub("_(mean|deviation|minimum|maximum|range)$", "", name) for name in DESCRIPTORS
    }
    assert without_statistics <= named


def test_as_a_table(tmp_path, capsys) -> None:
    data = Dataset.read("elastic").select(range(30))
    data.write(tmp_path / "data.parquet")
    (tmp_path / "bad.cif").write_text("data_x\n")
    output = tmp_path / "d.parquet"
    said = Said(capsys, "descriptors", tmp_path / "data.parquet", tmp_path / "bad.cif", "-o", output)
    assert said.status == 1
    assert "1 of 31 inputs could not be used" in said.err
    table = pd.read_parquet(output).set_index("material_id")
    frame = crystallite.descriptors(data)
    pd.testing.assert_frame_equal(table, frame)
    assert frame.attrs["units"]["density"] == "g/cm³"
    np.testing.assert_array_equal(crystallite.descriptors(list(data)).to_numpy(), frame.to_numpy())
    np.testing.assert_array_equal(crystallite.descriptors(str(tmp_path / "data.parquet")), frame)
    np.testing.assert_array_equal(crystallite.descriptors(crystal for crystal in data), frame)
    np.testing.assert_array_equal(crystallite.descriptors(data.crystal(3)), frame.iloc[3:4])
    with pytest.raises(crystallite.CrystalliteError, match=r"bad\.cif"):
        crystallite.descriptors([tmp_path / "bad.cif"])
    assert crystallite.descriptors([]).shape == (0, len(DESCRIPTORS))
    said = Said(capsys, "descriptors", tmp_path / "data.parquet")
    rows = list(csv.DictReader(said.out.splitlines()))
    assert [float(row["density"]) for row in rows] == frame["density"].tolist()
