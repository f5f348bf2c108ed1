"""`crystallite data audit` and `crystallite data audit-ids`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import CrystalliteError
from ..files.writing import refuse_input
from .options import is_given
from .paths import INPUT, TABLE

if TYPE_CHECKING:
    from ..datasets.dataset import Dataset
    from ..graphs.packed import Indices
    from ..materials.audit import Leak
    from ..materials.splits import Split

SHOWN = 20  # groups on the screen; the file of -o has all
SHOWN_IDS = 6  # of a group


@click.command(name="audit-ids")
@click.argument("ids", type=INPUT)
@click.option("--map", "map_path", required=True, type=INPUT, help="Map of ids to materials.")
@click.option("-o", "--output", type=TABLE, help="CSV file for all ids and their materials.")
def ids_command(ids: Path, map_path: Path, output: Path | None) -> None:
    """Find ids in a list that belong to the same material today.

    IDS has one id per line. The map says which material an id belongs to: a .json or .json.zstd object,
    or a .csv or .parquet table with two columns.

    \b
    Example:
      crystallite data audit-ids mp-ids-46744.csv --map t2m.json.zstd -o audited.csv
    """
    from ..materials.audit import audit_ids, write_id_audit
    from ..sources.web.id_lists import read_id_map, read_ids

    if output is not None:
        refuse_input(output, [ids, map_path])
    audit = audit_ids(read_ids(ids), read_id_map(map_path))
    groups = audit.groups
    duplicates = len(audit.ids) - audit.n_materials
    for material, names in groups.items():
        click.echo(f"{material}: {', '.join(names)}")
    click.echo(
        f"{len(audit.ids):,} ids, {audit.n_materials:,} distinct materials, {duplicates:,} duplicates "
        f"in {len(groups):,} groups"
    )
    if audit.unknown:
        shown = ", ".join(audit.unknown[:SHOWN_IDS])
        click.echo(
            f"{len(audit.unknown):,} ids are not in the map and count as materials of their own: {shown}"
            + (", ..." if len(audit.unknown) > SHOWN_IDS else "")
        )
    if output is not None:
        write_id_audit(output, audit)
        click.echo(f"{output}: every id with its material")


@click.command(name="audit")
@click.argument("data")
@click.option("--split", metavar="TRAIN/VAL/TEST", help="Look for leaks in a random split, such as 80/10/10.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the random split."
)
@click.option("--split-column", metavar="NAME", help="Look for leaks in the split given by this column.")
@click.option(
    "--split-file",
    type=INPUT,
    help="Look for leaks in the split given by a CSV with material_id and split, such as a run's split.csv.",
)
@click.option(
    "--property",
    "properties",
    multiple=True,
    metavar="NAME",
    help="Compare the values of this property within groups.",
)
@click.option("-o", "--output", type=TABLE, help="CSV file for all repeated crystals.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Threads.")
def command(
    data: str,
    split: str | None,
    seed: int,
    split_column: str | None,
    split_file: Path | None,
    properties: Sequence[str],
    output: Path | None,
    workers: int,
) -> None:
    """Find crystals of DATA that are the same material, and how many would leak across a split.

    The same material means the same id, or the same composition and bond lengths within 0.01 Å. A random
    split for training keeps these groups together.

    \b
    Examples:
      crystallite data audit my-data.parquet --split 80/10/10 --seed 1
      crystallite data audit my-data.parquet --split-file runs/gap/split.csv -o repeated.csv
    """
    from ..materials.audit import find_groups, part_names, repeated, write_groups
    from ..sources.resolver import read_dataset

    if sum(choice is not None for choice in (split, split_column, split_file)) > 1:
        raise CrystalliteError("give one of --split, --split-column and --split-file")
    if split is None and is_given("seed"):
        raise CrystalliteError("--seed has no effect without --split: leave it out")
    if output is not None:
        refuse_input(output, [data, *([split_file] if split_file else [])])
    dataset = read_dataset(data)
    groups = find_groups(dataset, workers=workers, progress=True)
    found = repeated(groups)
    chosen = _chosen_split(dataset, split_column, split_file)
    lines = [*_group_lines(dataset, found), *_spread_lines(dataset, found, properties)]
    if chosen is not None:
        lines += _leak_lines("This split", groups, chosen)
    if split is not None:
        chosen, random_lines = _random_splits(groups, split, seed)
        lines += random_lines
    click.echo("\n".join(lines))
    if output is not None:
        parts = part_names(chosen, len(dataset)) if chosen is not None else None
        write_groups(output, dataset, found, parts, properties)
        click.echo(f"{output}: the repeated crystals")


def _chosen_split(dataset: Dataset, column: str | None, file: Path | None) -> Split | None:
    from ..materials.audit import read_split
    from ..materials.splits import column_split

    if column is not None:
        return column_split(dataset.labels(column))
    return read_split(file, dataset.ids) if file is not None else None


def _random_splits(groups: Indices, text: str, seed: int) -> tuple[Split, list[str]]:
    """Return the split that ignores materials, and the lines about it and about the one that does not."""
    import numpy as np

    from ..materials.splits import parse_parts, random_split

    parts = parse_parts(text)
    naive = random_split(np.arange(len(groups)), parts, seed)
    lines = _leak_lines(f"Split {text}, seed {seed}, crystal by crystal", groups, naive)
    grouped = random_split(groups, parts, seed)
    return naive, lines + _leak_lines(
        f"Split {text}, seed {seed}, by material (as train does)", groups, grouped
    )


def _group_lines(dataset: Dataset, found: list[Indices]) -> Iterator[str]:
    ids = dataset.ids
    same_id = sum(len(rows) - len({ids[row] for row in rows}) for rows in found)
    extra = sum(len(rows) - 1 for rows in found)
    yield (
        f"{len(dataset):,} crystals, {len(dataset) - extra:,} distinct materials, {extra:,} duplicates in "
        f"{len(found):,} groups ({same_id:,} with the same id)"
    )
    for rows in found[:SHOWN]:
        shown = ", ".join(ids[row] for row in rows[:SHOWN_IDS])
        more = f" and {len(rows) - SHOWN_IDS} more" if len(rows) > SHOWN_IDS else ""
        yield f"  {dataset.crystal(int(rows[0])).formula}: {shown}{more}"
    if len(found) > SHOWN:
        yield f"  and {len(found) - SHOWN:,} more groups; -o FILE.csv lists all"


def _spread_lines(dataset: Dataset, found: list[Indices], properties: Sequence[str]) -> Iterator[str]:
    import numpy as np

    from ..materials.audit import spread

    for name in properties:
        spreads = spread(dataset.values(name), found)
        known = spreads[~np.isnan(spreads)]
        if not len(known):
            yield f"{name}: no group has two values"
            continue
        ids = ", ".join(dataset.ids[row] for row in found[int(np.nanargmax(spreads))][:SHOWN_IDS])
        unit = f" {dataset.units[name]}" if name in dataset.units else ""
        yield (
            f"{name} within a group differs by {np.median(known):.3g}{unit} (median), "
            f"{np.quantile(known, 0.9):.3g} (90 % of groups), at most {known.max():.3g} ({ids})"
        )


def _leak_lines(what: str, groups: Indices, split: Split) -> list[str]:
    from ..materials.audit import find_leak

    leak: Leak = find_leak(groups, split)
    twins = [
        (leak.test_in_train, leak.test, "test crystals have a twin in the training set"),
        (leak.validation_in_train, leak.validation, "validation crystals have a twin in the training set"),
        (leak.test_in_validation, leak.test, "test crystals have a twin in the validation set"),
    ]
    lines = [f"{what}: {leak.groups:,} materials in more than one set"]
    return lines + [f"  {n:,} of {total:,} {text}" for n, total, text in twins]
