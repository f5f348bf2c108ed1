"""Command lines with absurd words: all commands but those that ask servers or start processes."""

from __future__ import annotations

from pathlib import Path
from random import Random

import click

from crystallite.cli import cli

ABSURD = [
    *(
        "",
        " ",
        "-",
        "--",
        "-1",
        "0",
        "1",
        "3",
        "1e308",
        "nan",
        "inf",
        "-inf",
        "9" * 30,
        "0x10",
        "1_0",
        "½",
        "é",
    ),
    *(
        ".",
        "..",
        "../x",
        "a/b",
        "x" * 300,
        "x" * 5000,
        "*",
        "[",
        "**",
        "=",
        "a=",
        "=b",
        "a=b",
        "x:log10",
        "x:",
    ),
    *(
        "80/10/10",
        "0/0/0",
        "1/1/1",
        "-1/2/3",
        "fold 1 of 0",
        "1e9/1/1",
        "None",
        "true",
        "cpu",
        "cuda:99",
        "meta",
    ),
    *(
        "bulk_modulus",
        "material_id",
        "missing.parquet",
        "missing.toml",
        "words.json",
        "$HOME",
        "%s",
        "\udcff",
    ),
]
SETTINGS = (
    *("atom_width", "hidden_width", "n_convolutions", "n_hidden", "n_neighbors", "cutoff", "gaussian_step"),
    *("gaussian_stop", "batch_size", "momentum", "warmup", "milestones", "dropout", "averaging", "patience"),
    *("weight_decay", "loss", "optimizer", "schedule", "ties", "train_limit", "split_seed", "seed", "frozen"),
)
# Options that bound the time of commands which train come last, so that they win.
SHORT = {
    ("train",): ["--epochs", "1"],
    ("tune",): ["--epochs", "1", "--trials", "1"],
    ("learning-curve",): ["--epochs", "1", "--size", "8"],
}
# Long work by right, and what asks servers.
NEVER = {"members", "folds", "trials", "epochs", "parallel", "workers", "track", "storage"}
LEFT_OUT = {"fetch", "screen", "serve"}


def command_line(good: Path, rng: Random) -> list[str]:
    """Return the words of a command that is right but for one to three of its options or arguments."""
    path, command = rng.choice(commands())
    words = list(path)
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option) and p.name not in NEVER]
    for argument in arguments:
        words.append(_argument(argument, good, rng))
    for option in options:
        if option.required and rng.random() < 0.95:
            words += [option.opts[0], rng.choice(("out.parquet", "out.csv", "out", "bulk_modulus"))]
    if path[0] in ("train", "tune", "learning-curve") and rng.random() < 0.8:
        words += ["--target", "bulk_modulus"]
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        words += _absurd(rng.choice(options), rng) if options else [rng.choice(ABSURD)]
    return words + SHORT.get(path, [])


def commands() -> list[tuple[tuple[str, ...], click.Command]]:
    """Return every command with the words that call it, in order."""
    found: list[tuple[tuple[str, ...], click.Command]] = []

    def visit(path: tuple[str, ...], command: click.Command) -> None:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                if name not in LEFT_OUT:
                    inner = command.get_command(context, name)
                    assert inner is not None
                    visit((*path, name), inner)
        else:
            found.append((path, command))

    visit((), cli)
    return found


def _argument(argument: click.Argument, good: Path, rng: Random) -> str:
    if rng.random() < 0.15:
        return rng.choice(ABSURD)
    places = {
        "model": ("model/model.safetensors", "model/run", "cif"),
        "run": ("model/run", "model"),
        "source": ("cif", "cif/rock_salt.cif", "json/list.json", "npz/structures.npz", "poscar"),
    }
    default = ("model/data.parquet", "parquet/data.parquet", "cif", "table/props.csv")
    return str(good / rng.choice(places.get(str(argument.name), default)))


def _absurd(option: click.Option, rng: Random) -> list[str]:
    name = rng.choice(option.opts)
    if option.is_flag:
        return [name]
    if option.name == "settings":
        return [name, f"{rng.choice((*SETTINGS, rng.choice(ABSURD)))}={rng.choice(ABSURD)}"]
    if isinstance(option.type, click.Choice) and rng.random() < 0.7:
        return [name, rng.choice(list(option.type.choices))]
    return [name, rng.choice(ABSURD)]
