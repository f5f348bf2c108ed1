"""Screening: predictions for every distinct material among the crystals of inputs of any size."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from ..computing.progress import progress_bar
from ..computing.threads import usable_cores
from ..errors import CrystalliteError, StorageError
from ..extras import needed
from ..files.writing import write_json
from ..sources.pieces import Piece, each_piece, n_bytes
from ..sources.reading.input_file import shown
from ..sources.remote import is_remote, remote_source
from ..sources.resolver import Source, located
from .engine import Engine, local_processes
from .loop import WHOLE, Loop, Share, Summary
from .plan import asked, keep_to
from .ray_cluster import ray_cluster
from .results import UNFINISHED, Results
from .shortlist import NO_CHOICE, Choice, check_choice, write_shortlist
from .work import Question, Worker

SUMMARY = "summary.json"


def screen(
    models: str | Path | Sequence[str | Path],
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    where: str = "",
    by: str = "",
    top: int | None = None,
    interval: float = 90.0,
    workers: int | None = None,
    ray: str | None = None,
    share: Share = WHOLE,
    skip_unreadable: bool = False,
    progress: bool = True,
) -> Summary:
    """Predict every distinct material among the crystals of inputs of any size, and list the best.

    A script that calls this begins with `if __name__ == "__main__":`, as worker processes import it.

    Args:
        models: what `load_model` takes, `all` for every model that comes with the package, or several.
        inputs: files, folders or patterns of files with structures, tar and zip files of them, datasets, or
            addresses of such files in object storage; one or several.
        output: folder of the results. What is there of the same screening is kept.
        where: condition of the shortlist, in SQL of DuckDB.
        by: order of the shortlist, the smallest first, in SQL.
        top: how many crystals the shortlist has at most.
        interval: percentage of true values between NAME_lower and NAME_upper, where models know their errors.
        workers: number of processes, one for each core by default.
        ray: address of a Ray cluster that does the work instead.
        share: of several runs that share the folder, what this one does; a run without it then completes the
            folder, and finds the materials that several of them met.
        skip_unreadable: whether what a disk no longer gives is listed among the bad crystals, instead of
            stopping there.
        progress: whether a bar is shown at a terminal.

    Returns:
        How many crystals there are of each kind.

    Raises:
        CrystalliteError: if an input or a model is not there, a condition makes no sense, the folder was
            begun with others or another run works in it, when interrupted, and when a file cannot be written.
    """
    if ray:
        needed("ray", "--ray", "crystallite[ray]")  # before a folder is made
    words, files = ([one] if isinstance(one, str | Path) else list(one) for one in (models, inputs))
    engine = (
        partial(ray_cluster, address=ray)
        if ray
        else partial(local_processes, workers=workers or usable_cores())
    )
    question = Question(tuple(map(str, words)), interval, skip_unreadable)
    return screen_with(
        engine, question, files, Path(output), Choice(where, by, top), share, progress=progress
    )


def screen_with(
    engine: Callable[[Question], AbstractContextManager[Engine]],
    question: Question,
    inputs: Sequence[str | Path],
    folder: Path,
    choice: Choice = NO_CHOICE,
    share: Share = WHOLE,
    *,
    progress: bool = True,
) -> Summary:
    """Do what `screen` does; engine: opens what does the work, such as `local_processes`."""
    sources = [remote_source(str(item)) if is_remote(item) else located(item) for item in inputs]
    worker = Worker(question)
    notices = [notice for source in sources for notice in source.files.notices]
    for notice in [*notices, *{predictor.notice for predictor in worker.predictors if predictor.notice}]:
        warnings.warn(notice, stacklevel=2)
    if choice:
        check_choice(choice, worker.columns)
    for source in sources:
        if source.kind != "remote" and folder.resolve().is_relative_to(source.path.resolve()):
            raise CrystalliteError(f"{folder}: lies in the input {source.path}; choose a folder elsewhere")
    with _alone_in(folder, share):
        keep_to(folder, asked(question, worker, sources))
        results = Results(folder, worker.columns)
        with engine(question) as at:
            loop = Loop(results, at, share)
            try:
                _run(loop, _all_pieces(sources, question), progress)
                if share == WHOLE:
                    write_json(folder / SUMMARY, loop.counts)
                if not choice:
                    return loop.summary()
                pieces = (piece for piece, _ in _all_pieces(sources, question))
                listed = write_shortlist(results, choice, at, pieces, progress=progress)
                return loop.summary()._replace(listed=listed)
            except (KeyboardInterrupt, StorageError) as error:
                reason = str(error) or "interrupted"
                raise CrystalliteError(
                    f"{reason}; what is done is in {folder}, and the same command goes on"
                ) from None


def _run(loop: Loop, pieces: Iterator[tuple[Piece, float]], progress: bool) -> None:
    """Do all pieces under a bar."""
    with progress_bar(doing="screening", unit="crystals", shown=progress) as bar:
        for done in loop.run(pieces):
            bar.total = round(loop.n_crystals / max(done, 1e-9))
            bar.update(loop.n_crystals - bar.n)


@contextmanager
def _alone_in(folder: Path, share: Share) -> Iterator[None]:
    """Keep other runs out: the whole all shares, a share the whole, itself and shares of another number."""
    if shown(folder) != str(folder):
        raise CrystalliteError(f"{shown(folder)}: the name is not valid text; choose another")
    mine = folder / f".lock-{share.remainder}-of-{share.of}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [path for path in folder.glob(".lock-*") if path != mine]
        if share != WHOLE:
            if (folder / SUMMARY).exists():
                raise CrystalliteError(f"{folder} is complete: there is nothing left to share")
            others = [path for path in others if not path.name.endswith(f"-of-{share.of}")]
        with FileLock(mine, timeout=0), ExitStack() as checked:
            for other in others:
                checked.enter_context(FileLock(other, timeout=0))
            if share == WHOLE:
                shutil.rmtree(folder / UNFINISHED, ignore_errors=True)  # of runs that were killed
            else:
                checked.close()
            yield
    except Timeout:
        raise CrystalliteError(f"another run writes to {folder}: wait until it ends, or stop it") from None


def _all_pieces(sources: Sequence[Source], question: Question) -> Iterator[tuple[Piece, float]]:
    """Yield the pieces of all inputs, and what fraction of all is done with each."""
    sizes = [n_bytes(source) for source in sources]
    for number, source in enumerate(sources):
        for piece in each_piece(source, skip_unreadable=question.skip_unreadable):
            yield piece, (sum(sizes[:number]) + piece.done * sizes[number]) / max(sum(sizes), 1)
