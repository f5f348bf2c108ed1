"""The folder of a screening: what was asked, and Parquet files of what became of every crystal.

    screening.json      what was asked, of which inputs, and the version of this layout
    predictions/        one row for each distinct material, with its predictions
    duplicates/         one row for each further crystal of a material, with the one that was predicted
    bad/                one row for each crystal or file that cannot be used, with the reason
    odd/                one row for each oddity of a crystal that could be used
    summary.json        how many of each there are, when all is done

Each piece of the input has a file part-00000000.parquet in them, with its number; where there would be no
rows there is none, but in predictions, whose file comes last: a piece that has it is done, and it says which
piece it is of and how many rows the other files have. Files appear whole or not at all. DuckDB, polars and
pandas read a folder as one table.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..errors import CrystalliteError, first_line
from ..files.typed_tables import Column, arrow_field
from ..files.writing import replacing
from ..models.predictor import NO_NUMBER
from .seen import part_and_row, places_of
from .work import CRYSTALS, Crystals, Predicted

PREDICTIONS, DUPLICATES, BAD, ODD = "predictions", "duplicates", "bad", "odd"
KINDS = (PREDICTIONS, DUPLICATES, BAD, ODD)

UNFINISHED = ".unfinished"
_ABOUT = b"crystallite.part"  # key of the metadata of a part: its piece, and the rows of each kind
_PART = pa.schema([pa.field("part", pa.int32())])
_TWIN = pa.schema([("same_as", pa.string()), ("same_as_part", pa.int32()), ("same_as_row", pa.int32())])

Places = NDArray[np.int64]


def keys_of(crystals: pa.Table) -> NDArray[np.int64]:
    """Return (N, 2) the keys of crystals."""
    names = ("material_key", "material_key_shifted")
    return np.stack([crystals[name].to_numpy() for name in names], axis=1)


class Done(NamedTuple):
    """The crystals of a part that is done: a table of those that have a graph, as `Crystals` has it, the
    places of the first of their materials, as the files say, and how many rows each kind has.
    """

    crystals: pa.Table
    first: Places
    counts: dict[str, int]


class Results:
    """The files of a screening. columns: of the predictions."""

    def __init__(self, folder: Path, columns: Sequence[Column]) -> None:
        self.folder, self.columns = folder, list(columns)
        of_crystal, of_place = list(CRYSTALS)[:2], list(CRYSTALS)[2:]
        self._schemas = {
            PREDICTIONS: pa.schema([*of_crystal, *map(arrow_field, columns), *_PART, *of_place]),
            DUPLICATES: pa.schema([*of_crystal, *_TWIN, *_PART, *of_place]),
            BAD: pa.schema([*of_crystal, pa.field("reason", pa.string()), *_PART, *of_place]),
        }
        _refuse_twice(self._schemas[PREDICTIONS].names)

    def path(self, kind: str, part: int) -> Path:
        """Return the file of a part."""
        return self.folder / kind / f"part-{part:08d}.parquet"

    def has(self, part: int) -> bool:
        """Whether a part is done."""
        return self.path(PREDICTIONS, part).exists()

    def files(self) -> list[str]:
        """Return the files of the predictions of all parts, in order."""
        return sorted(str(path) for path in (self.folder / PREDICTIONS).glob("part-*.parquet"))

    def write(
        self,
        part: int,
        piece: str,
        crystals: Crystals,
        first: Places,
        ids: Mapping[int, str],
        predicted: Predicted,
    ) -> dict[str, int]:
        """Write what became of the crystals of a piece; return how many there are of each kind.

        Args:
            part: number of the piece.
            piece: its label, by which it is known again.
            crystals: what was read, N that can be used.
            first: (N,) places of the first of each material.
            ids: ids of these, by place.
            predicted: of those that are the first themselves, in their order.
        """
        self.path(PREDICTIONS, part).unlink(missing_ok=True)  # until all is written the part is not done
        is_first = first == places_of(part, crystals.found["row"].to_numpy())
        firsts = crystals.found.filter(is_first)
        without = firsts.filter(~predicted.are_numbers)
        without = without.append_column("reason", pa.array([NO_NUMBER] * len(without), pa.string()))
        bad = pa.concat_tables([crystals.bad, without], promote_options="default")
        twins = _twins(crystals.found.filter(~is_first), first[~is_first], ids)
        table = _joined(firsts, predicted.table).filter(predicted.are_numbers)
        tables = {BAD: bad.sort_by("row"), ODD: crystals.odd, DUPLICATES: twins, PREDICTIONS: table}
        return self._write(part, piece, tables)

    def read(self, part: int, piece: str) -> Done:
        """Read what has to be known of a part that is done.

        Raises CrystalliteError if a file is damaged or missing, or the part is of another piece.
        """
        found = self._read(PREDICTIONS, part, CRYSTALS.names)
        about = json.loads(found.schema.metadata[_ABOUT])
        if about["piece"] != piece:
            raise CrystalliteError(
                f"{self.path(PREDICTIONS, part)} was made of {about['piece']}, where there is {piece} now: "
                "the inputs have changed, or could not be read then; choose another folder"
            )
        tables = [found]
        if about["counts"][BAD]:
            bad = self._read(BAD, part, CRYSTALS.names)
            tables.append(bad.filter(pc.is_valid(bad["material_key"])))  # without a number for prediction
        firsts = [places_of(part, table["row"].to_numpy()) for table in tables]
        if about["counts"][DUPLICATES]:
            twins = self._read(DUPLICATES, part, [*CRYSTALS.names, "same_as_part", "same_as_row"])
            of_part, row = (twins[f"same_as_{name}"].to_numpy() for name in ("part", "row"))
            tables.append(twins.select(CRYSTALS.names))
            firsts.append(places_of(of_part.astype(np.int64), row))
        crystals = pa.concat_tables([table.replace_schema_metadata() for table in tables])
        order = np.argsort(crystals["row"].to_numpy(), kind="stable")
        return Done(crystals.take(order), np.concatenate(firsts)[order], about["counts"])

    def move(
        self, part: int, piece: str, done: Done, first: Places, ids: Mapping[int, str]
    ) -> dict[str, int] | None:
        """Let the files of a part that is done say what `first` does; return how many there are of each kind.

        None where predictions would be missing: the part is to be written anew.
        """
        rows = done.crystals["row"].to_numpy()
        own = places_of(part, rows)
        if ((first == own) & (done.first != own)).any():
            return None
        kept = [kind for kind in KINDS if done.counts[kind] or kind == PREDICTIONS]
        tables = {kind: self._read(kind, part) if kind in kept else None for kind in KINDS}
        self.path(PREDICTIONS, part).unlink()
        twins = rows[first != own]
        for kind in (PREDICTIONS, BAD):
            table = tables[kind]
            if table is not None:
                tables[kind] = table.filter(~np.isin(table["row"].to_numpy(), twins))
        tables[DUPLICATES] = _twins(done.crystals.filter(first != own), first[first != own], ids)
        return self._write(part, piece, tables)

    def _write(self, part: int, piece: str, tables: Mapping[str, pa.Table | None]) -> dict[str, int]:
        """Write the tables of a part, the predictions last; of the others none without rows."""
        counts = {kind: len(table) if (table := tables[kind]) is not None else 0 for kind in KINDS}
        about = {_ABOUT: json.dumps({"piece": piece, "counts": counts})}
        for kind in reversed(KINDS):
            table = tables[kind]
            if counts[kind] or kind == PREDICTIONS:
                self._replace(kind, part, table, about if kind == PREDICTIONS else {})
            else:
                self.path(kind, part).unlink(missing_ok=True)
        return counts

    def _replace(self, kind: str, part: int, table: Any, metadata: Mapping[bytes, str]) -> None:
        """Write a file whole or not at all; what is unfinished lies where nobody looks for tables."""
        path = self.path(kind, part)
        temporary = self.folder / UNFINISHED / f"{kind}-{part}-{os.getpid()}"
        if "part" not in table.column_names:
            table = table.append_column(_PART[0], pa.array(np.full(len(table), part, np.int32)))
        schema = self._schemas.get(kind, table.schema)
        table = table.select(schema.names).cast(schema).replace_schema_metadata(metadata)
        with replacing(path, temporary, path):
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)

    def _read(self, kind: str, part: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Read the rows of a part."""
        path = self.path(kind, part)
        try:
            return pq.read_table(path, columns=columns, page_checksum_verification=True, partitioning=None)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise CrystalliteError(
                f"{path}: damaged or missing: {first_line(error)}; delete {self.path(PREDICTIONS, part)}, "
                "and the part is predicted again"
            ) from error


def _refuse_twice(names: Sequence[str]) -> None:
    """Raise CrystalliteError for columns of one name, capitals or not, as DuckDB has it."""
    twice = [name for name, count in Counter(name.casefold() for name in names).items() if count > 1]
    if twice:
        raise CrystalliteError(
            f"two columns of the results would be called {twice[0]}: train with another name of the target"
        )


def _twins(crystals: pa.Table, first: Places, ids: Mapping[int, str]) -> pa.Table:
    """Return crystals with the id and the place of the first of their materials."""
    columns = [
        pa.array([ids[place] for place in first.tolist()], pa.string()),
        *(pa.array(numbers, pa.int32()) for numbers in part_and_row(first)),
    ]
    return _joined(crystals, pa.table(columns, schema=_TWIN))


def _joined(table: pa.Table, more: pa.Table) -> pa.Table:
    """Return the columns of two tables with the same rows."""
    return pa.table([*table.columns, *more.columns], schema=pa.schema([*table.schema, *more.schema]))
