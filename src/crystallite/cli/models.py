"""`crystallite models`."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import printable
from .paths import MODEL, OutputFolder


@click.group()
def command() -> None:
    """List, inspect and export the models that come with Crystallite.

    They need no training and no network: `crystallite predict band_gap my.cif`, or `all` for every property.
    """


@command.command("list")
def list_models() -> None:
    """List the models that come with Crystallite."""
    from ..models.card import main_error
    from ..models.ready import ready_models

    for name, model in ready_models().items():
        facts = model.of_property
        click.echo(f"{name:<28} {facts['about']}; test error {main_error(facts)}")


@command.command("show")
@click.argument("name", type=MODEL)
def show(name: str) -> None:
    """Show the card of a model: data, errors, where it fails, how it was made.

    NAME is one that `models list` shows, or a .safetensors file.
    """
    from ..models.card import card_text
    from ..models.loading import load_bundle
    from ..models.ready import ready_models, ready_name

    ready = ready_name(name)
    card = load_bundle(name).card if ready is None else ready_models()[ready].card
    if not card:
        raise click.ClickException(f"{name} has no card: only models that come with Crystallite have one")
    for line in card_text(card, [ready] if ready else None).splitlines():
        click.echo(printable(line))


@command.command("export")
@click.argument("model", type=MODEL)
@click.argument("folder", type=OutputFolder())
@click.option(
    "--without-training-data",
    is_flag=True,
    help="Leave out ids and values of the training crystals, which --neighbours shows.",
)
def export(model: str, folder: Path, without_training_data: bool) -> None:
    """Write MODEL to FOLDER as one file, with the README.md that the Hugging Face hub shows.

    MODEL is anything that predict takes: a name, a run folder, an ensemble. The file of a model holds ids and
    values of its training crystals, those of run folders too.
    """
    from ..models.export import export_model

    for path in export_model(model, folder, training_data=not without_training_data):
        click.echo(str(path))
