"""Which settings a search tries and where it looks: read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..errors import CrystalliteError
from ..settings.config import Task
from ..settings.effects import CONDITIONS, with_effect
from ..settings.recipes import check_setting, configure, setting_names, setting_values

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

# What `crystallite tune` searches, and prints with --print-space. See docs/tuning.md.
DEFAULT_SPACE = """\
# NAME = { low, high } with `log = true` or `step = ...`, a list of choices, or one value for all trials.
# Settings that are not named keep the values of the recipe. Any setting of config.toml may be searched.
n_convolutions = { low = 1, high = 5 }
atom_width = { low = 32, high = 128, step = 16 }
hidden_width = { low = 32, high = 256, step = 32 }
n_hidden = { low = 1, high = 3 }
n_neighbors = { low = 8, high = 16, step = 4 }
optimizer = ["adamw", "sgd"]
learning_rate = { low = 0.001, high = 0.1, log = true }
weight_decay = { low = 1e-6, high = 0.1, log = true }
batch_size = { low = 64, high = 256, step = 64 }
loss = ["mae", "mse", "huber"]
"""
# The same in every trial, or their errors could not be compared: given on the command line.
_OF_THE_STUDY = {"epochs": "--epochs", "seed": "--seed"}


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included.

    Attributes:
        low: the smallest.
        high: the largest.
        log: whether they are drawn evenly on a logarithmic scale.
        step: distance from one to the next; None: any number in between.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __contains__(self, value: float) -> bool:
        if not self.low <= value <= self.high:
            return False
        return self.step is None or abs((value - self.low) / self.step % 1 - 0.5) > 0.5 - 1e-9


@dataclass(frozen=True)
class SearchSpace:
    """Settings of graph, network and training that a search varies, and those it fixes.

    Attributes:
        searched: setting -> the range of its values, or a tuple of choices.
        fixed: setting -> its value in all trials.
    """

    searched: dict[str, Range | tuple[Any, ...]]
    fixed: dict[str, Any]

    @classmethod
    def default(cls, task: Task = "regression") -> Self:
        """Return the space that `crystallite tune --print-space` prints.

        Args:
            task: `regression` or `classification`; settings that have no effect on it, such as the loss in
                classification, are left out.

        Returns:
            The default space.
        """
        space = cls.parse(DEFAULT_SPACE, "the default space")
        return cls(with_effect(space.searched, recipe_values(task)), {})

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a space from a TOML file.

        Args:
            path: the file, laid out as `crystallite tune --print-space` prints it.

        Returns:
            The space.

        Raises:
            CrystalliteError: if the file cannot be read, or for a mistake in it, saying which.
        """
        try:
            return cls.parse(Path(path).read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise CrystalliteError(f"cannot read the search space {path}: {error}") from error

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Read a space from TOML text.

        Args:
            text: laid out as `crystallite tune --print-space` prints it.
            source: what errors call it.

        Returns:
            The space.

        Raises:
            CrystalliteError: for a mistake in the text, saying which.
        """
        try:
            table = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # ValueError: TOML's own, and numbers too long to read
            raise CrystalliteError(f"{source}: {error}") from error
        try:
            return cls.from_dict(table)
        except CrystalliteError as error:
            raise CrystalliteError(f"{source}: {error}; example: crystallite tune --print-space") from error

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> Self:
        """Build a space from a dictionary.

        Args:
            table: setting -> {"low": ..., "high": ...} with "log" or "step", a list of choices, or one value
                for all trials.

        Returns:
            The space.

        Raises:
            CrystalliteError: for an unknown setting, a value outside its limits, or if nothing is searched.
        """
        searched: dict[str, Range | tuple[Any, ...]] = {}
        fixed: dict[str, Any] = {}
        for name, entry in table.items():
            if name in _OF_THE_STUDY:
                raise CrystalliteError(f"{name} is the same for all trials: use {_OF_THE_STUDY[name]}")
            if isinstance(entry, dict) and name in setting_names():
                searched[name] = _range(name, entry)
            elif isinstance(entry, list) and not isinstance(recipe_values().get(name), tuple):
                searched[name] = _choices(name, entry)
            else:
                check_setting(name, entry)
                fixed[name] = entry
        if not searched:
            raise CrystalliteError("nothing to search: no setting has a range or choices")
        return cls(searched, fixed)

    def to_dict(self) -> dict[str, Any]:
        """Return the space as a dictionary.

        Returns:
            {"searched": setting -> choices or [low, high, log, step], "fixed": setting -> value}; equal for
            equal spaces.
        """
        plain = {
            name: list(where) if isinstance(where, tuple) else [where.low, where.high, where.log, where.step]
            for name, where in self.searched.items()
        }
        return {"searched": plain, "fixed": self.fixed}

    def check(self, task: Task) -> None:
        """Check that every setting has an effect somewhere in the space.

        Args:
            task: `regression` or `classification`.

        Raises:
            CrystalliteError: if one has none; it is named.
        """
        values = {**recipe_values(task), **self.fixed}
        for condition in CONDITIONS:
            name, where = condition.setting, self.searched.get(condition.needs)
            possible = where if isinstance(where, tuple) else (values[condition.needs],)
            if (name in self.searched or name in self.fixed) and condition.value not in possible:
                raise CrystalliteError(f"{condition}, which no trial here has: leave {name} out of the space")

    def start(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Return the recipe's values of the searched settings, which the first trial takes.

        Args:
            recipe: all settings -> the value they have where the space says nothing, see `recipe_values`.

        Returns:
            Setting -> value; empty if one of them lies outside the space.
        """
        return {} if self.outside(recipe) else self._searched_of(recipe)

    def outside(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Return the recipe's values that lie outside the space.

        Args:
            recipe: as for `start`.

        Returns:
            Setting -> value; empty if all lie inside.
        """
        values = self._searched_of(recipe)
        return {name: value for name, value in values.items() if value not in self.searched[name]}

    def _searched_of(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        return with_effect({name: recipe[name] for name in self.searched}, {**recipe, **self.fixed})

    def settings(self, params: dict[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings in which a trial departs from the recipe.

        Args:
            params: searched setting -> the trial's value.
            recipe: as for `start`.

        Returns:
            Setting -> value, searched and fixed ones, without those that have no effect.
        """
        chosen = {**self.fixed, **params}
        return with_effect(chosen, {**recipe, **chosen})

    def sample(self, trial: BaseTrial, recipe: Mapping[str, Any]) -> None:
        """Draw a trial's value of every searched setting that has an effect given its other settings.

        Args:
            trial: an Optuna trial, which keeps the values.
            recipe: as for `start`.
        """
        values = {**recipe, **self.fixed}
        conditional = {condition.setting for condition in CONDITIONS}
        for name in sorted(self.searched, key=conditional.__contains__):  # after what they depend on
            if with_effect({name: None}, values):
                values[name] = self.suggest(trial, name)

    def suggest(self, trial: BaseTrial, name: str) -> Any:
        """Return a trial's value of one searched setting."""
        where = self.searched[name]
        if isinstance(where, tuple):
            return trial.suggest_categorical(name, where)
        if isinstance(recipe_values()[name], int):
            low, high, step = int(where.low), int(where.high), int(where.step or 1)
            return trial.suggest_int(name, low, high, log=where.log, step=step)
        return trial.suggest_float(name, where.low, where.high, log=where.log, step=where.step)


def _range(name: str, entry: dict[str, Any]) -> Range:
    unknown = sorted(set(entry) - {"low", "high", "log", "step"})
    if unknown or "low" not in entry or "high" not in entry:
        raise CrystalliteError(
            f"{name}: a range is {{ low = ..., high = ... }} with log or step, not {entry}"
        )
    for value in (entry["low"], entry["high"]):
        check_setting(name, value)
        if isinstance(value, str):
            raise CrystalliteError(f"{name}: a range needs numbers; list choices as [...] ")
    where = Range(**entry)
    if not where.low < where.high:
        raise CrystalliteError(f"{name}: low must be less than high")
    if not isinstance(where.log, bool) or (where.log and (where.step or where.low <= 0)):
        raise CrystalliteError(f"{name}: `log = true` needs a positive low and no step")
    if where.step is not None:
        _check_step(name, where)
    return where


def _check_step(name: str, where: Range) -> None:
    whole = isinstance(recipe_values()[name], int)
    if isinstance(where.step, bool) or not isinstance(where.step, (int, float) if not whole else int):
        raise CrystalliteError(
            f"{name}: step must be a {'whole ' if whole else ''}number, not {where.step!r}"
        )
    if where.step <= 0 or where.high not in where:
        raise CrystalliteError(
            f"{name}: steps of {where.step:g} do not lead from {where.low:g} to {where.high:g}"
        )


def _choices(name: str, entry: list[Any]) -> tuple[Any, ...]:
    for value in entry:
        check_setting(name, value)
    if len(set(entry)) < max(len(entry), 1):
        raise CrystalliteError(f"{name}: a list of choices must hold at least one, each once")
    return tuple(entry)


def recipe_values(task: Task = "regression") -> dict[str, Any]:
    """Return the values of all settings of the default recipe by name."""
    return setting_values(configure("modern", task, 1, {}))
