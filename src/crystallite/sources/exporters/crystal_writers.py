"""Crystals written one after another: CIFs in a folder or an archive, or a dataset.

Memory does not grow with their number, and a file or folder takes its name when it is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import BufferedIOBase
from pathlib import Path

from ...crystals.crystal import Crystal, pack_crystals
from ...files.archives import Add, tar_gz_writer, tar_writer, zip_writer
from ...files.writing import atomic_folder, atomic_path
from .published_layout import cif_text, coordinate_texts

Write = Callable[[str, Crystal, Sequence[str]], None]  # id, crystal, labels
ARCHIVES: dict[str, Callable[[BufferedIOBase], AbstractContextManager[Add]]] = {
    ".tar": tar_writer,
    ".tar.gz": tar_gz_writer,
    ".zip": zip_writer,
}
DATASET = ".parquet"


def ending_of(path: Path) -> str:
    """Return which ending of a file with crystals the path has; "" if it has none, and is a folder."""
    return next((ending for ending in (*ARCHIVES, DATASET) if path.name.lower().endswith(ending)), "")


@contextmanager
def crystal_writer(path: Path, labels: Sequence[str]) -> Iterator[Write]:
    """Yield a function that adds a crystal.

    An id is fit for the name of a file, and is there once. labels: names of the texts that a dataset has of
    every crystal; CIFs are without.
    """
    ending = ending_of(path)
    if ending == DATASET:
        with _dataset_writer(path, labels) as write:
            yield write
    elif ending:
        with atomic_path(path) as temporary, temporary.open("wb") as file, ARCHIVES[ending](file) as add:
            yield _cif_writer(add)
    else:
        with atomic_folder(path) as folder:
            yield _cif_writer(lambda name, content: (folder / name).write_bytes(content))


def _cif_writer(add: Add) -> Write:
    """Return a function that adds the CIF of a crystal; one with the coordinates of the last is faster."""
    coordinates, texts = None, [""]

    def write(name: str, crystal: Crystal, _: Sequence[str]) -> None:
        nonlocal coordinates, texts
        if crystal.frac_coords is not coordinates:
            coordinates, texts = crystal.frac_coords, coordinate_texts(crystal.frac_coords)
        add(f"{name}.cif", cif_text(crystal, name, texts).encode())

    return write


@contextmanager
def _dataset_writer(path: Path, labels: Sequence[str]) -> Iterator[Write]:
    import pyarrow as pa

    from ...datasets.parquet import ROW_GROUP, parquet_writer
    from ...datasets.schema import FORMAT_VERSION, METADATA_PREFIX, STRUCTURE, structure_arrays

    schema = pa.schema([*STRUCTURE, *((label, pa.string()) for label in labels)])
    schema = schema.with_metadata({f"{METADATA_PREFIX}format": str(FORMAT_VERSION)})
    waiting: list[tuple[str, Crystal, Sequence[str]]] = []
    with parquet_writer(path, schema) as write_table:

        def flush() -> None:
            ids, crystals, texts = zip(*waiting, strict=True)
            arrays = structure_arrays(*pack_crystals(crystals))
            columns = [pa.array(column, pa.string()) for column in (ids, *zip(*texts, strict=True))]
            write_table(pa.table([columns[0], *arrays, *columns[1:]], schema=schema))
            waiting.clear()

        def write(name: str, crystal: Crystal, texts: Sequence[str]) -> None:
            waiting.append((name, crystal, texts))
            if len(waiting) == ROW_GROUP:
                flush()

        yield write
        if waiting:
            flush()
