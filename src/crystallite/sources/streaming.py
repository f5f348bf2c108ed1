"""Graphs of all crystals that inputs stand for, streamed: memory does not grow with their number.

Inputs are files with structures, folders or patterns of them, and datasets (Parquet files, built-in names),
as `resolver` tells them apart. What cannot be used is told, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ..computing.progress import progress_bar
from ..crystals.crystal import Crystal, check_crystal
from ..crystals.notices import gathered, summary
from ..datasets.builtin import PREFIX
from ..errors import CrystalError, CrystalliteError
from ..files.typed_tables import Column, Table, table_writer
from ..files.writing import refuse_input
from ..graphs.packed import PackedGraphs, build_graphs, full_graphs
from ..settings.config import GraphConfig
from .reading.input_file import as_crystal_error, shown
from .reading.structure_files import StructureFile, TakenIds, with_ids
from .reading.structures import read_structures
from .resolver import Source, located

CHUNK = 1024  # crystals in memory at once
Bad = Callable[[CrystalError], None]


@dataclass
class Report:
    """What became of the inputs: how many could be used, which could not be and why, and what was chosen."""

    n_used: int = 0
    bad: list[tuple[str, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def teller(self, on_bad: Callable[[str, str], None]) -> Bad:
        """Return what lists a crystal that cannot be used, and tells it to `on_bad`."""

        def bad(error: CrystalError) -> None:
            self.bad.append((error.source, error.reason))
            on_bad(error.source, error.reason)

        return bad


class Wanted(NamedTuple):
    """Which graphs are built: settings, number of threads, whether equivalent atoms share a node."""

    config: GraphConfig
    workers: int = 1
    reduced: bool = True


def write_table(
    inputs: Sequence[str],
    output: Path | None,
    columns: Sequence[Column],
    wanted: Wanted,
    table_of: Callable[[list[str], PackedGraphs, Bad], tuple[list[str], Table]],
    *,
    doing: str,
    progress: bool = True,
    on_bad: Callable[[str, str], None] = lambda source, reason: None,
) -> Report:
    """Write a table (.csv or .parquet; None: to stdout) with rows for every crystal of the inputs.

    table_of: from ids and graphs of some crystals to ids and rows; it tells the third argument what cannot be
    used. A crystal that cannot be used is told to `on_bad`, is listed in the report, and the others go on.
    """
    if output is not None:
        refuse_input(output, inputs)
    report = Report()
    bad = report.teller(on_bad)
    with (
        gathered() as odd,
        table_writer(output, columns) as write,
        progress_bar(doing=doing, unit="crystals", shown=progress) as bar,
    ):
        for ids, graphs in streamed(inputs, wanted, report.notices, bad):
            kept, table = table_of(ids, graphs, bad)
            write(kept, table)
            report.n_used += len(dict.fromkeys(kept))
            bar.update(len(ids))
    report.notices += summary(odd)
    return report


def streamed(
    inputs: Sequence[str | Path], wanted: Wanted, notices: list[str], bad: Bad
) -> Iterator[tuple[list[str], PackedGraphs]]:
    """Yield ids and graphs of what the inputs stand for, CHUNK crystals at a time.

    What cannot be used is told to `bad`, what was chosen or left out is added to `notices`.
    """
    for ids, crystals in _chunks(_located(inputs, notices, bad), bad):
        yield graphs_of_chunk(wanted, ids, crystals, bad)


def read_crystals(inputs: Sequence[str], notices: list[str], bad: Bad) -> Iterator[tuple[str, Crystal]]:
    """Yield ids and crystals of what the inputs stand for, one after another; as `streamed` otherwise."""
    for ids, crystals in _chunks(_located(inputs, notices, bad), bad):
        for name, crystal in zip(ids, _singles(ids, crystals), strict=True):
            try:
                check_crystal(crystal, name)
            except CrystalError as error:
                bad(error)
            else:
                yield name, crystal


Chunk = tuple[list[str], Any]


def _located(inputs: Sequence[str | Path], notices: list[str], bad: Bad) -> list[Source]:
    """Return what each of the inputs stands for, each once; what stands for nothing is told to `bad`."""
    sources = []
    for item in inputs:
        try:
            sources.append(located(item))
        except CrystalliteError as error:
            bad(as_crystal_error(error, shown(item)))
    notices += [notice for source in sources for notice in source.files.notices]
    return sources


def _chunks(sources: Sequence[Source], bad: Bad) -> Iterator[Chunk]:
    """Yield ids and crystals (a list, or CrystalArrays of a dataset), CHUNK at a time, datasets first."""
    datasets = [source for source in sources if source.kind == "dataset"]
    files = with_ids(path for source in sources for path in source.files.paths)
    owners = len(datasets) + sum(not file.single for file in files) + any(file.single for file in files)
    taken = TakenIds() if owners > 1 else None
    for source in datasets:
        word = source.name if source.name.startswith(PREFIX) else source.path
        for ids, arrays in _dataset_chunks(word, bad):
            yield [taken.of(name, str(word)) for name in ids] if taken else ids, arrays
    crystals = _crystals(files, taken, bad)
    while chunk := list(islice(crystals, CHUNK)):
        yield [name for name, _ in chunk], [crystal for _, crystal in chunk]


def _dataset_chunks(word: str | Path, bad: Bad) -> Iterator[Chunk]:
    from ..datasets.dataset import iter_batches  # CIFs need no Arrow

    try:
        for part in iter_batches(word, CHUNK):
            yield part.ids, part.arrays
    except CrystalliteError as error:
        bad(as_crystal_error(error, str(word)))


def _crystals(
    files: Sequence[StructureFile], taken: TakenIds | None, bad: Bad
) -> Iterator[tuple[str, Crystal]]:
    """Yield ids and crystals of files; what cannot be used is told to `bad`."""
    for file in files:
        empty = True
        try:
            for name, crystal, _ in read_structures(file):
                empty = False
                if isinstance(crystal, CrystalError):
                    bad(crystal)
                else:
                    yield (taken.of(name, file.id) if taken else name), crystal
        except CrystalliteError as error:
            bad(as_crystal_error(error, shown(file.path)))
        else:
            if empty:
                bad(CrystalError(shown(file.path), "no crystals"))


def _singles(ids: list[str], crystals: Any) -> list[Crystal]:
    """Return the crystals of a chunk one by one."""
    return crystals if isinstance(crystals, list) else [crystals.crystal(k) for k in range(len(ids))]


def graphs_of_chunk(
    wanted: Wanted, ids: list[str], crystals: Any, bad: Bad
) -> tuple[list[str], PackedGraphs]:
    """Build the graphs of a chunk; where one cannot be built, tell `bad` and leave that crystal out."""
    if wanted.reduced:
        try:
            return ids, build_graphs(crystals, wanted.config, ids, workers=wanted.workers)
        except CrystalError:
            pass  # it is found below
    good, kept = [], []
    for name, crystal in zip(ids, _singles(ids, crystals), strict=True):
        try:
            build_graphs([crystal], wanted.config, [name])
        except CrystalError as error:
            bad(error)
            continue
        kept.append(crystal)
        good.append(name)
    if wanted.reduced:
        return good, build_graphs(kept, wanted.config, good, workers=wanted.workers)
    return good, full_graphs(kept, wanted.config)
