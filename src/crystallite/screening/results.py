"""The folder of a screening: what was asked, and Parquet files of what became of every crystal.

    screening.json      what was asked, of which inputs, and the version of this layout
    predictions/        one row for each distinct material, with its predictions
    duplicates/         one row for each further crystal of a material, with the one that was predicted
    bad/                one row for each crystal or file that cannot be used, with the reason
    odd/                one row for each oddity of a crystal that could be used
    summary.json        how many of each there are, when all is done

Each piece of the input has a file part-00000000.parquet in them, with its number; where there would be no
rows there is none, but in predictions, whose file comes last: a piece that has it is done. Files appear whole
or not at all. DuckDB, polars and pandas read a folder as one table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..errors import CrystalliteError, first_line
from ..files.typed_tables import Column, arrow_field
from ..files.writing import atomic_path
from ..models.predictor import NO_NUMBER
from .seen import part_and_row, places_of
from .work import CRYSTALS, Crystals, Predicted

PREDICTIONS, DUPLICATES, BAD, ODD = KINDS = "predictions", "duplicates", "bad", "odd"

_PART = pa.schema([pa.field("part", pa.int32())])
_TWIN = pa.schema([("same_as", pa.string()), ("same_as_part", pa.int32()), ("same_as_row", pa.int32())])

Places = NDArray[np.int64]


def keys_of(crystals: pa.Table) -> NDArray[np.int64]:
    """Return (N, 2) the keys of crystals."""
    names = ("material_key", "material_key_shifted")
    return np.stack([crystals[name].to_numpy() for name in names], axis=1)


class Done(NamedTuple):
    """The crystals of a part that is done: a table of those that can be used, as `Crystals` has it, and the
    places of the first of their materials, as the files say; -1 for a crystal that is in two files.
    """

    crystals: pa.Table
    first: Places


class Results:
    """The files of a screening. columns: of the predictions."""

    def __init__(self, folder: Path, columns: Sequence[Column]) -> None:
        self.folder = folder
        self.columns = list(columns)
        names, others = CRYSTALS.names[:2], CRYSTALS.names[2:]
        of_crystal = {name: CRYSTALS.field(name) for name in CRYSTALS.names}
        self._schemas = {
            PREDICTIONS: pa.schema(
                [
                    *(of_crystal[name] for name in names),
                    *map(arrow_field, columns),
                    *_PART,
                    *(of_crystal[name] for name in others),
                ]
            ),
            DUPLICATES: pa.schema(
                [
                    *(of_crystal[name] for name in names),
                    *_TWIN,
                    *_PART,
                    *(of_crystal[name] for name in others),
                ]
            ),
        }

    def path(self, kind: str, part: int) -> Path:
        """Return the file of a part."""
        return self.folder / kind / f"part-{part:08d}.parquet"

    def has(self, part: int) -> bool:
        """Whether a part is done."""
        return self.path(PREDICTIONS, part).exists()

    def n_rows(self, kind: str, part: int) -> int:
        """Return how many rows a part has."""
        path = self.path(kind, part)
        return int(pq.read_metadata(path).num_rows) if path.exists() else 0

    def write(
        self, part: int, crystals: Crystals, first: Places, ids: Mapping[int, str], predicted: Predicted
    ) -> None:
        """Write what became of the crystals of a piece.

        Args:
            part: number of the piece.
            crystals: what was read, N that can be used.
            first: (N,) places of the first of each material.
            ids: ids of these, by place.
            predicted: of those that are the first themselves, in their order.
        """
        is_first = first == places_of(part, crystals.found["row"].to_numpy())
        firsts = crystals.found.filter(is_first)
        without = firsts.filter(~predicted.are_numbers).select(["source", "row"])
        without = without.append_column("reason", pa.array([NO_NUMBER] * len(without), pa.string()))
        bad = pa.concat_tables([crystals.bad, without.select(crystals.bad.column_names)]).sort_by("row")
        self._write(BAD, part, bad)
        self._write(ODD, part, crystals.odd)
        self._write_twins(part, crystals.found.filter(~is_first), first[~is_first], ids)
        table = _joined(firsts, predicted.table).filter(predicted.are_numbers)
        self._write(PREDICTIONS, part, table, always=True)

    def read(self, part: int) -> Done:
        """Read what has to be known of a part that is done."""
        found = self._read(PREDICTIONS, part, CRYSTALS.names)
        twins = self._read(DUPLICATES, part, [*CRYSTALS.names, "same_as_part", "same_as_row"])
        first = places_of(part, found["row"].to_numpy())
        if twins is None:
            return Done(found, first)
        of_twins = places_of(
            twins["same_as_part"].to_numpy().astype(np.int64), twins["same_as_row"].to_numpy()
        )
        twice = np.isin(
            found["row"].to_numpy(), twins["row"].to_numpy()
        )  # a run was killed between two files
        kept = found.filter(~twice)
        rows = np.concatenate([kept["row"].to_numpy(), twins["row"].to_numpy()])
        of_twins = np.where(np.isin(twins["row"].to_numpy(), found["row"].to_numpy()), -1, of_twins)
        order = np.argsort(rows)
        return Done(
            pa.concat_tables([kept, twins.select(CRYSTALS.names)]).take(order),
            np.concatenate([first[~twice], of_twins])[order],
        )

    def move(self, part: int, done: Done, first: Places, ids: Mapping[int, str]) -> bool:
        """Let the files of a part that is done say what `first` does; False if predictions are missing."""
        is_first = first == places_of(part, done.crystals["row"].to_numpy())
        wanted = done.crystals["row"].to_numpy()[is_first]
        table = self._read(PREDICTIONS, part)
        if not np.isin(wanted, table["row"].to_numpy()).all():
            return False
        self._write_twins(part, done.crystals.filter(~is_first), first[~is_first], ids)
        self._write(PREDICTIONS, part, table.filter(np.isin(table["row"].to_numpy(), wanted)), always=True)
        return True

    def _write_twins(self, part: int, twins: pa.Table, first: Places, ids: Mapping[int, str]) -> None:
        of_twin = [
            pa.array([ids[place] for place in first.tolist()], pa.string()),
            *(pa.array(numbers, pa.int32()) for numbers in part_and_row(first)),
        ]
        self._write(DUPLICATES, part, _joined(twins, pa.table(of_twin, schema=_TWIN)))

    def _write(self, kind: str, part: int, table: pa.Table, *, always: bool = False) -> None:
        """Write the rows of a part; unless `always`, no file where there are none."""
        path = self.path(kind, part)
        if not len(table) and not always:
            path.unlink(missing_ok=True)
            return
        if "part" not in table.column_names:
            table = table.append_column(_PART[0], pa.array(np.full(len(table), part, np.int32)))
        schema = self._schemas.get(kind, table.schema)
        with atomic_path(path) as temporary:
            pq.write_table(
                table.select(schema.names).cast(schema),
                temporary,
                compression="zstd",
                write_page_checksum=True,
            )

    def _read(self, kind: str, part: int, columns: Sequence[str] | None = None) -> Any:
        """Read the rows of a part, None where there are none."""
        path = self.path(kind, part)
        if not path.exists():
            return None
        try:
            return pq.read_table(path, columns=columns, page_checksum_verification=True, partitioning=None)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise CrystalliteError(
                f"{path}: damaged: {first_line(error)}; delete it, and the part is predicted again"
            ) from error


def _joined(table: pa.Table, more: pa.Table) -> pa.Table:
    """Return the columns of two tables with the same rows."""
    return pa.table([*table.columns, *more.columns], schema=pa.schema([*table.schema, *more.schema]))
