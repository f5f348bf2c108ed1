"""What every importer shares: its result, and how crystals that cannot be used are collected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ...datasets.dataset import Dataset
from ...datasets.schema import as_arrow
from ...errors import CrystalliteError, listing
from ..reading.crystal_pile import CrystalPile
from ..reading.known_properties import energy_notices
from ..reading.table_rows import NOTICES
from .import_settings import DEFAULTS, ImportSettings


@dataclass(frozen=True)
class Imported:
    """A dataset made of foreign files.

    bad: (source, reason) of every crystal left out. notices: sentences about what was otherwise odd.
    """

    dataset: Dataset
    bad: list[tuple[str, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def assemble(
    crystals: CrystalPile,
    table: pa.Table,
    settings: ImportSettings = DEFAULTS,
    *,
    name: str,
    notices: Sequence[str] = (),
) -> Imported:
    """Join crystals with the rows of a table at the same places.

    Args:
        crystals: Those that cannot be used are left out with `skip_bad`.
        table: Column material_id and the properties, units in the metadata of its fields.
        settings: Of these `skip_bad` and `units` count.
        name: What the dataset is called.
        notices: What was odd so far.

    Returns:
        The dataset, what was left out, and all that was odd.

    Raises:
        CrystalliteError: There are no crystals, or some cannot be used; it lists the first and their number.
    """
    bad = [(error.source, error.reason) for error in crystals.bad.values()]
    n_good = len(crystals) - len(bad)
    if bad and not (settings.skip_bad and n_good):
        raise CrystalliteError(_report(bad, len(crystals)))
    if not n_good:
        raise CrystalliteError(f"{name}: no crystals")
    if bad:
        kept = np.delete(np.arange(len(crystals)), list(crystals.bad))
        table = table.take(as_arrow(kept, pa.int64()))
    properties = {column: table[column] for column in table.column_names if column != "material_id"}
    ids = table["material_id"].to_pylist()
    told = (table.schema.metadata or {}).get(NOTICES, b"").decode().splitlines()
    units = {**_field_units(table), **settings.units}
    metadata = {"source": f"imported from {name}"}
    dataset = Dataset.from_arrays(crystals.arrays, ids, properties, units, name=name, metadata=metadata)
    return Imported(dataset, bad, [*told, *notices, *energy_notices(dataset.properties)])


def _field_units(table: pa.Table) -> dict[str, str]:
    fields = ((field.name, field.metadata or {}) for field in table.schema)
    return {name: metadata[b"unit"].decode() for name, metadata in fields if b"unit" in metadata}


def _report(bad: list[tuple[str, str]], total: int) -> str:
    lines = listing([f"{source}: {reason}" for source, reason in bad])
    hint = "" if len(bad) == total else "\nTo leave them out: --skip-bad (in Python: skip_bad=True)"
    return f"{len(bad):,} of {total:,} crystals cannot be used:\n{lines}{hint}"
