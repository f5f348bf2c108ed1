"""Fetching a dataset from the Materials Project, from ids to a Parquet file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ....computing.progress import progress_bar
from ....datasets.dataset import Dataset
from ....errors import CrystalError, CrystalliteError
from ....files.csv_tables import write_csv
from ..client import JsonClient, ServiceError
from ..journal import Journal
from . import queries
from .ids import check_ids, format_id
from .resolve import Resolved, resolve_ids
from .rows import SUMMARY_FIELDS, THERMO_FIELDS, Rows

# Our name -> what the database calls it; the server stores R2SCAN as r2SCAN and may correct that some day.
THERMO_TYPES = {
    "GGA_GGA+U": "GGA_GGA+U",
    "R2SCAN": "r2SCAN,R2SCAN",
    "GGA_GGA+U_R2SCAN": "GGA_GGA+U_R2SCAN",
}
DEFAULT_THERMO_TYPE = "GGA_GGA+U"  # that of the article


@dataclass(frozen=True)
class Fetched:
    """A dataset and what became of every id that was asked for (empty if none was).

    problems: material id -> why it was left out.
    """

    dataset: Dataset
    resolved: list[Resolved]
    problems: dict[str, str]

    @property
    def counts(self) -> Counter[str]:
        """Numbers of requested ids: found, by task id, by material id, not found, merged, deprecated."""
        counts = Counter[str](item.found_by for item in self.resolved)
        materials = {item.number for item in self.resolved if item.number is not None}
        found = counts["task id"] + counts["material id"]
        deprecated = sum(item.deprecated is True for item in self.resolved)
        counts.update(found=found, merged=found - len(materials), deprecated=deprecated)
        return counts


def fetch_materials(
    output: str | Path,
    key: str,
    *,
    ids: Iterable[str] | None = None,
    chemical_systems: Sequence[str] = (),
    everything: bool = False,
    thermo_type: str = DEFAULT_THERMO_TYPE,
    endpoint: str | None = None,
    progress: bool = True,
) -> Fetched:
    """Fetch crystals and properties and write them to `output`, a .parquet file.

    key: the API key, 32 characters. Give one of: ids, of tasks or materials; chemical_systems, such as
    ["Li-O"]; everything, all that is not deprecated. thermo_type: where energies come from, a key of
    THERMO_TYPES. endpoint: the server's address; by default the environment's MP_API_ENDPOINT or the
    Materials Project's own. What became of each id is written beside `output` with the ending .ids.csv.
    Replies are kept in a folder with the ending .journal until all is done, and a further call with the same
    arguments resumes from there.

    Raises CrystalliteError for a wrong key, a server out of reach, or one that answers something else.
    """
    output = Path(output)
    _check(output, thermo_type, [ids is not None, bool(chemical_systems), everything])
    requested = None if ids is None else check_ids(ids)
    address = endpoint or os.environ.get("MP_API_ENDPOINT") or queries.ENDPOINT
    journal = Journal(output.with_suffix(".journal"))
    client = queries.make_client(address, key, journal)
    try:
        with client, journal.locked():
            source = _Source(client, _facts(client), progress)
            resolved, materials = _find(source, requested, chemical_systems)
            rows, problems = _fetch_rows(source, materials, thermo_type)
    except ServiceError as error:
        raise _with_advice(error, journal) from None
    found = [number for number in materials if number in rows.places]
    if not found:
        journal.remove()
        raise CrystalliteError(_nothing(requested, chemical_systems))
    dataset = rows.dataset(found, thermo_type, source.facts, output.stem)
    dataset.write(output)
    resolved = [replace(item, problem=problems.get(item.number or 0, item.problem)) for item in resolved]
    if requested is not None:
        write_ids(output.with_suffix(".ids.csv"), resolved)
    journal.remove()
    return Fetched(dataset, resolved, {format_id(number): why for number, why in problems.items()})


def write_ids(path: Path, resolved: Sequence[Resolved]) -> None:
    """Write a CSV file with what became of every requested id."""
    rows = [("requested_id", "material_id", "deprecated", "found_by", "problem")]
    for item in resolved:
        deprecated = "" if item.deprecated is None else str(item.deprecated).lower()
        rows.append((item.requested_id, item.material_id or "", deprecated, item.found_by, item.problem))
    write_csv(path, rows)


def _check(output: Path, thermo_type: str, given: Sequence[bool]) -> None:
    if output.suffix.lower() != ".parquet":
        raise CrystalliteError(f"{output}: a dataset's name ends in .parquet")
    if thermo_type not in THERMO_TYPES:
        raise CrystalliteError(f"no thermo type {thermo_type!r}; there are: {', '.join(THERMO_TYPES)}")
    if sum(given) != 1:
        raise CrystalliteError("say what to fetch: ids, chemical systems, or everything; one of them")


class _Source(NamedTuple):
    """The server, what is true of all it answers, and whether to show progress bars."""

    client: JsonClient
    facts: dict[str, str]
    progress: bool


def _facts(client: JsonClient) -> dict[str, str]:
    """Return database version and source, after making sure that the journal is of the same."""
    facts = {
        "database_version": queries.database_version(client),
        "source": f"Materials Project, {client.endpoint}",
    }
    client.journal.expect(facts)
    return facts


def _find(
    source: _Source, requested: Sequence[str] | None, chemical_systems: Sequence[str]
) -> tuple[list[Resolved], dict[int, bool]]:
    """Return what became of the requested ids, and material -> deprecated of all to fetch, in their order."""
    if requested is None:
        return [], _listed(source.client, chemical_systems)
    with progress_bar(doing="resolving", unit="ids", total=len(requested), shown=source.progress) as bar:
        resolved = resolve_ids(source.client, requested, bar.update)
    return resolved, {r.number: r.deprecated is True for r in resolved if r.number is not None}


def _listed(client: JsonClient, chemical_systems: Sequence[str]) -> dict[int, bool]:
    """Return the numbers of materials that are not deprecated (their value: False)."""
    numbers = [queries.document_number(d) for d in queries.iter_listed(client, chemical_systems)]
    if len(set(numbers)) != len(numbers):
        raise CrystalliteError(
            "the Materials Project's list changed while it was read; to begin again, delete "
            f"{client.journal.folder}"
        )
    return dict.fromkeys(numbers, False)


def _fetch_rows(
    source: _Source, materials: Mapping[int, bool], thermo_type: str
) -> tuple[Rows, dict[int, str]]:
    """Return the rows of `materials` (number -> deprecated) as they came, and number -> problem."""
    rows, problems = Rows(), dict[int, str]()
    client = source.client
    with progress_bar(doing="fetching", unit="crystals", total=len(materials), shown=source.progress) as bar:
        for deprecated in (False, True):
            _fetch_summaries(client, materials, deprecated, rows, problems, bar.update)
    with progress_bar(doing="fetching", unit="energies", total=len(materials), shown=source.progress) as bar:
        parameters = {"_fields": ",".join(THERMO_FIELDS), "thermo_types": THERMO_TYPES[thermo_type]}
        for document, _ in queries.iter_by_id(
            client, "/materials/thermo/", "material_ids", list(materials), parameters, bar.update
        ):
            number = queries.document_number(document)
            if number in rows.places:
                rows.add_energies(document, number)
    for number in materials.keys() - rows.places.keys() - problems.keys():
        problems[number] = "no summary"
    return rows, problems


def _fetch_summaries(
    client: JsonClient,
    materials: Mapping[int, bool],
    deprecated: bool,
    rows: Rows,
    problems: dict[int, str],
    after_each: Callable[[], object],
) -> None:
    """Add rows of what is deprecated or is not; in the second case also what the first did not have."""
    pending = [
        n
        for n in materials
        if n not in rows.places and n not in problems and (deprecated or not materials[n])
    ]
    parameters = {"_fields": ",".join(SUMMARY_FIELDS), "deprecated": str(deprecated).lower()}
    for document, day in queries.iter_by_id(
        client, "/materials/summary/", "material_ids", pending, parameters
    ):
        number = queries.document_number(document)
        try:
            rows.add(document, number, deprecated, day)
        except CrystalError as error:
            problems[number] = error.reason
        after_each()


def _nothing(requested: Sequence[str] | None, chemical_systems: Sequence[str]) -> str:
    if requested is not None:
        return f"the Materials Project has none of the {len(requested):,} ids"
    return f"the Materials Project has nothing of {', '.join(chemical_systems) or 'anything'}"


def _with_advice(error: CrystalliteError, journal: Journal) -> CrystalliteError:
    """Say that what came so far is not lost."""
    if not len(journal):
        journal.remove()
        return error
    return ServiceError(
        f"{error}\nThe replies so far are kept in {journal.folder}; run the same command again to resume"
    )
