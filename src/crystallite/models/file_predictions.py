"""Predictions streamed from files to a table: memory does not grow with their number."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..computing.progress import progress_bar
from ..crystals.crystal import Crystal
from ..crystals.notices import gathered, summary
from ..datasets.builtin import PREFIX
from ..errors import CrystalError, CrystalliteError, printable
from ..files.csv_tables import row_writer
from ..files.writing import output_path, refuse_input
from ..graphs.packed import PackedGraphs, build_graphs
from ..sources.reading.input_file import as_crystal_error, shown
from ..sources.reading.structure_files import StructureFile, TakenIds, with_ids
from ..sources.reading.structures import read_structures
from ..sources.resolver import Source, located
from .predictor import NO_NUMBER, Predictor
from .tables import (
    NO_EXTRAS,
    Column,
    Extras,
    Table,
    are_numbers,
    check_extras,
    prediction_table,
    table_columns,
)

CHUNK = 1024  # crystals in memory at once


@dataclass
class Report:
    """What became of the inputs: how many were predicted, which could not be and why, and what was chosen."""

    n_predicted: int = 0
    bad: list[tuple[str, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def predict_files(
    predictors: Sequence[Predictor],
    inputs: Sequence[str],
    output: Path | None,
    extras: Extras = NO_EXTRAS,
    *,
    workers: int = 1,
    progress: bool = True,
    on_bad: Callable[[str, str], None] = lambda source, reason: None,
) -> Report:
    """Predict every crystal of the inputs and write a table (.csv or .parquet; None: to stdout, as CSV, or in
    lines for people where it is a terminal).

    predictors: one or more of the same graph settings. inputs: files with structures, folders or patterns of
    them, and datasets (Parquet files, built-in names), as sources.resolver tells them apart. They are
    streamed: memory does not grow with their number, but for the ids of several inputs, which are told apart.
    A crystal that cannot be used is told to `on_bad`, is listed in the report, and the others are predicted.
    """
    check_extras(predictors, extras)
    if output is not None:
        refuse_input(output, inputs)
    report = Report()

    def bad(error: CrystalError) -> None:
        report.bad.append((error.source, error.reason))
        on_bad(error.source, error.reason)

    with (
        gathered() as odd,
        _table_writer(output, table_columns(predictors, extras)) as write,
        progress_bar(doing="predicting", unit="crystals", shown=progress) as bar,
    ):
        chunks = predicted_chunks(predictors, inputs, report.notices, bad, extras, workers=workers)
        for ids, table in chunks:
            write(ids, table)
            report.n_predicted += len(ids)
            bar.update(len(ids))
    report.notices += summary(odd)
    return report


def predicted_chunks(
    predictors: Sequence[Predictor],
    inputs: Sequence[str | Path],
    notices: list[str],
    bad: Callable[[CrystalError], None],
    extras: Extras = NO_EXTRAS,
    *,
    workers: int = 1,
) -> Iterator[tuple[list[str], Table]]:
    """Yield ids and predictions of what the inputs stand for, CHUNK crystals at a time.

    What cannot be used is told to `bad`, what was chosen or left out is added to `notices`.
    """
    sources = _located(inputs, notices, bad)
    for ids, crystals in _chunks(sources, bad):
        names, graphs = _graphs_of_chunk(predictors[0], ids, crystals, workers, bad)
        yield _finite(predictors, names, prediction_table(predictors, graphs, extras), bad)


Chunk = tuple[list[str], Any]


def _located(
    inputs: Sequence[str | Path], notices: list[str], bad: Callable[[CrystalError], None]
) -> list[Source]:
    """Return what each of the inputs stands for, each once; what stands for nothing is told to `bad`."""
    sources = []
    for item in inputs:
        try:
            sources.append(located(item))
        except CrystalliteError as error:
            bad(as_crystal_error(error, shown(item)))
    notices += [notice for source in sources for notice in source.files.notices]
    return sources


def _chunks(sources: Sequence[Source], bad: Callable[[CrystalError], None]) -> Iterator[Chunk]:
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


def _dataset_chunks(word: str | Path, bad: Callable[[CrystalError], None]) -> Iterator[Chunk]:
    from ..datasets.dataset import iter_batches  # CIFs need no Arrow

    try:
        for part in iter_batches(word, CHUNK):
            yield part.ids, part.arrays
    except CrystalliteError as error:
        bad(as_crystal_error(error, str(word)))


def _crystals(
    files: Sequence[StructureFile], taken: TakenIds | None, bad: Callable[[CrystalError], None]
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


def _graphs_of_chunk(
    predictor: Predictor, ids: list[str], crystals: Any, workers: int, bad: Callable[[CrystalError], None]
) -> tuple[list[str], PackedGraphs]:
    """Build the graphs of a chunk; where one cannot be built, leave that crystal out."""
    config = predictor.model.graph
    try:
        return ids, build_graphs(crystals, config, ids, workers=workers)
    except CrystalError:
        good, kept = [], []
        singles = crystals if isinstance(crystals, list) else [crystals.crystal(k) for k in range(len(ids))]
        for name, crystal in zip(ids, singles, strict=True):
            try:
                build_graphs([crystal], config, [name])
            except CrystalError as error:
                bad(error)
                continue
            kept.append(crystal)
            good.append(name)
        return good, build_graphs(kept, config, good, workers=workers)


def _finite(
    predictors: Sequence[Predictor], ids: list[str], table: Table, bad: Callable[[CrystalError], None]
) -> tuple[list[str], Table]:
    """Leave out the crystals whose predictions are not finite."""
    is_number = are_numbers(predictors, table)
    for row in np.flatnonzero(~is_number):
        bad(CrystalError(ids[row], NO_NUMBER))
    kept = [name for name, good in zip(ids, is_number, strict=True) if good]
    return kept, {name: column[is_number] for name, column in table.items()}


Write = Callable[[list[str], Table], None]


@contextmanager
def _table_writer(output: Path | None, columns: Sequence[Column]) -> Iterator[Write]:
    """Yield a function that adds rows; the file takes its name when complete, before it ends in .partial."""
    if output is None:
        yield (_blocks if sys.stdout.isatty() else _csv_rows)(sys.stdout, columns)
        return
    target = output_path(output)
    partial = output_path(target.with_name(target.name + ".partial"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            _parquet_writer(partial, columns)
            if output.suffix.lower() == ".parquet"
            else _csv_writer(partial, columns) as write
        ):
            yield write
        partial.replace(target)
    except OSError as error:
        raise CrystalliteError(
            f"cannot write {output}: {error.strerror or error}; the predictions made so far are in {partial}"
        ) from error
    except KeyboardInterrupt:
        raise CrystalliteError(f"interrupted; the predictions made so far are in {partial}") from None


@contextmanager
def _csv_writer(path: Path, columns: Sequence[Column]) -> Iterator[Write]:
    with path.open("w", newline="", encoding="utf-8") as file:
        yield _csv_rows(file, columns)


def _csv_rows(file: IO[str], columns: Sequence[Column]) -> Write:
    write_row = row_writer(file)
    write_row(["material_id", *(column.name for column in columns)])

    def write(ids: list[str], table: Table) -> None:
        for name, *row in zip(ids, *(column.tolist() for column in table.values()), strict=True):
            write_row([name, *(None if cell != cell or cell == "" else cell for cell in row)])
        file.flush()

    return write


def _blocks(file: IO[str], columns: Sequence[Column]) -> Write:
    """For people at a terminal: a block of lines for each crystal, a value in each."""
    width = max(len(column.name) for column in columns)

    def write(ids: list[str], table: Table) -> None:
        for row, name in enumerate(ids):
            print(printable(name), file=file)
            for column in columns:
                value = table[column.name][row]
                unknown = not column.is_text and value != value
                text = value if column.is_text else "" if unknown else f"{value:.4g} {column.unit}"
                print(printable(f"  {column.name:<{width}}  {text}".rstrip()), file=file)
        file.flush()

    return write


@contextmanager
def _parquet_writer(path: Path, columns: Sequence[Column]) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow import parquet

    fields = [
        pa.field(
            column.name,
            pa.string() if column.is_text else pa.float64(),
            metadata={"unit": column.unit} if column.unit else None,
        )
        for column in columns
    ]
    schema = pa.schema([("material_id", pa.string()), *fields])
    with parquet.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:

        def write(ids: list[str], table: Table) -> None:
            writer.write_table(pa.table([pa.array(ids, pa.string()), *table.values()], schema=schema))

        yield write
