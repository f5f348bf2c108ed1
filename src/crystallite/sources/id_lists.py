"""Lists of ids, and maps from one id to another (such as Materials Project tasks to today's materials)."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from ..errors import CrystalliteError

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
        lines = _bytes(path).decode("utf-8-sig", errors="replace").splitlines()
        cells = [line.split(",")[0].strip().strip('"') for line in lines]
        ids = [cell for cell in cells if cell]
        ids = ids[1:] if ids and ids[0].lower() in HEADERS else ids
    if not ids:
        raise CrystalliteError(f"{path}: no ids; write one id in every line")
    strange = next((i for i in ids if not i.isprintable() or len(i) > 200), None)
    if strange is not None:
        raise CrystalliteError(
            f"{path}: not a list of ids: it has {strange[:40]!r}; write one id in every line"
        )
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
        table = _csv_table(path) if name.endswith(".csv") else _parquet_table(path, None)
        if table.num_columns < 2:
            raise CrystalliteError(f"{path}: a map needs two columns, the id and today's id")
        pairs = zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True)
        return {str(old): str(new) for old, new in pairs if old not in (None, "") and new not in (None, "")}
    raise CrystalliteError(f"{path}: a map of ids is a .json, .json.zstd, .csv or .parquet file")


def _json_map(path: Path) -> dict[str, str]:
    try:
        pairs = json.loads(_bytes(path))
    except ValueError as error:
        raise CrystalliteError(f"{path}: not readable JSON: {error}") from None
    if not isinstance(pairs, dict) or not all(isinstance(new, str) for new in pairs.values()):
        raise CrystalliteError(
            f'{path}: not a map of ids; it should be one object {{"id": "today\'s id", ...}}'
        )
    return pairs


def _bytes(path: Path) -> bytes:
    """Return what is in a file, decompressed as its name says."""
    codec = {".zstd": "zstd", ".zst": "zstd", ".gz": "gzip"}.get(path.suffix.lower())
    try:
        with pa.input_stream(str(path), compression=codec) as file:
            content: bytes = file.read()
    except FileNotFoundError:
        raise CrystalliteError(f"no file {path}") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise CrystalliteError(f"{path}: cannot be read: {error}") from None
    return content


def _csv_table(path: Path) -> pa.Table:
    """Return a table whose columns are text: an id such as 00123 stays as it is."""
    from pyarrow import csv

    try:
        with csv.open_csv(path) as reader:
            types = dict.fromkeys(reader.schema.names, pa.string())
        return csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=types))
    except (ValueError, OSError) as error:  # ValueError: Arrow's errors, and text that is not UTF-8
        raise CrystalliteError(f"{path}: not a readable CSV table: {error}") from None


def _parquet_table(path: Path, columns: list[str] | None) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path).read(columns=columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise CrystalliteError(f"{path}: not a readable Parquet table: {error}") from None
