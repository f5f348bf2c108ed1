"""The commands that there are."""

from __future__ import annotations

import click

from crystallite.cli import cli


def commands(group=cli, path=()):
    """Every command there is, groups included: its words and its click command."""
    context = click.Context(group)
    yield path, group
    for name in group.list_commands(context) if isinstance(group, click.Group) else ():
        yield from commands(group.get_command(context, name), (*path, name))
