"""Crystals as the page draws them: cell, atoms, symmetry, and the bonds of the graph with their images."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from ..crystals.crystal import Crystal
from ..crystals.element_properties import element_property
from ..crystals.elements import symbols
from ..crystals.neighbors import Bonds
from ..crystals.overlaps import cell_heights
from ..errors import CrystalError
from ..graphs.packed import build_graphs, nodes_of
from ..models.predictor import Predictor
from ..settings.config import GraphConfig
from ..sources.reading.texts import StructureText
from .reading import Budget, read_texts

MOST_CRYSTALS = 20  # of a text that are drawn
MOST_BONDED = 1_000  # atoms of a crystal whose bonds are drawn
MOST_SYMMETRIC = 500  # atoms of a crystal whose space group is looked for: nothing else runs meanwhile
MOST_IMAGES = 100_000  # cells that the second atom of a bond may be in
SYMMETRY_TOLERANCE = 0.01  # Å; that of the Materials Project is 0.1, of spglib 1e-5
GRAM_PER_CUBIC_CENTIMETRE = 1.660539  # of 1 atomic mass unit in 1 Å³ (CODATA 2018)


def drawings(
    text: StructureText, budget: Budget, wanted: str | None = None, predictor: Predictor | None = None
) -> tuple[list[dict[str, Any]], list[CrystalError], list[str]]:
    """Return the crystals of a text as they are drawn, what cannot be used, and what is odd.

    wanted: the id of the only one that is, as in an answer about many texts. predictor: a model that tells
    what each atom contributes.
    """
    read = read_texts([text], budget)
    config = predictor.model.graph if predictor else GraphConfig()
    crystals = [sent for sent in read.crystals if wanted and f":{wanted}".endswith(f":{sent.id}")]
    crystals = crystals or read.crystals
    found = []
    for sent in crystals[:MOST_CRYSTALS]:
        try:
            build_graphs([sent.crystal], config, [sent.id])
        except CrystalError as error:
            read.errors.append(CrystalError(sent.source, error.reason))
            continue
        contributions = _contributions(sent.crystal, predictor) if predictor else []
        found.append({"material_id": sent.id, **drawn(sent.crystal, config), "contributions": contributions})
    if len(crystals) > MOST_CRYSTALS:
        read.notices.append(f"{len(crystals):,} crystals; the first {MOST_CRYSTALS} are drawn")
    return found, read.errors, read.notices


def drawn(crystal: Crystal, config: GraphConfig) -> dict[str, Any]:
    """Return what there is to draw and to say of a crystal that has a graph."""
    bonds, nodes = nodes_of(crystal, config)
    lengths = np.linalg.norm(crystal.lattice, axis=1)
    places = crystal.frac_coords - np.floor(crystal.frac_coords)
    names = [symbols()[number] for number in crystal.numbers.tolist()]
    mass = float(element_property("atomic_mass")[crystal.numbers].sum())
    return {
        "formula": crystal.formula,
        "n_atoms": len(crystal),
        "n_nodes": int(nodes.max()) + 1,
        "volume": crystal.volume,
        "density": mass * GRAM_PER_CUBIC_CENTIMETRE / crystal.volume,
        "space_group": _space_group(crystal, places) if len(crystal) <= MOST_SYMMETRIC else None,
        "cell": dict(zip(("a", "b", "c"), lengths.tolist(), strict=True)) | _angles(crystal.lattice, lengths),
        "lattice": crystal.lattice.tolist(),
        "atoms": [
            {"element": name, "fractional": place, "node": node}
            for name, place, node in zip(names, places.tolist(), nodes.tolist(), strict=True)
        ],
        "bonds": _bonds_with_images(crystal, places, bonds, config) if len(crystal) <= MOST_BONDED else [],
    }


def _contributions(crystal: Crystal, predictor: Predictor) -> list[dict[str, Any]]:
    """Return what each atom contributes to each target."""
    values = predictor.site_contributions(crystal).T.tolist()
    targets = predictor.model.targets
    return [
        {"target": target, "unit": unit, "values": of_target}
        for target, unit, of_target in zip(targets.names, targets.units, values, strict=True)
    ]


def _angles(lattice: NDArray[np.float64], lengths: NDArray[np.float64]) -> dict[str, float]:
    pairs = {"alpha": (1, 2), "beta": (0, 2), "gamma": (0, 1)}
    cosines = {name: lattice[i] @ lattice[j] / (lengths[i] * lengths[j]) for name, (i, j) in pairs.items()}
    return {name: float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))) for name, cosine in cosines.items()}


def _space_group(crystal: Crystal, places: NDArray[np.float64]) -> dict[str, Any] | None:
    """Return the space group of the atoms as they are, or None where none is found.

    places: (atoms, 3) fractional coordinates in [0, 1).
    """
    import spglib  # moyopy, which is faster, never returns from some damaged cells

    cell = (crystal.lattice.tolist(), places.tolist(), crystal.numbers.tolist())
    try:
        found = spglib.get_symmetry_dataset(cell, symprec=SYMMETRY_TOLERANCE)
    except spglib.SpglibError:
        found = None
    if found is None:
        return None
    system = gemmi.get_spacegroup_reference_setting(found.number).crystal_system_str()
    return {"number": found.number, "symbol": found.international, "system": system}


def _bonds_with_images(
    crystal: Crystal, places: NDArray[np.float64], bonds: Bonds, config: GraphConfig
) -> list[dict[str, Any]]:
    """Return each bond of the graph once, with the cell that its second atom is in.

    places: as in `_space_group`.

    The graph knows lengths and no directions: all images of an atom's neighbours that are as far away as it
    says.
    """
    heights = np.empty(3)
    cell_heights(crystal.lattice, heights)
    found: dict[tuple[int, ...], dict[str, Any]] = {}
    for atom in range(len(crystal)):
        own = slice(bonds.offsets[atom], bonds.offsets[atom + 1])
        neighbors, distances = bonds.neighbors[own], bonds.distances[own]
        span = np.ceil(distances.max() / heights).astype(int) + 1
        if np.prod(2.0 * span + 1) > MOST_IMAGES:
            continue
        images = np.indices(2 * span + 1).reshape(3, -1).T - span
        for neighbor in np.unique(neighbors).tolist():
            vectors = (images + (places[neighbor] - places[atom])) @ crystal.lattice
            lengths = np.linalg.norm(vectors, axis=1)
            mine = neighbors == neighbor
            apart = np.abs(lengths[:, None] - distances[mine][None])
            near = apart.argmin(axis=1)
            for image in np.flatnonzero(apart.min(axis=1) < config.tolerance).tolist():
                _add(
                    found,
                    atom,
                    neighbor,
                    images[image],
                    lengths[image],
                    bonds.weights[own][mine][near[image]],
                )
    return list(found.values())


def _add(
    found: dict[tuple[int, ...], dict[str, Any]],
    first: int,
    second: int,
    image: NDArray[np.int64],
    length: float,
    weight: float,
) -> None:
    """Add a bond, which may be there already from its other end."""
    key = min((first, second, *image.tolist()), (second, first, *(-image).tolist()))
    weight = max(float(weight), found[key]["weight"] if key in found else 0.0)
    found[key] = {
        "first": key[0],
        "second": key[1],
        "image": list(key[2:]),
        "length": float(length),
        "weight": weight,
    }
