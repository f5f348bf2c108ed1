"""What every importer shares: its result, and how crystals that cannot be used are collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ...crystals.crystal import Crystal, pack_crystals
from ...datasets.dataset import Dataset
from ...datasets.schema import as_arrow
from ...errors import CrystalError, CrystalliteError, listing
from ..reading.known_properties import energy_notices
from ..reading.table_rows import NOTICES


@dataclass(frozen=True)
class Imported:
    """A dataset made of foreign files.

    bad: (source, reason) of every crystal left out. notices: sentences about what was otherwise odd.
    """

    dataset: Dataset
    bad: list[tuple[str, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def assemble(
    crystals: Sequence[Crystal | CrystalError],
    table: pa.Table,
    *,
    name: str,
    skip_bad: bool,
    notices: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
) -> Imported:
    """Join crystals with the rows of `table` (material_id and properties) at the same places.

    A CrystalError stands for a crystal that cannot be used. Raises CrystalliteError listing the first of them
    and their number, unless skip_bad; then they are left out. `units` override those the table's
    fields have.
    """
    bad = [(c.source, c.reason) for c in crystals if isinstance(c, CrystalError)]
    good = [c for c in crystals if isinstance(c, Crystal)]
    if bad and not (skip_bad and good):
        raise CrystalliteError(_report(bad, len(crystals)))
    if not good:
        raise CrystalliteError(f"{name}: no crystals")
    if bad:
        kept = [row for row, crystal in enumerate(crystals) if isinstance(crystal, Crystal)]
        table = table.take(as_arrow(np.array(kept), pa.int64()))
    properties = {column: table[column] for column in table.column_names if column != "material_id"}
    ids = table["material_id"].to_pylist()
    told = (table.schema.metadata or {}).get(NOTICES, b"").decode().splitlines()
    units = {**_field_units(table), **(units or {})}
    metadata = {"source": f"imported from {name}"}
    dataset = Dataset.from_arrays(pack_crystals(good), ids, properties, units, name=name, metadata=metadata)
    return Imported(dataset, bad, [*told, *notices, *energy_notices(dataset.properties)])


def _field_units(table: pa.Table) -> dict[str, str]:
    fields = ((field.name, field.metadata or {}) for field in table.schema)
    return {name: metadata[b"unit"].decode() for name, metadata in fields if b"unit" in metadata}


def _report(bad: list[tuple[str, str]], total: int) -> str:
    lines = listing([f"{source}: {reason}" for source, reason in bad])
    hint = "" if len(bad) == total else "\nTo leave them out: --skip-bad (in Python: skip_bad=True)"
    return f"{len(bad):,} of {total:,} crystals cannot be used:\n{lines}{hint}"
