"""What a search found: the best settings, a table of the trials and two figures."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from ..evaluation.results import Result, in_digits
from ..files.csv_tables import write_csv
from ..files.writing import write_text
from ..runs.folder import RunConfig
from .study import has_diverged, import_optuna, is_default

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

BEST, TRIALS, HISTORY, IMPORTANCE = "best.toml", "trials.csv", "history.png", "importance.png"
LEAST_FOR_IMPORTANCE = 4  # trials
_WORDS = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "lost",
    "RUNNING": "running",
    "WAITING": "waiting",
}


_ERRORS = ("validation_error", "validation_mae", "validation_auc")


@dataclass(frozen=True)
class TuneResult:
    """The outcome of a search.

    Attributes:
        folder: holds best.toml, trials.csv, history.png and importance.png.
        config: the complete settings of the best trial.
        trial: its number.
        n_finished: trials that were trained to their end, were pruned or diverged.
        best: validation error of the best trial, of the kind and in the unit that `measure` says.
        default: the same of the trial with the recipe's values of the searched settings; None if it was not
            completed or they lie outside the space.
        measure: what `best` and `default` are, such as `validation MAE, eV/atom` or `validation AUC`.
        fixed: setting -> value that the space fixes for all trials, the default one included.
    """

    folder: Path
    config: RunConfig
    trial: int
    n_finished: int
    best: float
    default: float | None
    measure: str
    fixed: dict[str, Any]


def finished(study: Study) -> list[FrozenTrial]:
    """Return the trials that trained to their end, were pruned or diverged."""
    state = import_optuna().trial.TrialState
    return study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED))


def running(study: Study) -> list[FrozenTrial]:
    """Return the trials that some process is training."""
    return study.get_trials(deepcopy=False, states=(import_optuna().trial.TrialState.RUNNING,))


def complete(study: Study) -> list[FrozenTrial]:
    """Return the trials that trained to their end."""
    trials = study.get_trials(deepcopy=False, states=(import_optuna().trial.TrialState.COMPLETE,))
    return [trial for trial in trials if not has_diverged(trial)]


def measure_of(config: RunConfig, unit: str) -> str:
    """Return the name of what `shown` returns."""
    if config.model.task == "classification":
        return "validation AUC"
    if len(config.data.targets) > 1:
        return "validation error on the normalised scale"
    return f"validation MAE, {unit}" if unit else "validation MAE"


def shown(trial: FrozenTrial) -> float | None:
    """Return a trial's validation error for people: in units or as AUC where there is one target."""
    best = _outcome(trial)
    mae = best.get("validation_mae")
    value = mae if isinstance(mae, float) else best.get("validation_auc", best.get("validation_error"))
    return None if value is None else float(value)


def _outcome(trial: FrozenTrial) -> Result:
    """Return the epoch that a trial kept, the figures of a single target among those of all."""
    best: Result = trial.user_attrs.get("best", {})
    figures = list(best.get("targets", {}).values())
    return {**best, **(figures[0] if len(figures) == 1 else {})}


def line(study: Study, trial: FrozenTrial) -> str:
    """Return what to say when a trial has finished."""
    value, epochs = shown(trial), trial.user_attrs.get("epochs", 0)
    if has_diverged(trial):
        outcome = f"diverged in epoch {epochs + 1}"
    elif trial.state.name == "PRUNED":
        outcome = f"pruned in epoch {epochs}, {in_digits(value)}"
    else:
        outcome = in_digits(value)
    mark = ", default settings" if is_default(trial) else ""
    whole = complete(study)
    best = min(whole, key=_error) if whole else None
    best_so_far = f"; best {in_digits(shown(best))}, trial {best.number}" if best else ""
    return f"trial {trial.number}{mark}: {outcome}{best_so_far}"


def write(
    study: Study,
    config_of: Callable[[FrozenTrial], RunConfig],
    measure: str,
    fixed: dict[str, Any],
    folder: Path,
) -> TuneResult | None:
    """Write all results and return them; None if no trial has trained to its end."""
    _write_table(folder / TRIALS, study)
    if not complete(study):
        return None
    best = min(complete(study), key=_error)
    defaults = [shown(trial) for trial in complete(study) if is_default(trial)]
    value = shown(best)
    assert value is not None
    result = TuneResult(
        folder,
        config_of(best),
        best.number,
        len(finished(study)),
        value,
        next(iter(defaults), None),
        measure,
        fixed,
    )
    _write_best(folder / BEST, study, result)
    _draw(study, result)
    return result


def importances(study: Study) -> dict[str, float]:
    """Return how much each searched setting decides whether a trial is among the best; the sum is 1.

    PED-ANOVA over the trials that trained to their end. Settings that were the same in all are left out, as
    nothing can have depended on them. Empty for fewer than four trials.
    """
    optuna = import_optuna()
    n_trials = len(complete(study))
    if n_trials < LEAST_FOR_IMPORTANCE:
        return {}
    # At least five trials count as the best, as the method advises; at most half of all.
    quantile = min(max(0.1, 5 / n_trials), 0.5)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
    with warnings.catch_warnings(action="ignore"):  # of few trials; the figure says how many there were
        values: dict[str, float] = optuna.importance.get_param_importances(study, evaluator=evaluator)
    seen = {name: {trial.params.get(name) for trial in complete(study)} for name in values}
    return {name: value for name, value in values.items() if len(seen[name]) > 1}


def _error(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _write_best(path: Path, study: Study, result: TuneResult) -> None:
    parts = ("graph", "model", "training")
    text = tomli_w.dumps({part: getattr(result.config, part).to_dict() for part in parts})
    head = (
        f"# Study {study.study_name}: trial {result.trial}, the best of {result.n_finished}, "
        f"{result.measure} {result.best:.6g}.\n# crystallite train DATA --target T --config {path.name}\n\n"
    )
    write_text(path, head + text)


def _write_table(path: Path, study: Study) -> None:
    """Write one row per trial: its outcome and its settings."""
    trials = study.get_trials(deepcopy=False)
    names = sorted({name for trial in trials for name in trial.params})
    outcomes = [_outcome(trial) for trial in trials]
    errors = [name for name in _ERRORS if any(isinstance(outcome.get(name), float) for outcome in outcomes)]
    rows: list[list[Any]] = [
        ["trial", "state", "default", *errors, "best_epoch", "epochs", "seconds", *names]
    ]
    for trial, outcome in zip(trials, outcomes, strict=True):
        attributes = trial.user_attrs
        state = "diverged" if has_diverged(trial) else _WORDS[trial.state.name]
        row = [trial.number, state, "yes" if is_default(trial) else ""]
        row += [outcome.get(name) for name in (*errors, "epoch")]
        row += [attributes.get("epochs"), attributes.get("seconds")]
        row += [trial.params.get(name) for name in names]
        rows.append(row)
    write_csv(path, rows)


def _draw(study: Study, result: TuneResult) -> None:
    from ..evaluation.figures import plot_importances, plot_search

    def points(trials: list[FrozenTrial]) -> list[tuple[int, float]]:
        return [(trial.number, value) for trial in trials if (value := shown(trial)) is not None]

    whole, best_so_far = complete(study), []
    for k in range(len(whole)):
        best_so_far.append(min(whole[: k + 1], key=_error))
    steps = [(trial.number, shown(best) or 0.0) for trial, best in zip(whole, best_so_far, strict=True)]
    pruned = [trial for trial in finished(study) if trial.state.name == "PRUNED"]
    diverged = [trial.number for trial in finished(study) if has_diverged(trial)]
    plot_search(
        result.folder / HISTORY,
        points(whole),
        points(pruned),
        diverged,
        steps,
        result.default,
        result.measure,
    )
    weights = importances(study)
    if weights:
        plot_importances(result.folder / IMPORTANCE, weights, len(whole))
