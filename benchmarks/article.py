"""The article's table with Crystallite's default settings and with searched ones; runs are resumed.

    python benchmarks/article.py mp36k_crysxpp perov5 article

`article` is the folder of datasets, searches and runs. Each run that has ended gets its row in
docs/article.csv, from which the table of docs/article.md is made. Run the command again after an
interruption: what has ended is not run again, and what had begun is resumed. `--only` runs some of the rows.
Everything together takes some 30 hours on one thread; each run says how long it took.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from article_table import Result, add_result, without_angles

from crystallite.datasets.dataset import Dataset

# Target -> its column and unit; values of 2018 where there are any, of 2023 (GGA and GGA+U) otherwise.
COLUMNS = {
    "formation_energy_per_atom": ("formation_energy_per_atom_crysxpp", "eV/atom"),
    "energy_per_atom": ("energy_per_atom_gga2023", "eV/atom"),  # with corrections
    "band_gap": ("band_gap_mp2018", "eV"),
    "fermi_energy": ("efermi_gga2023", "eV"),
    "poisson_ratio": ("homogeneous_poisson_gga2023", None),
}
LOGARITHMS = {"log10_bulk_modulus": "k_vrh_mp2018", "log10_shear_modulus": "g_vrh_mp2018"}
MODULI = ("log10_bulk_modulus", "log10_shear_modulus", "poisson_ratio")
EPOCHS = 100  # of a run by default
SPACE = Path(__file__).with_name("article_space.toml")


class Row(NamedTuple):
    """A training run: its name, dataset, target, sets, and what differs from the default settings.

    trials: of a search for settings before it; 0 for the default settings. trial_epochs: of each of them.
    trial_split: its sets; it must leave to the test what the run validates and tests on.
    """

    name: str
    data: str
    target: str
    split: str
    options: tuple[str, ...] = ()
    trials: int = 0
    trial_epochs: int = EPOCHS
    trial_split: str = ""

    def searched(self, trial_split: str) -> Row:
        """Return the row after a short search with a quarter of its training set: a full trial takes long.

        Splits of one seed begin with the test set, so a larger one holds the row's test and validation sets.
        """
        return self._replace(name=f"{self.name}-search", trials=20, trial_epochs=30, trial_split=trial_split)

    def without_angles(self) -> Row:
        """Return the row of a network that knows the lengths of bonds alone."""
        return self._replace(name=without_angles(self.name), options=(*self.options, "--set", "angles=none"))


BAND_GAP = Row("band_gap", "gaps", "band_gap", "60/20/20")
PEROVSKITES = Row("perovskites", "perovskites", "heat_ref", "15000/1964/1964")
FORMATION_ENERGY = Row("formation_energy", "mp36k", "formation_energy_per_atom", "28046/4345/4346")
FERMI_ENERGY = Row("fermi_energy", "mp36k", "fermi_energy", "28046/4136/4136")
ENERGY = Row("energy", "mp36k", "energy_per_atom", "28046/4136/4136")
METAL = Row("metal", "mp36k", "is_metal", "28046/4345/4346", ("--task", "classification"))
WITH_DEFAULTS = [
    *(
        Row(f"{target}-{seed}", "moduli", target, "60/20/20", ("--seed", str(seed)))
        for target in MODULI
        for seed in range(3)
    ),
    BAND_GAP,
    FORMATION_ENERGY,
    PEROVSKITES,
    PEROVSKITES._replace(name="perovskites-per-atom", options=("--readout", "per-atom")),
    FERMI_ENERGY,
    ENERGY,
    METAL,
    FORMATION_ENERGY._replace(name="formation_energy-300", options=("--epochs", "300")),
    FORMATION_ENERGY._replace(name="formation_energy-members", options=("--members", "5")),
]
ROWS = [
    *WITH_DEFAULTS,
    *(Row(f"{target}-search", "moduli", target, "60/20/20", trials=40) for target in MODULI),
    PEROVSKITES.searched("3750/1964/13214"),
    BAND_GAP.searched("15/20/65"),
    FORMATION_ENERGY.searched("7012/4345/25380"),
    FERMI_ENERGY.searched("7012/4136/25170"),
    ENERGY.searched("7012/4136/25170"),
    METAL.searched("7012/4345/25380"),
    *(row.without_angles() for row in WITH_DEFAULTS),
]


def with_targets(imported: Dataset) -> Dataset:
    """Return the crystals with the article's properties; a modulus that is not positive has no logarithm."""
    dataset = Dataset.from_arrays(imported.arrays, imported.ids, name="mp36k")
    for target, (column, unit) in COLUMNS.items():
        dataset = dataset.with_property(target, imported.values(column), unit)
    for target, column in LOGARITHMS.items():
        moduli = imported.values(column)
        positive = np.where(moduli > 0, moduli, np.nan)
        dataset = dataset.with_property(target, np.log10(positive), "log10(GPa)")
    return dataset.with_property("is_metal", dataset.values("band_gap") == 0)


def make_datasets(mp36k: Path, perov5: Path, out: Path) -> None:
    """Write the datasets that are not there yet."""
    for source, name in ((mp36k, "imported"), (perov5, "perovskites")):
        if not (out / f"{name}.parquet").exists():
            crystallite_command("data", "import", source, "-o", out / f"{name}.parquet")
    path = out / "mp36k.parquet"
    if not path.exists():
        with_targets(Dataset.read(out / "imported.parquet")).write(path)
    for name, words in (("gaps", "band-gap"), ("moduli", "elastic")):
        if not (out / f"{name}.parquet").exists():
            crystallite_command("data", "select", path, "--article", words, "-o", out / f"{name}.parquet")


def crystallite_command(*words: object) -> None:
    """Show and run a command of Crystallite; end with it where it fails."""
    print("$ crystallite", *words, flush=True)
    status = subprocess.run([sys.executable, "-m", "crystallite", *map(str, words)]).returncode
    if status:
        sys.exit(status)


def run(row: Row, out: Path) -> Result:
    """Train a row's network, or what is left of its training run, after its search; return what it found."""
    folder, data = out / row.name, out / f"{row.data}.parquet"
    options = ("--target", row.target, "--split", row.split, *row.options)
    if row.trials:
        search = out / f"{row.name}-trials"
        if not folder.exists():
            sets = ("--target", row.target, "--split", row.trial_split or row.split, *row.options)
            words = ("--space", SPACE, "--trials", row.trials, "--epochs", row.trial_epochs)
            crystallite_command("tune", data, *sets, *words, "--out", search)
        options = (*options, "--config", search / "best.toml", "--epochs", EPOCHS)
    if not folder.exists():
        crystallite_command("train", data, *options, "--out", folder)
    elif not (folder / "summary.json").exists():
        crystallite_command("train", "--resume", folder)
    summary = json.loads((folder / "summary.json").read_text())
    figures = summary["targets"][row.target]
    error = figures["test_auc"] if "test_auc" in figures else figures["test_mae"]
    seconds = summary.get("training_seconds")
    return Result(row.name, error, summary["n_train"], None if seconds is None else seconds / 3600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mp36k", type=Path, help="folder with structures.npz and props.csv of mp36k_crysxpp")
    parser.add_argument("perov5", type=Path, help="folder with the perovskites of CDVAE")
    parser.add_argument("out", type=Path, help="folder of datasets, searches and runs")
    parser.add_argument("--only", nargs="+", default=[row.name for row in ROWS], metavar="ROW")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    make_datasets(options.mp36k, options.perov5, options.out)
    for row in ROWS:
        if row.name in options.only:
            add_result(run(row, options.out))


if __name__ == "__main__":
    main()
