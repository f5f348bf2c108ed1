"""What is drawn is the crystal and its graph: its bonds are all there and end at atoms."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
from hypothesis import given
from serving import example
from strategies import crystals, diamond, perovskite, rock_salt

import crystallite
from crystallite.crystals.neighbors import find_bonds
from crystallite.graphs.packed import build_graph
from crystallite.serve.drawing import drawn
from crystallite.settings.config import GraphConfig

CONFIG = GraphConfig()


def check_bonds(crystal: crystallite.Crystal) -> None:
    """Compare each bond with the atoms' places, and those of each atom with the graph's."""
    picture = drawn(crystal, CONFIG)
    lattice = np.array(picture["lattice"])
    places = np.array([atom["fractional"] for atom in picture["atoms"]])
    bonds = find_bonds(crystal, CONFIG)
    lengths: list[list[tuple[int, float]]] = [[] for _ in places]
    seen = set()
    for bond in picture["bonds"]:
        i, j, image = bond["first"], bond["second"], np.array(bond["image"])
        vector = (places[j] + image - places[i]) @ lattice
        # rounding of the coordinates: 1e-16 of some 10 Å
        assert np.linalg.norm(vector) == pytest.approx(bond["length"], abs=1e-9)
        key = (i, j, *bond["image"])
        assert key not in seen
        assert (j, i, *(-image).tolist()) not in seen or key == (j, i, *(-image).tolist())
        seen.add(key)
        lengths[i].append((j, bond["length"]))
        lengths[j].append((i, bond["length"]))
    for atom, found in enumerate(lengths):
        own = slice(bonds.offsets[atom], bonds.offsets[atom + 1])
        wanted = sorted(zip(bonds.neighbors[own].tolist(), bonds.distances[own].tolist(), strict=True))
        rest = sorted(found)
        for neighbor, distance in wanted:  # others may be bonds of the atom at the other end alone
            match = next(
                (one for one in rest if one[0] == neighbor and abs(one[1] - distance) < CONFIG.tolerance),
                None,
            )
            assert match is not None, (atom, neighbor, distance)
            rest.remove(match)


@given(crystals())
def test_every_bond_of_the_graph_is_drawn_where_its_atoms_are(crystal: crystallite.Crystal) -> None:
    check_bonds(crystal)


@pytest.mark.parametrize("crystal", [rock_salt(5.64), diamond(5.43), perovskite(3.9)])
def test_bonds_of_known_crystals(crystal: crystallite.Crystal) -> None:
    check_bonds(crystal)


@given(crystals())
def test_nodes_of_atoms_are_those_of_the_reduced_graph(crystal: crystallite.Crystal) -> None:
    nodes = [atom["node"] for atom in drawn(crystal, CONFIG)["atoms"]]
    graph = build_graph(crystal, CONFIG)
    np.testing.assert_array_equal(np.bincount(nodes), graph.multiplicities)
    np.testing.assert_array_equal(graph.numbers[nodes], crystal.numbers)


@pytest.mark.parametrize(
    ("name", "number", "system", "density", "formula"),
    [  # space groups and X-ray densities of textbooks
        ("rock_salt.cif", 225, "cubic", 2.16, "NaCl"),
        ("silicon.cif", 227, "cubic", 2.33, "Si"),
        ("quartz.cif", 154, "trigonal", 2.65, "SiO2"),
        ("rutile.cif", 136, "tetragonal", 4.25, "TiO2"),
        ("strontium_titanate.cif", 221, "cubic", 5.12, "SrTiO3"),
        ("garnet.cif", 230, "cubic", 4.55, "Y3Al5O12"),
    ],
)
def test_examples_are_what_they_are_called(
    client: httpx.Client, name: str, number: int, system: str, density: float, formula: str
) -> None:
    [crystal] = client.post("/api/v1/crystals", json=example(name)).json()["crystals"]
    assert crystal["formula"] == formula
    assert (crystal["space_group"]["number"], crystal["space_group"]["system"]) == (number, system)
    assert crystal["density"] == pytest.approx(density, abs=0.02)


def test_all_examples_are_given(client: httpx.Client) -> None:
    examples = client.get("/api/v1/examples").json()["examples"]
    structures = [{"name": one["file"], "text": one["text"]} for one in examples]
    answer = client.post("/api/v1/predict", json={"structures": structures, "models": ["band_gap"]}).json()
    assert len(answer["predictions"]) == len(examples) == 6
    assert answer["errors"] == answer["notices"] == []


def test_contributions_of_atoms_add_up_to_the_prediction(client: httpx.Client) -> None:
    question = {**example("quartz.cif"), "model": "per-atom"}
    [crystal] = client.post("/api/v1/crystals", json=question).json()["crystals"]
    [contributions] = crystal["contributions"]
    predicted = client.post(
        "/api/v1/predict", json={"structures": [example("quartz.cif")], "models": ["per-atom"]}
    ).json()
    [part] = predicted["predictions"][0]["properties"]
    assert contributions["target"] == part["name"]
    assert len(contributions["values"]) == 9
    # a mean of single-precision numbers, taken over nodes there and over atoms here
    assert np.mean(contributions["values"]) == pytest.approx(part["value"], abs=1e-5)


def test_what_cannot_be_drawn_says_why(client: httpx.Client) -> None:
    answer = client.post("/api/v1/crystals", json={"name": "x.cif", "text": "data_x"})
    assert (answer.status_code, "no atoms" in answer.json()["detail"]) == (422, True)
    pooled = client.post("/api/v1/crystals", json={**example(), "model": "band_gap"})
    assert (pooled.status_code, "readout = per-atom" in pooled.json()["detail"]) == (422, True)


def test_one_of_several_crystals_is_drawn_when_asked_for(client: httpx.Client) -> None:
    text = example("rock_salt.cif")["text"] + example("quartz.cif")["text"]
    for wanted in ("two:quartz", "other.cif:two:quartz"):
        answer = client.post(
            "/api/v1/crystals", json={"name": "two.cif", "text": text, "material_id": wanted}
        )
        assert [crystal["formula"] for crystal in answer.json()["crystals"]] == ["SiO2"]
    every = client.post("/api/v1/crystals", json={"name": "two.cif", "text": text}).json()["crystals"]
    assert [crystal["formula"] for crystal in every] == ["NaCl", "SiO2"]


def test_space_group_of_damaged_cells() -> None:
    """moyopy panicked on the first, whose atom is far away, and never came back from the second."""
    lattice = np.array([[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]])
    far = crystallite.Crystal(np.array([5, 7]), lattice, np.array([[0, 0, 0], [-1e308, 0.25, 0.25]]))
    assert drawn(far, CONFIG)["space_group"]["number"] == 8
    lattice = np.array([[-0.71, 3.42, 4.72], [0.68, -4.72, -4.69], [-0.08, -5.19, 0.19]])  # 0.4 Å^3
    places = np.array([[0.75, 0.25, 0.75], [0.33, 0.5, 0.67], [0.33, 0.75, 0.5], [0.5, 0.25, 0.75]])
    thin = crystallite.Crystal(np.array([1, 2, 2, 2]), lattice, places)
    assert drawn(thin, CONFIG)["space_group"]["number"] == 1
