"""Options that training commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from .paths import INPUT, OutputFolder

Command = TypeVar("Command", bound=Callable[..., Any])
# Settings of [model] that every file of a run or a search has had; a file with all of them is a complete one.
_SHAPE = {"atom_width", "n_convolutions", "hidden_width", "n_hidden"}

_TARGET = click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="Property to learn, NAME or NAME:log10; repeat for several.",
)
_OPTIONS = [
    click.option(
        "--task", type=click.Choice(["regression", "classification"]), default="regression", show_default=True
    ),
    click.option("--epochs", type=click.IntRange(1), help="Passes over the training set."),
    click.option("--batch-size", type=click.IntRange(1), help="Crystals per step."),
    click.option("--lr", "learning_rate", type=float, help="Largest learning rate."),
    click.option(
        "--readout",
        type=click.Choice(["pooled", "per-atom"]),
        help="per-atom: linear, the mean of the atoms' contributions.  [default: pooled]",
    ),
    click.option(
        "--convolution",
        type=click.Choice(["gated", "plain", "edge-updating"]),
        help="The article's eq. 5 or 4, or with edges that messages update.  [default: edge-updating]",
    ),
    click.option(
        "--patience",
        type=click.IntRange(0),
        help="Stop after this many epochs without a better validation error.",
    ),
    click.option(
        "--split",
        default="80/10/10",
        show_default=True,
        metavar="TRAIN/VAL/TEST",
        help="Percentages, fractions or numbers of crystals.",
    ),
    click.option(
        "--split-column", default="", metavar="NAME", help="Column that says train, validation or test."
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="Any other setting of config.toml, e.g. --set n_convolutions=4.",
    ),
    click.option(
        "--config",
        type=INPUT,
        metavar="FILE.toml",
        help="Settings of tune's best.toml or of a run's config.toml; options given here override them.",
    ),
    click.option("--weight-column", default="", metavar="NAME", help="Column of sample weights."),
    click.option(
        "--freeze",
        "frozen",
        multiple=True,
        metavar="PART",
        help="Part of the network to keep fixed: embedding, convolutions.0, ...; repeatable.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Seed of the split and of the training run.",
    ),
    click.option(
        "--workers", type=click.IntRange(1), default=1, show_default=True, help="Threads that build graphs."
    ),
    click.option("--device", default="cpu", show_default=True, help="Device of the network: cpu, cuda, ..."),
    click.option(
        "--out",
        type=OutputFolder(),
        metavar="RUN",
        help="Run folder.  [default: runs/DATA-TARGET-N]",
    ),
    click.option(
        "--track",
        type=click.Choice(["tensorboard", "mlflow", "clearml"]),
        multiple=True,
        help="Show the training run in this tracker too; repeatable.",
    ),
    click.option(
        "--parallel",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Training runs at the same time, where there are several.",
    ),
]


def training_options(*, automatic: bool) -> Callable[[Command], Command]:
    """Add the options that say what to train and how.

    automatic: whether the recipe, and the model to start from, may be auto.
    """
    options = [_TARGET, _recipe(automatic), _start(automatic), *_OPTIONS]

    def with_options(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return with_options


def _recipe(automatic: bool) -> Callable[[Command], Command]:
    auto = (
        " auto: the mean of modern and small, or one of them, whichever validates best." if automatic else ""
    )
    return click.option(
        "--recipe",
        type=click.Choice(["modern", "paper", "small", *(["auto"] if automatic else [])]),
        default="modern",
        show_default=True,
        help="modern: chosen by measurement. paper: the published code's defaults. small: a kernel machine "
        f"on descriptors, for some hundred crystals.{auto}",
    )


def _start(automatic: bool) -> Callable[[Command], Command]:
    auto = " auto: a ready model, unless a network trained anew validates better." if automatic else ""
    text = f"Fine-tune this model (any that predict takes).{auto}"
    return click.option("--from", "start_from", metavar="MODEL", help=text)


def only_target(data: str) -> str:
    """Return the only property of a dataset, or tell which there are to choose from."""
    from ..sources.resolver import read_dataset

    properties = read_dataset(data).properties
    if len(properties) != 1:
        raise click.UsageError(
            f"choose a property with --target; {data} has: {', '.join(properties) or 'none'}"
        )
    return properties[0]


def settings_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return keyword arguments of `train`: options left out keep the recipe's values.

    A file given with --config has all settings, so what has no effect beside the options is not meant.
    """
    from ..settings.effects import with_effect

    chosen = {
        name: value
        for name, value in options.items()
        if value not in (None, ()) and name not in ("settings", "config")
    }
    assigned = _assigned(options["settings"])
    twice = sorted(name for name in assigned if name in options and is_given(name))
    if twice:
        raise click.UsageError(f"{', '.join(twice)}: given by --set and by an option; leave one of them out")
    if options.get("config") and is_given("recipe") and options["recipe"] != "auto":
        raise click.UsageError("--recipe has no effect beside --config, which has all settings: leave it out")
    if not options.get("config"):
        return {**chosen, **assigned}
    of_file = {name: value for name, value in _settings_in(options["config"]).items() if not is_given(name)}
    values = {**chosen, **of_file, **assigned}
    idle = of_file.keys() - assigned.keys() - with_effect(of_file, values).keys()
    return {name: value for name, value in values.items() if name not in idle}


def _assigned(assignments: Sequence[str]) -> dict[str, Any]:
    """Read the NAME=VALUE of --set."""
    from ..settings.recipes import setting_names

    known = setting_names() | {"split_seed", "train_limit"}
    assigned = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes NAME=VALUE, not {assignment!r}")
        if name.strip() not in known:
            raise click.UsageError(f"--set {assignment}: settings are {', '.join(sorted(known))}")
        if name.strip() in assigned:
            raise click.UsageError(f"--set {assignment}: {name.strip()} is set twice")
        assigned[name.strip()] = _parsed(text.strip())
    return assigned


def is_given(name: str) -> bool:
    """Whether an option was written on the command line."""
    source = click.get_current_context().get_parameter_source(name)
    return source not in (None, click.core.ParameterSource.DEFAULT)


def _settings_in(path: Path) -> dict[str, Any]:
    """Read the settings of a best.toml or config.toml; what it was trained on is left to the options."""
    import tomllib

    from ..errors import CrystalliteError

    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        settings: dict[str, Any] = tables["graph"] | tables["model"] | tables["training"]
    except (OSError, ValueError, RecursionError) as error:  # ValueError: TOML's errors, and bad UTF-8
        raise CrystalliteError(f"cannot read settings from {path}: {error}") from error
    except (KeyError, TypeError) as error:
        raise CrystalliteError(f"{path} needs the tables [graph], [model] and [training]") from error
    settings.pop("n_outputs", None)  # follows from the targets
    if settings.keys() >= _SHAPE:
        # Complete: without angles it is from before there were any.
        settings.setdefault("angles", "none")
    if settings.pop("method", "network") == "kernel":
        from ..settings.effects import OF_KERNELS

        return {"recipe": "small"} | {name: settings[name] for name in OF_KERNELS & settings.keys()}
    return settings


def _parsed(text: str) -> Any:
    """Read a TOML value; anything else is taken as text."""
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
