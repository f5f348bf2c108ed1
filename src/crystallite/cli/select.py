"""`crystallite data select`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import CrystalliteError
from ..files.writing import refuse_input
from .paths import DATASET, INPUT

ARTICLE_LISTS = ("formation", "band-gap", "elastic", "all")
SHOWN = 5  # ids that are not there


@click.command(name="select")
@click.argument("data")
@click.option("--ids", "ids_path", type=INPUT, help="File with one id per line.")
@click.option("--article", type=click.Choice(ARTICLE_LISTS), help="The ids of the CGCNN article (2018).")
@click.option("--exclude", is_flag=True, help="Select the crystals that are not among these ids.")
@click.option("--map", "map_path", type=INPUT, help="Map of ids to today's ids.")
@click.option(
    "--where", "conditions", multiple=True, metavar="COLUMN=VALUE", help="Select only these; repeatable."
)
@click.option(
    "--not-deprecated",
    is_flag=True,
    help="Leave out deprecated crystals; a missing value counts as not deprecated.",
)
@click.option("-o", "--output", required=True, type=DATASET, help="The .parquet file to write.")
def command(
    data: str,
    ids_path: Path | None,
    article: str | None,
    exclude: bool,
    map_path: Path | None,
    conditions: Sequence[str],
    not_deprecated: bool,
    output: Path,
) -> None:
    """Select crystals of DATA by ids or values.

    \b
    The earlier reproduction's three sets, from everything the Materials Project has:
      crystallite data select mp.parquet --article all --map tasks.json.zstd -o original.parquet
      crystallite data select mp.parquet --not-deprecated -o full.parquet
      crystallite data select full.parquet --article all --map tasks.json.zstd --exclude -o delta.parquet
    """
    from ..datasets.selection import full_set, select_ids, select_value
    from ..sources.resolver import read_dataset
    from ..sources.web.id_lists import read_id_map

    refuse_input(output, [data, *(path for path in (ids_path, map_path) if path is not None)])
    ids = _ids(ids_path, article)
    if ids is None and (exclude or map_path):
        raise CrystalliteError("--exclude and --map need --ids or --article")
    if ids is None and not (conditions or not_deprecated):
        raise CrystalliteError("say what to select: --ids, --article, --where or --not-deprecated")
    dataset = read_dataset(data)
    total = len(dataset)
    dataset = full_set(dataset) if not_deprecated else dataset
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals:
            raise CrystalliteError(f"--where {condition}: write COLUMN=VALUE, such as split=train")
        dataset = select_value(dataset, column.strip(), value.strip())
    if ids is not None:
        id_map = read_id_map(map_path) if map_path is not None else None
        dataset, absent = select_ids(dataset, ids, id_map, exclude=exclude)
        _report_absent(absent, len(set(ids)), data)
    if not len(dataset):
        raise CrystalliteError(f"no crystal of {data} matches; nothing is written")
    dataset.write(output)
    click.echo(f"{output}: {len(dataset):,} of {total:,} crystals")


def _ids(path: Path | None, article: str | None) -> list[str] | None:
    """Return the ids of a file or of an article's list, None if neither is given."""
    from ..sources.web.id_lists import read_ids
    from ..sources.web.materials_project import article_ids

    if path is not None and article is not None:
        raise CrystalliteError("give --ids or --article, not both")
    if path is not None:
        return read_ids(path)
    return article_ids(article) if article is not None else None


def _report_absent(absent: list[str], n_ids: int, data: str) -> None:
    if absent:
        shown = ", ".join(absent[:SHOWN]) + (", ..." if len(absent) > SHOWN else "")
        click.echo(f"Notice: {len(absent):,} of {n_ids:,} ids are not in {data}: {shown}", err=True)
