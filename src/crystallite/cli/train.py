"""`crystallite train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import is_given, only_target, settings_of, training_options
from .outcomes import print_group, print_run
from .paths import INPUT

if TYPE_CHECKING:
    from ..experiments.experiment import Experiment
    from ..training.train import Run

_ALONE = "--parallel needs several training runs: use it with --folds or --members"


@click.command()
@click.argument("data", required=False)
@training_options(automatic=True)
@click.option("--folds", type=click.IntRange(3), metavar="K", help="Cross-validate with K training runs.")
@click.option("--members", type=click.IntRange(2), metavar="K", help="Train an ensemble of K.")
@click.option("--resume", type=INPUT, metavar="RUN", help="Resume an interrupted run.")
def command(
    data: str | None,
    targets: tuple[str, ...],
    resume: Path | None,
    folds: int | None,
    members: int | None,
    **options: Any,
) -> None:
    """Train a model on DATA: a built-in name, a Parquet file or a folder with id_prop.csv and CIFs.

    \b
    Examples:
      crystallite train formation --target formation_energy_per_atom
      crystallite train mine.parquet --target band_gap --epochs 300 --out runs/gap
      crystallite train elastic --target bulk_modulus:log10 --folds 5 --parallel 2
      crystallite train few.parquet --target band_gap --recipe auto --from auto
      crystallite train --resume runs/gap

    The run folder then holds config.toml, metrics.jsonl (one line per epoch), best.safetensors (the model),
    test_predictions.csv, summary.json and figures. Ctrl-C saves the state before it stops.

    With --folds K every crystal is tested once; with --members K an ensemble is trained, whose predictions
    carry a calibrated standard deviation. Each has its run folder inside RUN; --resume RUN resumes them.
    """
    from ..experiments import experiment as experiments
    from ..training import train as training

    running = {name: options[name] for name in ("workers", "device")}
    parallel = options.pop("parallel")
    if resume is not None:
        _refuse_what_resume_ignores()
        if parallel > 1 and not experiments.is_group(resume):
            raise click.UsageError(_ALONE)
        _print(experiments.resume(resume, parallel=parallel, **running))
        return
    if data is None:
        raise click.UsageError("give DATA, or --resume RUN; built-in datasets: crystallite data list")
    if folds and members:
        raise click.UsageError("choose --folds or --members, not both")
    with_kernel, from_auto = options["recipe"] == "auto", options["start_from"] == "auto"
    automatic = with_kernel or from_auto
    if automatic and (folds or members):
        what = "--recipe auto" if with_kernel else "--from auto"
        raise click.UsageError(f"{what} trains models of its own: leave out --folds and --members")
    if parallel > 1 and not (folds or members or automatic):
        raise click.UsageError(_ALONE)
    settings = settings_of(options)
    if with_kernel:
        settings["recipe"] = "modern"  # of the network
    targets = targets or (only_target(data),)
    if folds:
        _print(experiments.cross_validate(data, targets, folds, parallel=parallel, **settings))
    elif automatic:
        _print(
            experiments.train_automatically(data, targets, kernel=with_kernel, parallel=parallel, **settings)
        )
    elif members:
        _print(experiments.train_ensemble(data, targets, members, parallel=parallel, **settings))
    else:
        _print(training.train(data, targets, **settings))


def _print(done: Run | Experiment) -> None:
    from ..training.train import Run

    (print_run if isinstance(done, Run) else print_group)(done.folder, done.summary)


def _refuse_what_resume_ignores() -> None:
    """Raise click.UsageError naming what was given beside --resume that it cannot follow."""
    context = click.get_current_context()
    followed = ("resume", "workers", "device", "parallel")
    ignored = [
        parameter.opts[0] if isinstance(parameter, click.Option) else "DATA"
        for parameter in context.command.params
        if parameter.name and parameter.name not in followed and is_given(parameter.name)
    ]
    if ignored:
        raise click.UsageError(f"--resume uses the settings in config.toml: leave out {', '.join(ignored)}")
