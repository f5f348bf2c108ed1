"""`crystallite data substitute`."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import CrystalliteError
from .outcomes import end_with
from .paths import OutputCrystals
from .table_options import inputs_argument, skip_bad_option, tell_bad

LARGEST_STRAIN = 20  # percent


@click.command(name="substitute")
@inputs_argument
@click.option(
    "-o",
    "--output",
    required=True,
    type=OutputCrystals(),
    help=".tar, .tar.gz, .zip, .parquet or a new folder.",
)
@click.option(
    "--number",
    type=click.IntRange(1, 10_000),
    default=10,
    show_default=True,
    metavar="N",
    help="Substitutions for each crystal at most, the most similar first.",
)
@click.option("--elements", metavar="A,B,...", help="The elements that candidates may have.")
@click.option("--exclude", metavar="A,B,...", help="Elements that no candidate has.")
@click.option(
    "--strain",
    type=click.FloatRange(0, LARGEST_STRAIN, min_open=True),
    metavar="PERCENT",
    help="Strain candidates at random; no length changes by more than this.",
)
@click.option(
    "--copies",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Strained copies of each candidate.  [default: 1]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the strains.")
@skip_bad_option
def command(
    inputs: tuple[str, ...],
    output: Path,
    number: int,
    elements: str | None,
    exclude: str | None,
    strain: float | None,
    copies: int | None,
    seed: int,
    skip_bad: bool,
) -> None:
    """Replace the elements of crystals by similar ones, to make candidates for screening.

    INPUT is that of `crystallite predict`. All atoms of an element are replaced at once, one element or
    several; the structure stays, and the cell is scaled by the covalent radii. Elements are as similar as
    they are near on the modified Pettifor scale. Where oxidation states can balance the charges of the
    crystal, they can balance those of its candidates. Noble and radioactive elements come in only where the
    crystal has them.

    Candidates have ids such as mp-5229_Sr-Ba+Ti-Zr, with a number at the end if they are strained. A .parquet
    dataset also has the columns parent and substitutions.

    \b
    Examples:
      crystallite data substitute my-cifs/ -o candidates.tar.gz
      crystallite data substitute builtin:elastic --number 30 --exclude Pb,Cd,Hg,Tl,As -o candidates.parquet
      crystallite data substitute my.cif --strain 3 --copies 5 -o candidates/
    """
    from ..materials.substitution import Rules
    from ..sources.candidates import write_candidates

    if copies is not None and strain is None:
        raise CrystalliteError("--copies has no effect without --strain: leave it out")
    if strain is not None and strain != strain:
        raise CrystalliteError("--strain nan: not a number")
    rules = Rules(number, _allowed(elements, exclude), (strain or 0) / 100, copies or 1)
    report = write_candidates(inputs, output, rules, seed, on_bad=tell_bad)
    click.echo(f"{report.n_candidates:,} candidates from {report.n_used:,} crystals in {output}", err=True)
    end_with(report, "", None, skip_bad)


def _allowed(elements: str | None, exclude: str | None) -> frozenset[int]:
    """Return the atomic numbers that candidates may have."""
    from ..materials.substitution import EVERY

    allowed = EVERY if elements is None else _numbers("--elements", elements)
    allowed -= frozenset() if exclude is None else _numbers("--exclude", exclude)
    if not allowed:
        raise CrystalliteError("--exclude leaves none of --elements")
    return allowed


def _numbers(option: str, text: str) -> frozenset[int]:
    """Return the atomic numbers of symbols with commas between them."""
    from ..crystals.elements import atomic_numbers

    known, words = atomic_numbers(), text.replace(",", " ").split()
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        raise CrystalliteError(
            f"{option} {text}: write symbols with commas between them, such as Pb,Cd"
            + (f"; {unknown[0]} is none from H to Fm" if unknown else "")
        )
    return frozenset(known[word] for word in words)
