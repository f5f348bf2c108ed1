"""Arguments and options that are paths: outputs that cannot be are refused before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import CrystalliteError, WriteError
from ..files.writing import irregular, output_path

INPUT = click.Path(path_type=Path, readable=False)  # who reads it says why it cannot be
MODEL = click.UNPROCESSED  # the name of a model that comes with the package, or a path


class OutputFile(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.2
    """A file that is written. ending: what its name has to end in, and `what` it is."""

    name = "path"

    def __init__(self, ending: str = "", what: str = "") -> None:
        self.ending, self.what = ending, what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        option = param.opts[-1] if param else "--output"
        path = _named(value, option)
        if self.ending and path.suffix.lower() != self.ending:
            raise CrystalliteError(f"{option} {path}: the name of {self.what} ends in {self.ending}")
        try:
            output_path(path)
        except WriteError as error:
            raise CrystalliteError(f"{option}: {error}") from None
        return path


class TableFile(OutputFile):
    """A table that is written: .csv or .parquet."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = super().convert(value, param, ctx)
        if path.suffix.lower() not in (".csv", ".parquet"):
            raise click.UsageError(f"-o takes a .csv or .parquet file, not {path}")
        return path


class OutputFolder(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.2
    """A folder that is written to. or_file: a file will do as well."""

    name = "path"

    def __init__(self, *, or_file: bool = False) -> None:
        self.or_file = or_file

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        option = param.opts[-1] if param else "--output"
        path = _named(value, option)
        try:
            is_folder = path.is_dir()
        except OSError as error:
            raise CrystalliteError(f"{option} {path}: {error.strerror or error}") from None
        if not is_folder and path.exists() and not (self.or_file and not irregular(path)):
            raise CrystalliteError(f"{option} {path}: it is not a folder")
        return path


class OutputCrystals(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.2
    """Crystals that are written: an archive of CIFs, a dataset, or a folder, whose name has no ending."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from ..sources.exporters.crystal_writers import ending_of

        option = param.opts[-1] if param else "--output"
        path = _named(value, option)
        if ending_of(path):
            return OutputFile().convert(value, param, ctx)
        path = OutputFolder().convert(value, param, ctx)
        if path.suffix and not path.is_dir():
            raise CrystalliteError(
                f"{option} {path}: the name ends in .tar, .tar.gz, .zip or .parquet, or is "
                "a folder's and has no ending"
            )
        return path


DATASET = OutputFile(".parquet", "a dataset")
TABLE = OutputFile(".csv", "a table")


def _named(value: Any, option: str) -> Path:
    if not str(value):
        raise CrystalliteError(f"{option}: the name is empty")
    return Path(value)
