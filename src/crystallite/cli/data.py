"""The `crystallite data` commands: list, info, import, export; the others have their own files."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import CrystalliteError
from ..files.writing import refuse_input
from . import audit, diff, fetch, select, substitute
from .paths import DATASET, INPUT, OutputFolder

if TYPE_CHECKING:
    from ..datasets.dataset import Dataset
    from ..datasets.overview import Overview
    from ..sources.importers.assembling import Imported

SHOWN = 8  # groups of duplicates
MOST_LABELS = 50  # a text column with more values, such as formulas, is only counted


@click.group(name="data")
def command() -> None:
    """List, inspect, import and export datasets.

    A dataset is one Parquet file with crystals and their properties; pandas, polars and DuckDB open it too.
    """


@command.command(name="list")
def list_builtin() -> None:
    """List the datasets that come with Crystallite.

    Use their names wherever a command asks for DATA.
    """
    from ..datasets.builtin import BUILTIN

    width = max(map(len, BUILTIN))
    for name, description in BUILTIN.items():
        click.echo(f"{name:<{width}}  {description}")


@command.command()
@click.argument("data")
def info(data: str) -> None:
    """Show what is in DATA: elements, cell sizes, properties, missing values, duplicates.

    DATA is a built-in name, a .parquet file, a folder of .parquet files, or a folder with id_prop.csv and
    CIFs.

    \b
    Examples:
      crystallite data info elastic
      crystallite data info my-data.parquet
    """
    from ..datasets.overview import overview
    from ..sources.resolver import read_dataset

    dataset = read_dataset(data)
    click.echo("\n".join(_description(dataset, overview(dataset))))


@command.command(name="import")
@click.argument("source")
@click.option("-o", "--output", required=True, type=DATASET, help="The .parquet file to write.")
@click.option("--table", type=INPUT, help="CSV, Parquet or archive with the properties.")
@click.option("--id-column", default="material_id", show_default=True, help="Column of ids in the table.")
@click.option("--target", default="target", show_default=True, help="Name for the values of id_prop.csv.")
@click.option(
    "--unit", "units", multiple=True, metavar="PROPERTY=UNIT", help="Unit of a property; repeatable."
)
@click.option("--skip-bad", is_flag=True, help="Leave out crystals that cannot be used, and list them.")
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes that read CIFs."
)
def import_(
    source: str,
    output: Path,
    table: Path | None,
    id_column: str,
    target: str,
    units: Sequence[str],
    skip_bad: bool,
    workers: int,
) -> None:
    """Make a dataset from CIFs, POSCARs, an archive or a database.

    SOURCE is one of: a folder in the layout of the published CGCNN code (id_prop.csv and a CIF for every id);
    a folder, a quoted pattern, or a tar or zip file of CIFs or POSCARs, whose names are the ids in --table;
    an .npz archive, or a folder with structures.npz and props.csv; a JSON or MessagePack archive (rcgcnn's
    cifs and props, a Matbench task, lists and lines of pymatgen, Materials Project, JARVIS, OPTIMADE and
    pandas), also .gz or .zstd; an ASE database (.db) or extended XYZ.

    \b
    Examples:
      crystallite data import root_dir/ --target band_gap --unit band_gap=eV -o gaps.parquet
      crystallite data import cifs/ --table props.csv --id-column mp_id -o data.parquet
      crystallite data import "cifs/*/*.cif" --table props.csv --skip-bad -o data.parquet
      crystallite data import cifs.tar.gz --table props.csv -o data.parquet
      crystallite data import structures.npz --table props.csv -o data.parquet
      crystallite data import matbench_mp_gap.json.gz -o gaps.parquet
      crystallite data import cifs.msgpack.zstd --table props.msgpack.zstd -o data.parquet
    """
    from ..sources.formats import ImportSettings, import_dataset
    from ..sources.importers.kept_reads import forget

    refuse_input(output, [source, *([table] if table else [])])
    journal = output.with_suffix(".journal")
    settings = ImportSettings(table, id_column, target, _units(units), skip_bad, workers, journal)
    try:
        imported = import_dataset(source, settings)
    except CrystalliteError as error:
        raise CrystalliteError(f"{error}{_kept_in(journal)}") from None
    imported.dataset.write(output)
    forget(journal)
    _report(imported)
    click.echo(f"{output}: {len(imported.dataset):,} crystals; {_names(imported.dataset)}")


@command.command()
@click.argument("data")
@click.option("-o", "--output", required=True, type=OutputFolder(or_file=True), help="The file or folder.")
@click.option("--target", help="Property to write; a folder needs it if there are several.")
def export(data: str, output: Path, target: str | None) -> None:
    """Write DATA for other programs; the name given with --output decides the format.

    \b
      FOLDER/                the published CGCNN code: id_prop.csv, ID.cif, atom_init.json
      cifs.msgpack[.zstd]    rcgcnn: crystals, and props.msgpack[.zstd] beside them; also .json, .bin
      NAME.json.gz           a Matbench task
      NAME.json              a list of pymatgen structures and properties
      NAME.extxyz, NAME.db   extended XYZ, an ASE database

    A folder holds one property; crystals without a value of it are left out.

    \b
    Examples:
      crystallite data export elastic --target log10_bulk_modulus -o bulk-modulus/
      crystallite data export elastic -o elastic.extxyz
    """
    from ..sources.formats import export_dataset
    from ..sources.resolver import read_dataset

    refuse_input(output, [data])
    dataset = read_dataset(data)
    for notice in export_dataset(dataset, output, target):
        click.echo(f"Notice: {notice}", err=True)
    click.echo(f"{output}: {len(dataset):,} crystals")


for subcommand in (
    fetch.command,
    select.command,
    substitute.command,
    diff.command,
    audit.command,
    audit.ids_command,
):
    command.add_command(subcommand)


def _kept_in(journal: Path) -> str:
    if not any(journal.glob("*.npz")):
        return ""
    return (
        f"\nWhat was read is kept in {journal}: the same command, with --skip-bad or not, goes on from there"
    )


def _units(pairs: Sequence[str]) -> dict[str, str]:
    units = {}
    for pair in pairs:
        name, separator, unit = pair.partition("=")
        if not (name and separator and unit):
            raise CrystalliteError(f"--unit {pair}: write PROPERTY=UNIT, such as band_gap=eV")
        units[name] = unit
    return units


def _report(imported: Imported) -> None:
    for notice in imported.notices:
        click.echo(f"Notice: {notice}", err=True)
    if imported.bad:
        click.echo(f"Left out {len(imported.bad):,} crystals that cannot be used:", err=True)
        for source, reason in imported.bad:
            click.echo(f"  {source}: {reason}", err=True)


def _names(dataset: Dataset) -> str:
    return ", ".join([*dataset.properties, *dataset.label_names]) or "no properties"


def _description(dataset: Dataset, found: Overview) -> list[str]:
    """Return the lines of `info`."""
    median, near_all, largest = found.cell_sizes
    heads = ("title", "description", "citation", "doi", "source", "licence")
    known = dataset.metadata
    lines = [dataset.name, *(f"  {head}: {known[head]}" for head in heads if known.get(head))]
    lines += ["", f"Crystals: {found.n_crystals:,}, {found.n_atoms:,} atoms"]
    lines += [f"Atoms in a cell: median {median:g}, 99 % {near_all:g}, max {largest}"]
    lines += [f"Elements: {len(found.elements)} (crystals with each)", *_wrapped(found)]
    lines += ["", *_property_lines(found), *_text_lines(found)]
    same_ids = _duplicates(dataset, "Same id", found.same_ids)
    return [*lines, "", same_ids, _duplicates(dataset, "Same structure", found.same_structures)]


def _wrapped(found: Overview) -> list[str]:
    text = ", ".join(f"{symbol} {count:,}".replace(" ", "\0") for symbol, count in found.elements)
    return textwrap.indent(textwrap.fill(text, 100), "  ").replace("\0", " ").splitlines()


def _property_lines(found: Overview) -> list[str]:
    if not found.properties:
        return ["No properties"]
    width = max(len(p.name) for p in found.properties)
    unit_width = max(4, *(len(p.unit) for p in found.properties))
    heads = "".join(f"{head:>12}" for head in ("min", "median", "mean", "max", "missing"))
    lines = [f"{'Property':<{width}}  {'unit':<{unit_width}}{heads}"]
    for p in found.properties:
        numbers = "".join(f"{value:>12.5g}" for value in (p.minimum, p.median, p.mean, p.maximum))
        lines.append(f"{p.name:<{width}}  {p.unit:<{unit_width}}{numbers}{p.missing:>12,}")
    return lines


def _text_lines(found: Overview) -> list[str]:
    lines = []
    for text in found.texts:
        if text.n_different > MOST_LABELS:
            lines.append(f"Text {text.name}: {text.n_different:,} different values")
            continue
        shown = ", ".join(f"{'(missing)' if value is None else value} {n:,}" for value, n in text.frequent)
        others = text.n_different - len(text.frequent)
        lines.append(f"Text {text.name}: {shown}{f' and {others:,} more' if others else ''}")
    return lines


def _duplicates(dataset: Dataset, what: str, groups: list[list[int]]) -> str:
    if not groups:
        return f"{what}: none"
    ids = dataset.table["material_id"]
    shown = "; ".join(" = ".join(ids[row].as_py() for row in group) for group in groups[:SHOWN])
    extra = sum(len(group) - 1 for group in groups)
    return (
        f"{what}: {extra:,} repetitions in {len(groups):,} groups: {shown}{'; ...' if groups[SHOWN:] else ''}"
    )
