"""Crystals together with their properties."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from ..crystals.crystal import Crystal, CrystalArrays, as_crystal, pack_crystals
from ..errors import CrystalliteError, suggestion
from ..extras import needed
from ..files.html_tables import html_table
from .builtin import BUILTIN, builtin_name, builtin_path
from .columns import is_number_text
from .frames import crystal_table, ids_and_columns
from .mapped import read_table
from .parquet import COMPRESSION_LEVEL, iter_tables, write_parquet
from .parquet_paths import is_parquet_dataset
from .rows import selected_rows
from .schema import (
    FORMAT_VERSION,
    METADATA_PREFIX,
    STRUCTURE,
    as_arrow,
    as_numpy,
    checked_table,
    crystal_arrays,
    is_number,
    property_column,
    structure_arrays,
)

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

SHOWN = 5  # crystals in a notebook


class Dataset:
    """Crystals and their properties, unchangeable, backed by an Arrow table.

    Make one with Dataset.read, Dataset.from_crystals or Dataset.from_arrays. Iterating yields Crystal
    objects; `arrays` has all of them at once in the form compiled code works on.
    """

    def __init__(self, table: pa.Table, name: str = "") -> None:
        """Wrap a table that datasets.schema.checked_table has returned."""
        self._table = table
        self.name = name

    # ---- making one

    @classmethod
    def read(cls, source: str | Path) -> Dataset:
        """Read a dataset.

        Args:
            source: A built-in name (`elastic`, `formation`, `dielectric`; `builtin:elastic` whatever the
                folder holds), a .parquet file or a folder of Parquet parts; crystallite.read_dataset reads
                more. Crystals of large files stay on disk (docs/large_datasets.md).

        Returns:
            The crystals, their ids and their properties, each in the unit that the file states.

        Raises:
            CrystalliteError: The source is none of these, or a file is malformed; file, column and row are
                named.
        """
        path = _path_of(source)
        return cls(read_table(path), path.stem)

    @classmethod
    def from_crystals(
        cls,
        crystals: Iterable[Any],
        ids: Sequence[str] | None = None,
        properties: Mapping[str, Any] | pd.DataFrame | None = None,
        units: Mapping[str, str] | None = None,
        *,
        name: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Dataset:
        """Make a dataset of Crystal, pymatgen Structure or ASE Atoms objects.

        Args:
            crystals: N crystals in whatever can be iterated.
            ids: One for each crystal; by default the column material_id of the properties, or else "0", "1",
                ...
            properties: Column name -> N values (NaN or None where missing), or a DataFrame whose rows are in
                the order of the crystals.
            units: Column name -> unit.
            name: Name of the dataset.
            metadata: Title, source, licence, description.

        Returns:
            The dataset, its crystals in the given order.

        Raises:
            CrystalError: One crystal cannot be used; its id is named.
            CrystalliteError: An id is missing, a column has another length or cannot be read, or a unit is
                given for what is not a property.
        """
        crystals = list(crystals)
        columns = dict(properties.items()) if properties is not None else {}
        if ids is None:
            ids = columns.pop("material_id", None)
        names = [str(i) for i in range(len(crystals))] if ids is None else _id_texts(ids)
        _check_length("ids", len(names), len(crystals))
        arrays = pack_crystals(as_crystal(crystal, i) for crystal, i in zip(crystals, names, strict=True))
        return cls.from_arrays(arrays, names, columns, units, name=name, metadata=metadata)

    @classmethod
    def from_arrays(
        cls,
        arrays: CrystalArrays,
        ids: Sequence[str],
        properties: Mapping[str, Any] | None = None,
        units: Mapping[str, str] | None = None,
        *,
        name: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Dataset:
        """Make a dataset of crystals in flat arrays.

        Args:
            arrays: N crystals as CrystalArrays.
            ids: One for each crystal.
            properties: Column name -> N values (NaN or None where missing).
            units: Column name -> unit.
            name: Name of the dataset.
            metadata: Title, source, licence, description.

        Returns:
            The dataset, its crystals in the given order.

        Raises:
            CrystalliteError: The crystals, ids or properties are malformed; column and row are named.
        """
        _check_length("ids", len(ids), arrays.n_crystals)
        columns = [pa.array(_id_texts(ids), pa.string()), *structure_arrays(*arrays)]
        table = pa.table(columns, schema=STRUCTURE)
        dataset = cls(checked_table(table, name or "crystals"), name).with_metadata(metadata or {})
        return dataset._with_properties(properties or {}, units or {})

    @classmethod
    def from_pandas(
        cls,
        frame: pd.DataFrame,
        units: Mapping[str, str] | None = None,
        *,
        structures: str = "structure",
        name: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Dataset:
        """Make a dataset of a pandas DataFrame with one row for each crystal; the inverse of `to_pandas`.

        Args:
            frame: The crystals are in a column of Crystal, pymatgen Structure or ASE Atoms objects, or in the
                columns lattice (9 numbers, Å), numbers and frac_coords (3 numbers for each atom) that
                `to_pandas` makes. Ids are in the column material_id, or else in the index. All other columns
                become properties (numbers, truth values) or labels (text), NaN and None where missing.
            units: Column name -> unit; a DataFrame has no place for them.
            structures: Name of the column of objects.
            name: Name of the dataset.
            metadata: Title, source, licence, description.

        Returns:
            The dataset, its crystals in the order of the rows.

        Raises:
            CrystalliteError: There are no crystals in the frame, or a column cannot be read; it is named.
            CrystalError: One crystal cannot be used; its id is named.
        """
        given, columns = ids_and_columns(frame)
        ids = _id_texts(given)
        if structures in columns:
            crystals = list(columns.pop(structures))
            return cls.from_crystals(crystals, ids, columns, units, name=name, metadata=metadata)
        table = crystal_table(columns, ids, structures)
        dataset = cls(checked_table(table, name or "DataFrame"), name).with_metadata(metadata or {})
        properties = {column: values for column, values in columns.items() if column not in STRUCTURE.names}
        return dataset._with_properties(properties, units or {})

    # ---- what is in it

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[Crystal]:
        return (self.arrays.crystal(index) for index in range(len(self)))

    @overload
    def __getitem__(self, which: int) -> Crystal: ...

    @overload
    def __getitem__(self, which: slice | ArrayLike) -> Dataset: ...

    def __getitem__(self, which: Any) -> Crystal | Dataset:
        """Return the crystal at an integer (negative counts from the end), or a Dataset of several.

        Args:
            which: An integer, a slice, or what `select` takes.

        Raises:
            IndexError: There are fewer crystals.
            CrystalliteError: `which` is none of these.
        """
        if isinstance(which, str):
            raise CrystalliteError(
                f"data[{which!r}]: data.values({which!r}) returns a property, "
                f"data.select([{which!r}]) the crystal with this id"
            )
        if isinstance(which, Integral) and not isinstance(which, bool):
            return self.crystal(int(which))
        return self.select(range(len(self))[which] if isinstance(which, slice) else which)

    def __repr__(self) -> str:
        return f"<Dataset {self.name or 'unnamed'}: {len(self):,} crystals; {', '.join(self.properties)}>"

    def _repr_html_(self) -> str:
        """Return the first crystals as an HTML table, which notebooks show."""
        first, names = self[:SHOWN], [*self.properties, *self.label_names]
        units = [f" ({self.units[name]})" if name in self.units else "" for name in names]
        header = [*("material_id", "formula", "atoms"), *map("".join, zip(names, units, strict=True))]
        formulas, sizes = [crystal.formula for crystal in first], map(len, first)
        columns = [first.table[name].to_pylist() for name in names]
        rows = zip(first.ids, formulas, sizes, *columns, strict=True)
        part = f"the first {SHOWN} of " if len(self) > SHOWN else ""
        return html_table(header, rows, f"{self.name or 'unnamed'}: {part}{len(self):,} crystals")

    @property
    def table(self) -> pa.Table:
        """The Arrow table: material_id, lattice, numbers, frac_coords and the properties."""
        return self._table

    @property
    def ids(self) -> list[str]:
        """The material id of every crystal."""
        result: list[str] = self._table["material_id"].to_pylist()
        return result

    @property
    def properties(self) -> list[str]:
        """The names of the columns `values` can return: numbers, integers and truth values."""
        return [field.name for field in self._property_fields() if is_number(field.type)]

    @property
    def label_names(self) -> list[str]:
        """The names of the text columns, such as one that says which set of a split a crystal is in."""
        return [field.name for field in self._property_fields() if pa.types.is_string(field.type)]

    @property
    def units(self) -> dict[str, str]:
        """The unit of every column that has one."""
        fields = self._property_fields()
        return {f.name: f.metadata[b"unit"].decode() for f in fields if f.metadata and b"unit" in f.metadata}

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself: title, source, licence, description, format, ..."""
        prefix = METADATA_PREFIX.encode()
        pairs = (self._table.schema.metadata or {}).items()
        return {key[len(prefix) :].decode(): value.decode() for key, value in pairs if key.startswith(prefix)}

    def values(self, name: str) -> NDArray[np.float64]:
        """Return a property of every crystal.

        Args:
            name: One of `properties`.

        Returns:
            (N,) float64 in the unit that `units` has for it, NaN where missing.

        Raises:
            CrystalliteError: There is no such property (similar names are listed), or it is text.
        """
        if name in self.label_names:
            texts = [text for text in self.labels(name) if text is not None and not is_number_text(text)]
            example = f" (such as {texts[0]!r})" if texts else ""
            raise CrystalliteError(f"{name} of {self._title} is text, not numbers{example}")
        column = self._column(name, self.properties).combine_chunks()
        return as_numpy(column).astype(np.float64)

    def labels(self, name: str) -> list[str | None]:
        """Return a column of every crystal as text.

        Args:
            name: One of `label_names` or `properties`.

        Returns:
            N texts, None where missing.

        Raises:
            CrystalliteError: There is no such column; similar names are listed.
        """
        column = self._column(name, [*self.label_names, *self.properties])
        return [None if value is None else str(value) for value in column.to_pylist()]

    @cached_property
    def arrays(self) -> CrystalArrays:
        """All crystals as CrystalArrays, views of the table's memory: do not write to them."""
        return crystal_arrays(self._table)

    def crystal(self, index: int) -> Crystal:
        """Return one crystal, sharing memory with the dataset.

        Args:
            index: Its row from 0; negative ones count from the end.

        Returns:
            The crystal.

        Raises:
            IndexError: There are fewer crystals.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no crystal {index}: {self._title} has {len(self):,} crystals")
        return self.arrays.crystal(index % len(self))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of the crystals in their order; ids, properties and file do not matter."""
        digest = hashlib.sha256()
        for array in self.arrays:
            digest.update(array.tobytes() if not array.flags.c_contiguous else array.data)
        return digest.hexdigest()

    # ---- making another of it

    def select(self, which: ArrayLike) -> Dataset:
        """Return some of the crystals.

        Args:
            which: Material ids; or integers, of which negative ones count from the end; or (N,) truth values,
                one for each crystal.

        Returns:
            A dataset of these crystals, in the order of the ids or integers.

        Raises:
            CrystalliteError: An id is unknown or that of several crystals, or `which` is none of the three.
            IndexError: There are fewer crystals.
        """
        rows = selected_rows(which, self._table["material_id"], self._title)
        return Dataset(self._table.take(as_arrow(rows, pa.int64())).combine_chunks(), self.name)

    def with_property(self, name: str, values: Any, unit: str | None = None) -> Dataset:
        """Return a dataset with one more property, or with other values of one it has.

        Args:
            name: Name of the property.
            values: N numbers, texts or truth values; NaN and None are missing.
            unit: Unit of the values, if they have one.

        Returns:
            A dataset of the same crystals.

        Raises:
            CrystalliteError: The name is that of a structure column, the values cannot be read, or there are
                not N of them.
        """
        if name in STRUCTURE.names:
            raise CrystalliteError(f"{name} describes the crystal itself; give the property another name")
        column = property_column(values, name)
        _check_length(f"property {name}", len(column), len(self))
        field = pa.field(name, column.type, metadata={"unit": unit} if unit else None)
        if name in self._table.column_names:
            table = self._table.set_column(self._table.column_names.index(name), field, column)
        else:
            table = self._table.append_column(field, column)
        return Dataset(table, self.name)

    def with_metadata(self, metadata: Mapping[str, str]) -> Dataset:
        """Return a dataset with these metadata entries set.

        Args:
            metadata: Entry -> text, such as title, source, licence and description; other entries are kept.

        Returns:
            A dataset of the same crystals and properties.
        """
        known = self._table.schema.metadata or {}
        entries = {**metadata, "format": str(FORMAT_VERSION)}
        added = {f"{METADATA_PREFIX}{key}".encode(): value.encode() for key, value in entries.items()}
        return Dataset(self._table.replace_schema_metadata({**known, **added}), self.name)

    def write(self, path: str | Path, level: int = COMPRESSION_LEVEL) -> None:
        """Write one Parquet file, replacing any old one in a single step.

        Args:
            path: The file, usually named .parquet.
            level: Compression level of zstd, 1 to 22.

        Raises:
            WriteError: The file cannot be written.
        """
        write_parquet(self.with_metadata({})._table, Path(path), level)

    def to_pandas(self) -> pd.DataFrame:
        """Return all columns as a pandas DataFrame.

        Returns:
            One row for each crystal: material_id, lattice (9 numbers, Å), numbers and frac_coords (3 numbers
            for each atom) as arrays, and the properties, NaN or None where missing. Units are left behind.

        Raises:
            CrystalliteError: pandas is not installed.
        """
        needed("pandas", "to_pandas", "pandas")
        return self._table.to_pandas()

    # ---- inside

    @property
    def _title(self) -> str:
        return self.name or "this dataset"

    def _with_properties(self, properties: Mapping[str, Any], units: Mapping[str, str]) -> Dataset:
        dataset, without = self, {name: unit for name, unit in units.items() if name not in properties}
        if without:
            raise CrystalliteError(f"a unit is given for {', '.join(without)}, which is not a property")
        for name, values in properties.items():
            dataset = dataset.with_property(name, values, units.get(name))
        return dataset

    def _property_fields(self) -> list[pa.Field]:
        return [field for field in self._table.schema if field.name not in STRUCTURE.names]

    def _column(self, name: str, known: list[str]) -> pa.ChunkedArray:
        if name not in known:
            raise CrystalliteError(f"{self._title} has no property {name!r}{suggestion(name, known)}")
        return self._table[name]


def iter_batches(path: str | Path, batch_size: int) -> Iterator[Dataset]:
    """Read a dataset too large for memory: yield Datasets of at most `batch_size` crystals, in order.

    path: a built-in name, a .parquet file or a folder of Parquet parts. Raises as Dataset.read.
    """
    found = _path_of(path)
    return (Dataset(table, found.stem) for table in iter_tables(found, batch_size))


def _path_of(source: str | Path) -> Path:
    """Return where a built-in dataset, a .parquet file or a folder of them is."""
    name = builtin_name(source)
    if name is not None:
        return builtin_path(name)
    path = Path(source)
    if str(source) and is_parquet_dataset(path):
        return path
    raise CrystalliteError(
        f"{str(source)!r} is no .parquet file, no folder of .parquet files and no built-in dataset"
        f"{suggestion(str(source), list(BUILTIN))}; crystallite.read_dataset also reads folders of CIFs"
    )


def _id_texts(ids: Iterable[Any]) -> list[str]:
    """Return ids as text; numbers are written in full. Raises CrystalliteError for a missing id."""
    given = list(ids)
    for row, name in enumerate(given):
        if name is None or name != name:  # NaN alone is not itself
            raise CrystalliteError(f"crystal {row} (counted from 0) has no id")
    return [str(name) for name in given]


def _check_length(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise CrystalliteError(f"{what}: {found} values for {expected} crystals")
