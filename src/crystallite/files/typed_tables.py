"""Tables whose columns have units, written row by row: CSV, Parquet, or lines for people at a terminal.

A file takes its name when it is complete; before, it ends in .partial.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from numpy.typing import NDArray

from ..errors import CrystalliteError, printable
from .csv_tables import row_writer
from .writing import output_path

Table = dict[str, NDArray[Any]]  # column -> (rows,) values: float64, or text as objects


class Column(NamedTuple):
    """A column's name, the unit of its numbers, and whether it holds text or whole numbers."""

    name: str
    unit: str = ""
    is_text: bool = False
    is_whole: bool = False


Write = Callable[[list[str], Table], None]


@contextmanager
def table_writer(output: Path | None, columns: Sequence[Column]) -> Iterator[Write]:
    """Yield a function that adds rows to a .csv or .parquet file (None: to stdout, as CSV, or in lines for
    people where it is a terminal).
    """
    if output is None:
        yield (_blocks if sys.stdout.isatty() else csv_rows)(sys.stdout, columns)
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
            f"cannot write {output}: {error.strerror or error}; what was made so far is in {partial}"
        ) from error
    except KeyboardInterrupt:
        raise CrystalliteError(f"interrupted; what was made so far is in {partial}") from None


@contextmanager
def _csv_writer(path: Path, columns: Sequence[Column]) -> Iterator[Write]:
    with path.open("w", newline="", encoding="utf-8") as file:
        yield csv_rows(file, columns)


def csv_rows(file: IO[str], columns: Sequence[Column]) -> Write:
    """Write the names of the columns as CSV, and return a function that adds rows."""
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


def arrow_field(column: Column) -> Any:
    """Return the column as a field of an Arrow schema, the unit in its metadata."""
    import pyarrow as pa

    return pa.field(
        column.name,
        pa.string() if column.is_text else pa.int64() if column.is_whole else pa.float64(),
        metadata={"unit": column.unit} if column.unit else None,
    )


@contextmanager
def _parquet_writer(path: Path, columns: Sequence[Column]) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("material_id", pa.string()), *map(arrow_field, columns)])
    with parquet.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:

        def write(ids: list[str], table: Table) -> None:
            writer.write_table(pa.table([pa.array(ids, pa.string()), *table.values()], schema=schema))

        yield write
