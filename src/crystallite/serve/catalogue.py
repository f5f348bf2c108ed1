"""The models that a server has: those of the package, and those of run folders, found anew as they come."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from ..errors import CrystalliteError, close_names
from ..models.card import main_error
from ..models.inference import has_contributions
from ..models.loading import ENSEMBLE, load_model, load_ready
from ..models.predictor import Predictor
from ..models.ready import ALL, ready_models
from ..runs.names import BEST, CONFIG

MOST_LOADED = 8  # selections of models in memory
LOG = logging.getLogger("uvicorn.error")
BINS = 40  # of a distribution
WIDEST_SHARE = 0.005  # of the training values at either end that a distribution leaves out


class UnknownModelError(CrystalliteError):
    """No model has this name."""


class Selected(NamedTuple):
    """A predictor, and for each of its targets the name of the model that it belongs to."""

    predictor: Predictor
    models: tuple[str, ...]


class Catalogue:
    """Models by name: loaded when first asked for, and again when the file of a run has changed."""

    def __init__(self, runs: Sequence[str] = ()) -> None:
        """Take run folders and folders of them."""
        self._roots = [Path(run) for run in runs]
        self._loaded: OrderedDict[Any, tuple[int, list[Selected]]] = OrderedDict()
        self._lock = Lock()

    def run_folders(self) -> dict[str, Path]:
        """Return name -> folder of all runs; a name that is taken has its parent's before it."""
        found: dict[str, Path] = {}
        for folder in self._folders():
            name = folder.resolve().name
            if name in found or name in ready_models() or name == ALL:
                name = f"{folder.resolve().parent.name}/{name}"
            number, numbered = 1, name
            while numbered in found:
                number += 1
                numbered = f"{name}-{number}"
            found[numbered] = folder
        return found

    def _folders(self) -> Iterator[Path]:
        for root in self._roots:
            if _is_run(root):
                yield root
                continue
            try:
                yield from sorted(path for path in root.iterdir() if _is_run(path))
            except OSError:
                continue  # it may come again

    def names(self) -> list[str]:
        """Return the names of all models that can predict."""
        runs = (name for name, folder in self.run_folders().items() if _changed(folder) is not None)
        return [*ready_models(), *runs]

    def select(self, names: Sequence[str]) -> list[Selected]:
        """Return the predictors of models, `all` standing for those of the package.

        Raises UnknownModelError for a name that no model has, CrystalliteError for a run that cannot be used.
        """
        every = list(ready_models())
        wanted = dict.fromkeys(one for name in names for one in (every if name == ALL else [name]))
        ready = tuple(name for name in ready_models() if name in wanted)
        selected = self._kept(ready, 0, lambda: _of_package(ready)) if ready else []
        runs = [name for name in wanted if name not in ready_models()]
        folders = self.run_folders() if runs else {}
        for name in runs:
            changed = _changed(folders[name]) if name in folders else None
            if changed is None:
                near = close_names(name, self.names())
                raise UnknownModelError(f"no model {name}{near}")
            selected = [*selected, *self._of_run(name, folders[name], changed)]
        return selected

    def _of_run(self, name: str, folder: Path, changed: int) -> list[Selected]:
        def load() -> list[Selected]:
            try:
                predictor = load_model(folder)
            except (CrystalliteError, OSError) as error:
                LOG.warning("the run %s: %s", name, error)
                raise CrystalliteError(f"the run {name} cannot be used: its model is damaged") from None
            return [Selected(predictor, (name,) * len(predictor.model.targets.names))]

        return self._kept(folder, changed, load)

    def _kept(self, key: Any, version: int, load: Callable[[], list[Selected]]) -> list[Selected]:
        with self._lock:
            if key not in self._loaded or self._loaded[key][0] != version:
                self._loaded[key] = version, load()
            self._loaded.move_to_end(key)
            while len(self._loaded) > MOST_LOADED:
                self._loaded.popitem(last=False)
            return self._loaded[key][1]

    def all_described(self) -> list[dict[str, Any]]:
        """Return what `described` does for all models that can be used."""
        found = []
        for name in self.names():
            with suppress(CrystalliteError):  # a run may be damaged, or gone meanwhile
                found.append(self.described(name))
        return found

    def described(self, name: str) -> dict[str, Any]:
        """Return what is to say of a model: what it predicts, how well, and from what values."""
        ready = ready_models().get(name)
        facts = ready.of_property if ready else {}
        # those of the package are in memory together already
        selected = self.select([ALL if ready else name])
        predictor, models = next(one for one in selected if name in one.models)
        targets, reliability = predictor.model.targets, predictor.reliability
        values = reliability.reference.values if reliability else None
        return {
            "name": name,
            "about": facts.get("about", f"your run {name}"),
            "origin": "package" if ready else "run",
            "task": targets.task,
            "intervals": reliability is not None,
            "atom_contributions": has_contributions(predictor.model),
            "targets": [
                {
                    "name": target,
                    "unit": targets.units[k],
                    "test_error": main_error(facts) if facts else "",
                    "distribution": None
                    if values is None
                    else _distribution(values[:, k], targets.transforms[k] == "log10"),
                }
                for k, target in enumerate(targets.names)
                if models[k] == name
            ],
        }


def _of_package(names: Sequence[str]) -> list[Selected]:
    selected = []
    for predictor in load_ready(names):
        by_column = {
            ready_models()[name].of_property["column"]: name
            for name in names
            if name in predictor.card["properties"]
        }
        selected.append(Selected(predictor, tuple(by_column[name] for name in predictor.model.targets.names)))
    return selected


def _is_run(folder: Path) -> bool:
    try:
        return (folder / CONFIG).is_file() or (folder / ENSEMBLE).is_file()
    except OSError:
        return False


def _changed(folder: Path) -> int | None:
    """Return when the model of a run last changed, in nanoseconds; None if it has none."""
    for name in (ENSEMBLE, BEST):
        try:
            return (folder / name).stat().st_mtime_ns
        except OSError:
            continue
    return None


def _distribution(values: np.ndarray[Any, Any], logarithmic: bool) -> dict[str, Any] | None:
    """Return the histogram of training values, in their unit, without what lies far out."""
    known = values[np.isfinite(values)].astype(np.float64)
    known = np.log10(known[known > 0]) if logarithmic else known
    if len(known) < 2:
        return None
    low, high = np.quantile(known, [WIDEST_SHARE, 1 - WIDEST_SHARE])
    if not low < high:
        low, high = known.min(), known.max()
    counts, edges = np.histogram(known, BINS, (float(low), float(high)))
    edges = 10.0**edges if logarithmic else edges
    return {
        "scale": "log10" if logarithmic else "linear",
        "edges": edges.tolist(),
        "counts": counts.tolist(),
    }
