"""Writing datasets as JSON and MessagePack archives: rcgcnn's cifs and props, Matbench tasks, pymatgen lists.

Numbers are exact; missing values are null. Crystals are written one at a time.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...computing.progress import progress_bar
from ...crystals.crystal import Crystal
from ...datasets.dataset import Dataset
from ...errors import CrystalliteError, shortened
from ...files.writing import atomic_path
from ..reading.archive_stream import message_pack, split_name
from ..reading.known_properties import UNITS
from ..reading.pymatgen_json import structure_dict

ZSTD_LEVEL = 10  # as rcgcnn's

Members = Iterator[tuple[str, Any]]


def export_rcgcnn(dataset: Dataset, path: Path) -> list[str]:
    """Write {id: structure} to `path`, whose name has cifs in it, and {id: {property: value}} beside it.

    The second file has props for cifs in its name. Returns notices of what the format cannot hold. Raises
    CrystalliteError for another name and for ids that are there twice.
    """
    stem, encoding, _ = split_name(path)
    if "cifs" not in stem:
        example = f"{stem}-cifs{path.name.removeprefix(stem)}"
        raise CrystalliteError(
            f"--output {path}: crystals and properties become two files: name it {example}"
        )
    twice = [name for name, count in Counter(dataset.ids).items() if count > 1]
    if twice:
        raise CrystalliteError(f"repeated ids would share an entry: {shortened(twice)}")
    properties = path.with_name(path.name.replace("cifs", "props"))
    write = _write_json_map if encoding == ".json" else _write_message_pack_map
    write(path, len(dataset), zip(dataset.ids, map(structure_dict, crystals_of(dataset)), strict=True))
    write(properties, len(dataset), zip(dataset.ids, records(dataset), strict=True))
    lost = [f"{name} ({unit})" for name, unit in dataset.units.items() if UNITS.get(name) != unit]
    return [f"properties are in {properties}", *units_notice(lost)]


def export_matbench(dataset: Dataset, path: Path) -> list[str]:
    """Write {"index": ids, "columns": ["structure", ...], "data": rows} as a Matbench v0.1 task has it."""
    head = {"index": dataset.ids, "columns": ["structure", *property_names(dataset)]}
    with _written(path) as file:
        file.write(f"{_json(head)[:-1]},".encode() + b'"data":[')
        for row, (crystal, record) in enumerate(zip(crystals_of(dataset), records(dataset), strict=True)):
            cells = _json([structure_dict(crystal), *record.values()])
            file.write(f"{',' if row else ''}{cells}".encode())
        file.write(b"]}")
    return units_notice([f"{name} ({unit})" for name, unit in dataset.units.items()])


def export_pymatgen_list(dataset: Dataset, path: Path) -> list[str]:
    """Write [{"material_id": ..., "structure": ..., property: value, ...}, ...] in JSON."""
    with _written(path) as file:
        file.write(b"[")
        rows = zip(dataset.ids, crystals_of(dataset), records(dataset), strict=True)
        for row, (name, crystal, record) in enumerate(rows):
            text = _json({"material_id": name, "structure": structure_dict(crystal), **record})
            file.write(f"{',' if row else ''}\n{text}".encode())
        file.write(b"\n]\n")
    lost = [f"{name} ({unit})" for name, unit in dataset.units.items() if UNITS.get(name) != unit]
    return units_notice(lost)


def property_names(dataset: Dataset) -> list[str]:
    """Return the names of all properties and labels in the table's order."""
    known = {*dataset.properties, *dataset.label_names}
    return [name for name in dataset.table.column_names if name in known]


def crystals_of(dataset: Dataset) -> Iterator[Crystal]:
    """Yield the crystals; a bar appears if it takes long."""
    yield from progress_bar(dataset, doing="writing", unit="crystals", total=len(dataset))


def records(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield the properties and labels of every crystal, None where missing."""
    table = dataset.table.select(property_names(dataset))
    if not table.column_names:
        yield from ({} for _ in range(len(dataset)))
        return
    for batch in table.to_batches(max_chunksize=1000):
        yield from batch.to_pylist()


def units_notice(lost: list[str]) -> list[str]:
    """Return a notice that these units are not in the file."""
    return [f"units are not in the file: {', '.join(lost)}; give them again with --unit"] if lost else []


def _write_json_map(path: Path, _: int, members: Members) -> None:
    with _written(path) as file:
        file.write(b"{")
        for row, (name, value) in enumerate(members):
            file.write(f"{',' if row else ''}{_json(name)}:{_json(value)}".encode())
        file.write(b"}")


def _write_message_pack_map(path: Path, length: int, members: Members) -> None:
    packer = message_pack().Packer()
    with _written(path) as file:
        file.write(packer.pack_map_header(length))
        for name, value in members:
            file.write(packer.pack(name) + packer.pack(value))


_json: Callable[[Any], str] = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


@contextmanager
def _written(path: Path) -> Iterator[Any]:
    """Open a file for writing that replaces `path` when the block ends, compressed as its name says."""
    compression = split_name(path)[2]
    with atomic_path(path) as temporary:
        if compression == ".gz":
            with temporary.open("wb") as raw, gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as file:
                yield file
        elif compression:
            plain = temporary.with_suffix(".plain")
            try:
                with plain.open("wb") as raw:
                    yield raw
                _compress(plain, temporary)
            finally:
                plain.unlink(missing_ok=True)
        else:
            with temporary.open("wb") as raw:
                yield raw


def _compress(plain: Path, compressed: Path) -> None:
    """Compress to one zstd frame that tells its length, which rcgcnn's reader needs; a stream would not."""
    with pa.memory_map(str(plain)) as file:
        compressed.write_bytes(pa.Codec("zstd", ZSTD_LEVEL).compress(file.read_buffer()))
