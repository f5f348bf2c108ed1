"""The command line. Each command lives in its own file and is imported when it is called."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from contextlib import suppress
from typing import Any, cast

import click

from .. import __version__
from ..errors import CrystalliteError
from .streams import open_closed_streams, reason_of

# Command -> (its file in this package, one line for --help). Importing only what runs keeps --help instant.
COMMANDS = {
    "data": ("data", "List, inspect, import and export datasets."),
    "train": ("train", "Train a model on a dataset."),
    "predict": ("predict", "Predict properties of crystals with a ready, trained or published model."),
    "screen": ("screen", "Predict millions of crystals, each material once, and list the best."),
    "embed": ("embed", "Vectors of crystals or atoms, from a model."),
    "descriptors": ("descriptors", "Numbers that describe crystals: composition, cell, bonds."),
    "models": ("models", "List, inspect and export the models that come with Crystallite."),
    "serve": ("serve", "Open a page with all models, and answer programs."),
    "tune": ("tune", "Search for the settings with the smallest validation error."),
    "learning-curve": ("learning_curve", "Measure the error against the number of training crystals."),
    "verify": ("verify", "Repeat a training run and compare it bit for bit."),
}


class LazyGroup(click.Group):
    """A click group that imports a command's module only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".{COMMANDS[cmd_name][0]}", __name__)
        command: click.Command = module.command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "" in args:  # for a path it would mean the folder one is in
            before = ["", *args][args.index("")]
            place = before if before.startswith("-") else f"argument {args.index('') + 1}"
            raise CrystalliteError(f"{place}: the name is empty; is it a variable that is not set?")
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="crystallite")
def cli() -> None:
    """Properties of crystals from their structure.

    \b
    Start here:
      crystallite predict all my.cif                      every property, by ready models
      crystallite data list                               built-in datasets
      crystallite train formation --target formation_energy_per_atom
      crystallite predict RUN my-cifs/ -o predictions.csv
    """


def main(args: list[str] | None = None) -> Any:
    """Run the command line; problems the user can act on are printed without a traceback."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # Arrow's own keeps what was given back
    with warnings.catch_warnings():
        _show_in_one_line()
        open_closed_streams()
        try:
            try:
                return cli.main(args=args, prog_name="crystallite", standalone_mode=True)
            finally:
                sys.stdout.flush()
        except CrystalliteError as error:
            reason = str(error)
        except OSError as error:
            reason = reason_of(error)
        if reason:
            with suppress(OSError):
                click.echo(f"Error: {reason}", err=True)
        sys.exit(1)


def _show_in_one_line() -> None:
    """Print what the library warns of as a notice, without the place in its source."""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
        if issubclass(category, UserWarning):
            click.echo(f"Notice: {message}", err=True)
        else:
            usual(message, category, *place)

    warnings.showwarning = cast(Any, show)
