"""Good inputs of every kind, made once: what is damaged afterwards."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

from crystallite.datasets.dataset import Dataset
from crystallite.sources.exporters.archives import export_matbench, export_pymatgen_list, export_rcgcnn
from crystallite.sources.exporters.ase_formats import export_extxyz
from crystallite.sources.exporters.published_layout import cif_text

TESTS = Path(__file__).parents[1]
MADE_BY_SYMMETRY = {
    "rock_salt": ("F m -3 m", "5.64 5.64 5.64 90 90 90", "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5"),
    "spinel": (
        "F d -3 m :2",
        "8.08 8.08 8.08 90 90 90",
        "Mg Mg .125 .125 .125\nAl Al .5 .5 .5\nO O .262 .262 .262",
    ),
    "corundum": ("R -3 c :H", "4.76 4.76 12.99 90 90 120", "Al Al 0 0 .352\nO O .306 0 .25"),
    "rutile": ("P 42/m n m", "4.59 4.59 2.96 90 90 90", "Ti Ti4+ 0 0 0\nO O2- .305(1) .305(1) 0"),
    "monoclinic": ("P 1 21/c 1", "5.15 5.21 5.32 90 99.2 90", "Zr Zr .275 .039 .208\nO O .07 .332 .345"),
}
POSCAR = b"""cubic BN
3.57
0.0 0.5 0.5
0.5 0.0 0.5
0.5 0.5 0.0
B N
1 1
Selective dynamics
Direct
0.00 0.00 0.00 T T F
0.25 0.25 0.25 F F F
"""
TABLE = b"""material_id,band gap (eV),label,density
a,1.5,good,3.2
b,-0.25,"with, comma",
c,1e-3,,4.75
d,None,good,2
"""
OPTIMADE: dict[str, Any] = {
    "data": [
        {
            "id": "a", "type": "structures",
            "attributes": {
                "lattice_vectors": [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]],
                "cartesian_site_positions": [[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]],
                "species_at_sites": ["Cs", "Cl"], "nsites": 2, "dimension_types": [1, 1, 1],
                "species": [
                    {"name": "Cs", "chemical_symbols": ["Cs"], "concentration": [1.0]},
                    {"name": "Cl", "chemical_symbols": ["Cl"], "concentration": [1.0]},
                ],
                "_x_band_gap": 5.5,
            },
        }
    ]
}  # fmt: skip
JARVIS: list[dict[str, Any]] = [
    {
        "jid": "JVASP-1", "formation_energy_peratom": -1.5,
        "atoms": {
            "lattice_mat": [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]],
            "coords": [[0, 0, 0], [0.5, 0.5, 0.5]], "elements": ["Cs", "Cl"], "cartesian": False,
        },
    }
]  # fmt: skip


def write_good(folder: Path, *, models: bool = True) -> None:
    """Write good inputs of every kind to a folder, one subfolder each; models: and a trained run."""
    some = small_dataset()
    _write_cifs(folder / "cif", some)
    for name, data in (("poscar/POSCAR", POSCAR), ("table/props.csv", TABLE)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    _write_archives(folder, some)
    (folder / "parquet").mkdir()
    some.write(folder / "parquet" / "data.parquet")
    if models:
        _write_models(folder)


def small_dataset(n_crystals: int = 8) -> Dataset:
    """The smallest crystals of the elastic set."""
    data = Dataset.read("elastic")
    sizes = [len(data.crystal(row)) for row in range(200)]
    return data.select(sorted(range(200), key=sizes.__getitem__)[:n_crystals])


def symmetric_cif(group: str, cell: str, sites: str) -> str:
    """A CIF with a space group's name and the asymmetric unit."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [f"_cell_{name} {value}" for name, value in zip(names, cell.split(), strict=True)]
    loop = ["loop_", "_atom_site_label", "_atom_site_type_symbol", *(f"_atom_site_fract_{x}" for x in "xyz")]
    return "\n".join(["data_x", f"_space_group_name_H-M_alt '{group}'", *lines, *loop, sites, ""])


def _write_cifs(folder: Path, some: Dataset) -> None:
    folder.mkdir(parents=True)
    for path in (TESTS / "data" / "cif").glob("*.cif"):
        shutil.copy(path, folder)
    for name, made in MADE_BY_SYMMETRY.items():
        (folder / f"{name}.cif").write_text(symmetric_cif(*made), encoding="utf-8")
    for row, name in enumerate(some.ids[:2]):
        (folder / f"{name}.cif").write_text(cif_text(some.crystal(row), name), encoding="utf-8")


def _write_archives(folder: Path, some: Dataset) -> None:
    import numpy as np

    from .damage import json_bytes

    three = some.select(range(3))
    for kind in ("json", "extxyz", "npz", "msgpack"):
        (folder / kind).mkdir()
    export_pymatgen_list(three, folder / "json" / "list.json")
    export_matbench(three, folder / "json" / "matbench.json.gz")
    export_rcgcnn(three, folder / "json" / "cifs.json")
    export_rcgcnn(three, folder / "msgpack" / "cifs.msgpack")
    for name, value in (("optimade", OPTIMADE), ("jarvis", JARVIS)):
        (folder / "json" / f"{name}.json").write_bytes(json_bytes(value))
    packed = folder / "json" / "matbench.json.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    export_extxyz(three, folder / "extxyz" / "three.extxyz")
    arrays = three.arrays
    np.savez(
        folder / "npz" / "structures.npz",
        ids=np.array(three.ids), offsets=arrays.offsets, numbers=arrays.numbers,
        lattice=arrays.lattices, frac=arrays.frac_coords,
    )  # fmt: skip


def _write_models(folder: Path) -> None:
    from training_runs import SMALL

    import crystallite

    (folder / "model").mkdir()
    small_dataset(40).write(folder / "model" / "data.parquet")
    run = folder / "model" / "run"
    crystallite.train(
        folder / "model" / "data.parquet", "bulk_modulus", out=run,
        **{**SMALL, "epochs": 1, "atom_width": 8, "hidden_width": 8, "n_convolutions": 1},
    )  # fmt: skip
    shutil.copy(run / "best.safetensors", folder / "model" / "model.safetensors")
    shutil.copy(
        TESTS / "golden" / "formation-energy-per-atom.pth.tar", folder / "model" / "published.pth.tar"
    )
