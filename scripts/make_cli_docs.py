"""Write docs/cli.md from the commands' own help.

python scripts/make_cli_docs.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from crystallite.cli import cli

HEAD = """# Command line

Made from the commands' own help by `python scripts/make_cli_docs.py`. Every command answers `--help`.
"""


def main() -> None:
    path = Path(__file__).parents[1] / "docs" / "cli.md"
    path.write_text(document(), encoding="utf-8")


def document() -> str:
    """Return the page."""
    context = click.Context(cli, info_name="crystallite")
    return HEAD + "".join(f"\n## {name}\n\n```text\n{text}\n```\n" for name, text in help_pages(cli, context))


def help_pages(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Yield the path and the help of a command and of those below it."""
    context.max_content_width = context.terminal_width = 100
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from help_pages(below, click.Context(below, info_name=name, parent=context))


if __name__ == "__main__":
    main()
