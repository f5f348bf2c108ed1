"""Fetching crystals and properties from any server that speaks OPTIMADE.

The standard (https://www.optimade.org) is shared by the Materials Project, OQMD, JARVIS, Alexandria, AFLOW,
NOMAD and others. Properties are each server's own; their names begin with an underscore and its prefix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ...computing.progress import progress_bar
from ...crystals.crystal import Crystal
from ...errors import CrystalError, CrystalliteError
from ..importers.assembling import Imported, assemble
from ..importers.import_settings import ImportSettings
from ..reading.collecting import Collector
from ..reading.optimade_entries import FIELDS, crystal_of_entry
from .client import ServiceError
from .journal import Journal
from .optimade_client import OptimadeClient, base_address

PAGE = 100  # structures per request; servers with a lower limit are asked for what they give
NO_UNIT = {"", "dimensionless", "inapplicable", "none", "1"}


def fetch_optimade(
    output: str | Path,
    server: str,
    *,
    query: str = "",
    properties: Mapping[str, str] | None = None,
    limit: int | None = None,
    skip_bad: bool = False,
    progress: bool = True,
) -> Imported:
    """Fetch structures and write them to `output`, a .parquet file.

    server: a name of optimade_client.PROVIDERS or a base address. query: an OPTIMADE filter such as
    `elements HAS "Si" AND nelements=2`; empty: everything. properties: name at the server -> our name; a dot
    goes into a dictionary (`_mp_stability.gga_gga+u.energy_above_hull`). limit: take the first so many.
    skip_bad: leave out what is disordered, incomplete or not periodic in three directions.
    Replies are kept in a folder with the ending .journal until all is done; a further call with the same
    arguments resumes from there. Raises CrystalliteError in the server's words if it refuses.
    """
    output = Path(output)
    if output.suffix.lower() != ".parquet":
        raise CrystalliteError(f"{output}: a dataset's name ends in .parquet")
    names, base = dict(properties or {}), base_address(server)
    journal = Journal(output.with_suffix(".journal"))
    try:
        with OptimadeClient(base, journal) as client, journal.locked():
            units = _units(client, names)
            collector, notices = _collected(client, query, names, limit, progress)
    except CrystalliteError as error:
        raise _with_advice(error, journal) from None
    if not collector.ids:
        journal.remove()
        raise CrystalliteError(f"{base} has no structure that fits {query or 'the query'}")
    notices += _without_values(collector, names)
    imported = _assembled(collector, units, base, query, skip_bad, notices)
    imported.dataset.write(output)
    journal.remove()
    return imported


def _assembled(
    collector: Collector, units: dict[str, str], base: str, query: str, skip_bad: bool, notices: list[str]
) -> Imported:
    """Return the dataset with its origin in the metadata."""
    rows, more = collector.table(base)
    present = {name: unit for name, unit in units.items() if name in rows.column_names}
    name = base.split("://")[-1]
    settings = ImportSettings(units=present, skip_bad=skip_bad)
    made = assemble(collector.crystals, rows, settings, name=name, notices=[*notices, *more])
    today = datetime.now(UTC).date().isoformat()
    facts = {"source": f"OPTIMADE, {base}", "query": query, "query_date": today}
    return Imported(made.dataset.with_metadata(facts), made.bad, made.notices)


def _collected(
    client: OptimadeClient, query: str, names: Mapping[str, str], limit: int | None, progress: bool
) -> tuple[Collector, list[str]]:
    """Return the structures of all pages; an id that comes again, as the server changes, is left out."""
    fields = [*FIELDS, *dict.fromkeys(name.split(".")[0] for name in names)]
    parameters = {"response_fields": ",".join(fields), "page_limit": str(min(PAGE, limit or PAGE))}
    if query:
        parameters["filter"] = query
    collector = Collector()
    seen: set[str] = set()
    again = 0
    for entry in _entries(client, parameters, limit, progress):
        name = str(entry.get("id")) if isinstance(entry, dict) else ""
        if name in seen:
            again += 1
            continue
        seen.add(name)
        attributes = entry.get("attributes") if isinstance(entry, dict) else {}
        values = {ours: _value(attributes, theirs) for theirs, ours in names.items()}
        collector.add(name, _crystal(entry, name), values)
    return collector, [f"{again:,} structures were sent twice and are kept once"] if again else []


def _entries(
    client: OptimadeClient, parameters: Mapping[str, str], limit: int | None, progress: bool
) -> Iterator[Any]:
    """Yield the structures of all pages, at most `limit`."""
    done = 0
    with progress_bar(doing="fetching", unit="structures", shown=progress) as bar:
        for page in client.iter_pages(parameters):
            total = (page.get("meta") or {}).get("data_returned")
            if isinstance(total, int):
                bar.total = min(total, limit) if limit else total
            for entry in page["data"]:
                yield entry
                done += 1
                if done == limit:
                    return
            bar.update(len(page["data"]))


def _crystal(entry: Any, name: str) -> Crystal | CrystalError:
    try:
        return crystal_of_entry(entry, name)
    except CrystalError as error:
        return error


def _value(attributes: Any, name: str) -> Any:
    """Return the value of a property; a dot in its name goes into a dictionary."""
    if isinstance(attributes, dict) and name in attributes:
        return attributes[name]
    first, _, rest = name.partition(".")
    inside = attributes.get(first) if isinstance(attributes, dict) else None
    return _value(inside, rest) if rest else None


def _units(client: OptimadeClient, names: Mapping[str, str]) -> dict[str, str]:
    """Return our name -> unit as the server gives it; CrystalliteError for a name that it does not have."""
    if not names:
        return {}
    described = client.properties()
    units = {}
    for theirs, ours in names.items():
        first = theirs.split(".")[0]
        if first not in described:
            own = sorted(name for name in described if name.startswith("_"))
            close = get_close_matches(first, own, n=3, cutoff=0.6)
            hint = f"did you mean {' or '.join(close)}? " if close else ""
            raise CrystalliteError(
                f"{client.endpoint} has no property {first}; {hint}Its own are: {', '.join(own) or 'none'}"
            )
        about = described[first] if isinstance(described[first], dict) else {}
        unit = str(about.get("x-optimade-unit") or about.get("unit") or "")
        if theirs == first and unit.lower() not in NO_UNIT:
            units[ours] = unit
    return units


def _without_values(collector: Collector, names: Mapping[str, str]) -> list[str]:
    """Return a notice of properties that no structure has."""
    empty = [
        theirs
        for theirs, ours in names.items()
        if all(value is None for value in collector.columns.get(ours, [None]))
    ]
    return [f"no structure has a value of {', '.join(empty)}"] if empty else []


def _with_advice(error: CrystalliteError, journal: Journal) -> CrystalliteError:
    """Say that what came so far is not lost; an empty journal is removed."""
    if not len(journal):
        journal.remove()
    if not len(journal) or not isinstance(error, ServiceError):
        return error
    return ServiceError(
        f"{error}\nThe replies so far are kept in {journal.folder}; run the same command again to resume"
    )
