"""Ask a Materials Project server through its own client (PyPI mp-api) what Crystallite asks it.

    python materials_project_peer.py ENDPOINT KEY ASKED.json ANSWERS.json

ASKED.json: {"ids": numbers, "thermo_type": ...}. ANSWERS.json: {"tasks": [[task, material, deprecated], ...],
"summary": {material: {...}}, "thermo": {material: {...}}}, materials and tasks as integers.
"""

import json
import sys
from pathlib import Path

from emmet.core.mpid import AlphaID
from mp_api.client import MPRester

SUMMARY = ["band_gap", "efermi", "is_metal", "bulk_modulus", "shear_modulus", "homogeneous_poisson"]
ENERGIES = [
    "formation_energy_per_atom",
    "energy_per_atom",
    "uncorrected_energy_per_atom",
    "energy_above_hull",
]


def number(identifier):
    return int(AlphaID(str(identifier)))


def crystal(structure):
    return {
        "lattice": structure.lattice.matrix.tolist(),
        "numbers": [site.specie.Z for site in structure],
        "frac_coords": structure.frac_coords.tolist(),
    }


def answers(rester, asked):
    ids = [f"mp-{n}" for n in asked["ids"]]
    tasks, summary = [], {}
    for deprecated in (False, True):
        fields = ["material_id", "task_ids"]
        for document in rester.materials.search(task_ids=ids, deprecated=deprecated, fields=fields):
            material = number(document.material_id)
            tasks += [[number(task), material, deprecated] for task in document.task_ids]
        materials = sorted({material for _, material, _ in tasks} | set(asked["ids"]))
        fields = ["material_id", "structure", *SUMMARY]
        for document in rester.materials.summary.search(
            material_ids=[f"mp-{n}" for n in materials], deprecated=deprecated, fields=fields
        ):
            values = {name: getattr(document, name) for name in SUMMARY}
            summary[number(document.material_id)] = {**values, **crystal(document.structure)}
    fields = ["material_id", "thermo_type", *ENERGIES]
    found = rester.materials.thermo.search(
        material_ids=[f"mp-{n}" for n in summary], thermo_types=[asked["thermo_type"]], fields=fields
    )
    thermo = {number(row.material_id): {name: getattr(row, name) for name in ENERGIES} for row in found}
    return {"tasks": tasks, "summary": summary, "thermo": thermo}


def main(endpoint, key, asked, result):
    with MPRester(key, endpoint=endpoint, mute_progress_bars=True) as rester:
        found = answers(rester, json.loads(Path(asked).read_text()))
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
