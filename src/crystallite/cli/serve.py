"""`crystallite serve`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from .paths import INPUT


@click.command()
@click.argument("runs", nargs=-1, type=INPUT, metavar="[RUN...]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8765, show_default=True, help="Port to listen on."
)
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that answer."
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name under which browsers ask this server, such as crystals.example.org; repeatable.",
)
@click.option(
    "--open-to-all",
    is_flag=True,
    help="Let other machines in without a token, where --host is not of this machine alone.",
)
def command(
    runs: tuple[Path, ...], host: str, port: int, workers: int, hosts: tuple[str, ...], open_to_all: bool
) -> None:
    """Open a page with all models on this machine, and answer programs.

    \b
    Examples:
      crystallite serve
      crystallite serve runs/
      CRYSTALLITE_TOKEN=... crystallite serve --host 0.0.0.0 --allow-host crystals.example.org

    RUN is a run folder or a folder of them [default: runs, if it is there]; their models predict beside those
    that come with Crystallite, and their learning curves are shown while they train. Nothing that is sent is
    written to disk. A token in CRYSTALLITE_TOKEN must be known by whoever asks. Ctrl-C stops.
    """
    from ..serve.server import serve
    from ..serve.settings import ServeSettings

    token = os.environ.get("CRYSTALLITE_TOKEN", "")
    folders = tuple(str(run) for run in runs) or (("runs",) if Path("runs").is_dir() else ())
    settings = ServeSettings(host, port, token, open_to_all, hosts, folders, workers)

    def tell() -> None:
        shown = "localhost" if settings.is_local else settings.host
        secret = f"#token={token}" if token and sys.stderr.isatty() else ""  # none in a log
        click.echo(f"http://{shown}:{port}/{secret}  (Ctrl-C stops)", err=True)

    serve(settings, tell)
