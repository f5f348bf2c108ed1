"""A model as a folder to give away: one file, and the README.md that the Hugging Face hub shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..files.writing import write_text
from .bundle import check_shapes, write_bundle
from .card import hub_readme
from .loading import load_bundle


def export_model(model: str | Path, folder: Path, *, training_data: bool = True) -> list[Path]:
    """Write any model to `folder`, which is made; return the files.

    training_data: whether ids and values of the training crystals are in the file.
    """
    bundle = load_bundle(model)
    if bundle.reliability is not None and not training_data:
        bundle = replace(bundle, reliability=bundle.reliability.without_training_data())
    check_shapes(bundle)
    folder.mkdir(parents=True, exist_ok=True)
    targets = bundle.members[0].targets
    file, readme = folder / "model.safetensors", folder / "README.md"
    write_bundle(file, bundle)
    columns = dict(zip(targets.names, targets.units, strict=True))
    write_text(readme, hub_readme(bundle.card, columns))
    return [file, readme]
