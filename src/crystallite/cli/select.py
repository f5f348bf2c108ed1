"""`crystallite data select`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import CrystalliteError

SHOWN = 5  # ids that are not there


@click.command(name="select")
@click.argument("data")
@click.option("--ids", "ids_path", type=click.Path(path_type=Path), help="File with an id in every line.")
@click.option("--exclude", is_flag=True, help="Take the crystals that are not in --ids.")
@click.option("--map", "map_path", type=click.Path(path_type=Path), help="Map of ids to what they are today.")
@click.option(
    "--where", "conditions", multiple=True, metavar="COLUMN=VALUE", help="Take these only; repeatable."
)
@click.option("--not-deprecated", is_flag=True, help="Leave out what is deprecated; missing counts as not.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The .parquet file to write."
)
def command(
    data: str,
    ids_path: Path | None,
    exclude: bool,
    map_path: Path | None,
    conditions: Sequence[str],
    not_deprecated: bool,
    output: Path,
) -> None:
    """Take a part of DATA by ids or values.

    \b
    The earlier reproduction's three sets, from everything the Materials Project has:
      crystallite data select mp.parquet --ids mp-ids.csv --map t2m.json.zstd -o original.parquet
      crystallite data select mp.parquet --not-deprecated -o full.parquet
      crystallite data select full.parquet --ids mp-ids.csv --map t2m.json.zstd --exclude -o delta.parquet
    """
    from ..dataset import Dataset
    from ..selection import full_set, select_ids, select_value
    from ..sources.id_lists import read_id_map, read_ids

    if output.suffix.lower() != ".parquet":
        raise CrystalliteError(f"--output {output}: a dataset's name ends in .parquet")
    if ids_path is None and not (conditions or not_deprecated):
        raise CrystalliteError("say what to take: --ids FILE, --where COLUMN=VALUE or --not-deprecated")
    if ids_path is None and (exclude or map_path):
        raise CrystalliteError("--exclude and --map go with --ids FILE")
    dataset = Dataset.read(data)
    total = len(dataset)
    dataset = full_set(dataset) if not_deprecated else dataset
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals:
            raise CrystalliteError(f"--where {condition}: write COLUMN=VALUE, such as split=train")
        dataset = select_value(dataset, column.strip(), value.strip())
    if ids_path is not None:
        id_map = read_id_map(map_path) if map_path is not None else None
        ids = read_ids(ids_path)
        dataset, absent = select_ids(dataset, ids, id_map, exclude=exclude)
        _report_absent(absent, len(set(ids)), data)
    if not len(dataset):
        raise CrystalliteError(f"no crystal of {data} fits; nothing is written")
    dataset.write(output)
    click.echo(f"{output}: {len(dataset):,} of {total:,} crystals")


def _report_absent(absent: list[str], n_ids: int, data: str) -> None:
    if absent:
        shown = ", ".join(absent[:SHOWN]) + (", ..." if len(absent) > SHOWN else "")
        click.echo(f"Notice: {len(absent):,} of {n_ids:,} ids are not in {data}: {shown}", err=True)
