"""`crystallite data fetch NAME` for the named public sets, one command each."""

from __future__ import annotations

from pathlib import Path

import click

from ..sources.web.public_sets import PUBLIC_SETS, PublicSet
from .paths import DATASET, OutputFolder


def commands() -> list[click.Command]:
    """Return a command for every public set."""
    return [_command(name, public) for name, public in PUBLIC_SETS.items()]


def _command(name: str, public: PublicSet) -> click.Command:
    default = name if public.kind == "models" else f"{name}.parquet"
    option = click.Option(
        ["-o", "--output"],
        type=OutputFolder() if public.kind == "models" else DATASET,
        default=default,
        show_default=True,
        help="The folder for the files." if public.kind == "models" else "The .parquet file to write.",
    )
    text = (
        f"{public.summary}\n\nLicence: {public.licence}.\n\nCite: {public.citation}.\n\n"
        "From "
        + ", ".join(file.address for file in public.files)
        + "; or from CRYSTALLITE_MIRROR, an address or a folder with the files, if that is set."
    )
    return click.Command(
        name,
        callback=lambda output: _fetch(name, output),
        params=[option],
        help=text,
        short_help=public.summary,
    )


def _fetch(name: str, output: Path) -> None:
    from ..files.caching import cache_folder
    from ..sources.web.public import fetch_public

    public = PUBLIC_SETS[name]
    fetched = fetch_public(name, output, cache=cache_folder())
    if isinstance(fetched, list):
        for path in fetched:
            click.echo(str(path))
    else:
        for notice in fetched.notices:
            click.echo(f"Notice: {notice}", err=True)
        dataset = fetched.dataset
        names = ", ".join([*dataset.properties, *dataset.label_names])
        click.echo(f"{output}: {len(dataset):,} crystals; {names}")
        if not all(file.sha256 for file in public.files):
            click.echo(f"No checksum is known for it; SHA-256 of the download: {dataset.metadata['sha256']}")
    click.echo(f"Licence: {public.licence}\nCite: {public.citation}")
