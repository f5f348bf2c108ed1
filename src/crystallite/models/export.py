"""A model as a folder to give away: one file, and the README.md that the Hugging Face hub shows."""

from __future__ import annotations

from pathlib import Path

from ..files.writing import write_text
from .bundle import write_bundle
from .card import hub_readme
from .loading import load_bundle


def export_model(model: str | Path, folder: Path) -> list[Path]:
    """Write any model to `folder`, which is made; return the files."""
    bundle = load_bundle(model)
    folder.mkdir(parents=True, exist_ok=True)
    targets = bundle.members[0].targets
    file, readme = folder / "model.safetensors", folder / "README.md"
    write_bundle(file, bundle)
    columns = dict(zip(targets.names, targets.units, strict=True))
    write_text(readme, hub_readme(bundle.card, columns))
    return [file, readme]
