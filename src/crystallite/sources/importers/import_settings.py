"""What an import can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ImportSettings:
    """What an import can be told; each importer takes what it needs.

    Attributes:
        table: The file with the properties.
        id_column: Its column of ids, or the key of the ids in records.
        target: The name for the values of id_prop.csv.
        units: Column -> unit, instead of what the files say.
        skip_bad: Leave out crystals that cannot be used instead of raising CrystalliteError with a list of
            them.
        workers: Processes that read files.
        journal: A folder for what has been read of many CIFs or POSCARs, so that an interrupted import
            resumes; `kept_reads.forget` removes it.
    """

    table: str | Path | None = None
    id_column: str = "material_id"
    target: str = "target"
    units: Mapping[str, str] = field(default_factory=dict)
    skip_bad: bool = False
    workers: int = 1
    journal: Path | None = None


DEFAULTS = ImportSettings()
