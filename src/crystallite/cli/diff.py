"""`crystallite data diff`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..files.writing import refuse_input
from .paths import INPUT, OutputFolder

if TYPE_CHECKING:
    from ..materials.difference import Change, Difference

SHOWN = 5  # ids of each kind


@click.command(name="diff")
@click.argument("old")
@click.argument("new")
@click.option(
    "--property",
    "properties",
    multiple=True,
    metavar="NAME|OLD=NEW",
    help="Compare this property; repeatable.  [default: all that both datasets have]",
)
@click.option("--map", "map_path", type=INPUT, help="Map of ids to today's ids.")
@click.option("-o", "--output", type=OutputFolder(), help="Folder for tables and histograms.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Threads.")
def command(
    old: str, new: str, properties: Sequence[str], map_path: Path | None, output: Path | None, workers: int
) -> None:
    """Compare two datasets: crystals added, removed and merged, structures and properties that changed.

    Crystals are matched by id. With a map (as for audit-ids) the ids of both datasets are first translated
    to today's ids, so that renamed and merged materials are recognised. Changes are NEW minus OLD.

    \b
    Examples:
      crystallite data diff 2018.parquet today.parquet --map t2m.json.zstd -o difference/
      crystallite data diff d.parquet d.parquet --property band_gap_2018=band_gap_2023
    """
    from ..materials.difference import TABLES, compare, write_difference
    from ..sources.resolver import read_dataset
    from ..sources.web.id_lists import read_id_map

    if output is not None and map_path is not None:
        for name in TABLES:
            refuse_input(output / name, [map_path])
    names = dict(_name_pair(text) for text in properties) or None
    id_map = read_id_map(map_path) if map_path is not None else None
    first, second = read_dataset(old), read_dataset(new)
    difference = compare(first, second, properties=names, id_map=id_map, workers=workers, progress=True)
    click.echo("\n".join(_lines(difference)))
    if output is not None:
        write_difference(output, difference)
        click.echo(f"{output}: crystals.csv, properties.csv and a histogram for each property")


def _name_pair(text: str) -> tuple[str, str]:
    old, _, new = text.partition("=")
    return old.strip(), new.strip() or old.strip()


def _lines(difference: Difference) -> Iterator[str]:
    pairs, old, new = difference.pairs, difference.old.ids, difference.new.ids
    moved = int(difference.moved.sum())
    yield f"{len(pairs.old):,} crystals in both; {moved:,} of them with a different structure"
    yield _listed("Removed", [old[row] for row in pairs.removed])
    yield _listed("Added", [new[row] for row in pairs.added])
    yield _listed("Renamed", [f"{a} -> {b}" for a, b in pairs.renamed])
    yield _listed("Merged", [f"{', '.join(ids)} -> {name}" for name, ids in pairs.merged.items()])
    yield ""
    yield from _table(difference.changes)
    yield ""
    for change in difference.changes:
        movers = [f"{old[pairs.old[k]]} {a:.4g} -> {b:.4g}" for k, a, b in change.movers]
        yield f"Largest changes of {change.name}: {'; '.join(movers) or 'none'}"


def _listed(what: str, items: list[str]) -> str:
    shown = f": {'; '.join(items[:SHOWN])}{'; ...' if len(items) > SHOWN else ''}" if items else ""
    return f"{what} {len(items):,}{shown}"


def _table(changes: list[Change]) -> Iterator[str]:
    width = max(len(change.name) for change in changes)
    for number, change in enumerate(changes):
        statistics = change.statistics()
        if number == 0:
            yield f"{'new - old':<{width}}  {'unit':<8}" + "".join(f"{head:>10}" for head in statistics)
        cells = "".join(
            f"{value:>10,.4g}" if isinstance(value, float) else f"{value:>10,}"
            for value in statistics.values()
        )
        yield f"{change.name:<{width}}  {change.unit:<8}{cells}"
