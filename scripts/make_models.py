"""Train the models that come with the package, and write their files and cards; resumed where it stopped.

    python scripts/make_models.py mp36k_crysxpp perov5 OUT [--only electronic elastic]

`mp36k_crysxpp` holds structures.npz and props.csv of the article's crystals (docs/data.md), `perov5` the CSV
files of the perovskites. OUT gets datasets and training runs; the models go to src/crystallite/data/models.
It takes some four hours on one thread of a Xeon at 2.5 GHz, and 1.2 on one of a Xeon with AMX; run it again
after an interruption.
"""

from __future__ import annotations

import argparse
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from model_card import Tested, card_of
from model_data import SET, Target, crystallite_command, in_test, make_datasets

from crystallite.datasets.dataset import Dataset
from crystallite.graphs.store import dataset_graphs
from crystallite.models.bundle import Bundle, write_bundle
from crystallite.models.held_out import measured_reliability
from crystallite.models.loading import load_bundle
from crystallite.models.ready import FOLDER
from crystallite.runs.folder import RunConfig
from crystallite.training.preparation import prepare
from crystallite.training.run_split import read_split

DESCRIPTION = Path(__file__).with_name("models.toml")
Recipe = dict[str, Any]  # a file of models.toml, with `about`, `licence` and `split` of its data


def recipes() -> tuple[list[Recipe], int]:
    """Return the files to make, and the number of members of each."""
    described = tomllib.loads(DESCRIPTION.read_text())
    return described["files"], described["members"]


def train(recipe: Recipe, members: int, out: Path) -> str:
    """Train the members that are missing, and return the command."""
    targets = [word for one in recipe["properties"].values() for word in ("--target", one["target"])]
    words = [*targets, "--split-column", SET, "--members", members, *recipe.get("options", [])]
    folder, data = out / "runs" / recipe["name"], f"{recipe['data']}.parquet"
    if not folder.exists():
        crystallite_command("train", out / data, *words, "--out", folder)
    elif not (folder / "summary.json").exists():
        crystallite_command("train", "--resume", folder)
    return " ".join(map(str, ["train", data, *words]))


def pack(recipe: Recipe, out: Path, command: str, targets: list[Target]) -> Path:
    """Write the file of a trained ensemble, with what it got wrong and its card."""
    dataset = Dataset.read(out / f"{recipe['data']}.parquet")
    folder = out / "runs" / recipe["name"]
    trained = load_bundle(folder)
    config = RunConfig.read(folder / "member-1")
    split = read_split(folder / "member-1", dataset.ids, config.data)
    values = prepare(dataset, config, split=split).values
    graphs = dataset_graphs(dataset, config.graph)
    reliability = measured_reliability(
        trained.members, graphs, values, dataset.ids, split.train, split.validation
    )
    halved = out / f"{recipe['name']}.safetensors"
    members = [replace(member, info={}) for member in trained.members]  # paths of this machine are in it
    write_bundle(halved, Bundle(members, trained.calibrations, reliability), half=True)
    packed = load_bundle(halved)  # in half precision: the card is of what is given away
    tested = Tested(packed, dataset, graphs, split._replace(test=np.flatnonzero(in_test(dataset))))
    card = card_of(recipe, tested, targets, folder, command)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / halved.name
    write_bundle(path, Bundle(packed.members, packed.calibrations, packed.reliability, card), half=True)
    return path


def main() -> None:
    files, members = recipes()
    names = [recipe["name"] for recipe in files]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mp36k", type=Path, help="folder with structures.npz and props.csv")
    parser.add_argument("perov5", type=Path, help="folder with the perovskites of CDVAE")
    parser.add_argument("out", type=Path, help="folder of datasets and runs")
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="FILE")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    targets = make_datasets(options.mp36k, options.perov5, options.out)
    for recipe in files:
        if recipe["name"] in options.only:
            command = train(recipe, members, options.out)
            path = pack(recipe, options.out, command, targets[recipe["data"]])
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
