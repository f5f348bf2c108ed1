"""Lists of ids, and maps from one id to another (such as Materials Project tasks to today's materials)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from ...datasets.parquet import open_parquet
from ...errors import CrystalliteError
from ...files.csv_tables import meant
from ..reading.archive_stream import open_archive
from ..reading.tables import read_columns
from ..reading.text_table import read_text_table

HEADERS = {"id", "ids", "material_id", "mp_id", "mpid", "paper_id", "task_id", "materialid"}


def read_ids(path: str | Path) -> list[str]:
    """Return the ids in a file, in their order and with their repetitions.

    path: text or CSV, where the first cell of every line is an id (a first line such as `material_id` is a
    header), or Parquet with a column material_id. Raises CrystalliteError if there are none.
    """
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        ids = [str(i) for i in _parquet_table(path, ["material_id"])["material_id"].to_pylist()]
    else:
        ids = [meant(row[0]) for row in read_text_table(path).rows if row[0]]
        ids = ids[1:] if ids and ids[0].lower() in HEADERS else ids
    if not ids:
        raise CrystalliteError(f"{path}: no ids; write one id per line")
    strange = next((i for i in ids if not i.isprintable() or len(i) > 200), None)
    if strange is not None:
        raise CrystalliteError(f"{path}: not a list of ids: it has {strange[:40]!r}; write one id per line")
    return ids


def read_id_map(path: str | Path) -> dict[str, str]:
    """Return the map from an id to the id it goes by today.

    path: .json with one object, the same compressed (.json.zstd, .json.zst, .json.gz), or .csv or .parquet
    whose first two columns are the id and today's id, such as the .ids.csv of `fetch mp`; a CSV has a header
    and an empty cell is no entry. Raises CrystalliteError for anything else.
    """
    path = Path(path)
    name = path.name.lower()
    if name.endswith((".json", ".json.zstd", ".json.zst", ".json.gz")):
        return _json_map(path)
    if name.endswith((".csv", ".parquet")):
        columns = read_columns(path)[1] if name.endswith(".csv") else _columns(_parquet_table(path, None))
        if len(columns) < 2:
            raise CrystalliteError(f"{path}: a map needs two columns, the id and today's id")
        pairs = zip(columns[0], columns[1], strict=True)
        filled = (
            (str(old), str(new)) for old, new in pairs if old not in (None, "") and new not in (None, "")
        )
        return {meant(old): meant(new) for old, new in filled} if name.endswith(".csv") else dict(filled)
    raise CrystalliteError(f"{path}: a map of ids is a .json, .json.zstd, .csv or .parquet file")


def _json_map(path: Path) -> dict[str, str]:
    wrong = CrystalliteError(
        f'{path}: not a map of ids; it should be one object {{"id": "today\'s id", ...}}'
    )
    pairs: dict[str, str] = {}
    with open_archive(path) as reader:
        if not reader.is_map():
            raise wrong
        for old in reader.members():
            new = reader.value()
            if not isinstance(new, str):
                raise wrong
            pairs[old] = new
    return pairs


def _columns(table: pa.Table) -> list[list[Any]]:
    return [column.to_pylist() for column in table.columns]


def _parquet_table(path: Path, columns: list[str] | None) -> pa.Table:
    with open_parquet(path) as file:
        table = file.read(columns=columns)
    missing = [name for name in columns or () if name not in table.column_names]
    if missing:
        raise CrystalliteError(f"{path}: no column {', '.join(missing)}")
    return table
