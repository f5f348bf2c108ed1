"""Candidate crystals made from all crystals of some inputs, streamed from files to a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from ..computing.progress import progress_bar
from ..crystals.crystal import Crystal
from ..crystals.notices import gathered, summary
from ..errors import CrystalliteError
from ..files.distinct_names import DistinctNames
from ..files.writing import file_stem, refuse_input
from ..materials.substitution import Rules, candidates
from .exporters.crystal_writers import Write, crystal_writer
from .streaming import Report, read_crystals

LABELS = ("parent", "substitutions")


@dataclass
class CandidateReport(Report):
    """What became of the inputs: also how many candidates were made."""

    n_candidates: int = 0


def write_candidates(
    inputs: Sequence[str],
    output: Path,
    rules: Rules,
    seed: int = 0,
    *,
    progress: bool = True,
    on_bad: Callable[[str, str], None] = lambda source, reason: None,
) -> CandidateReport:
    """Write candidates made from every crystal of the inputs, the most similar first.

    A candidate depends on its parent, the parent's id, rules and seed alone. Its id is the parent's and what
    was replaced, as in mp-149_Si-Ge and mp-5229_Sr-Ba+Ti-Zr, and for a strained copy its number; in the
    parent's, what cannot be in the name of a file is a hyphen, and of ids that would become one the second
    ends in -2.

    Args:
        inputs: files, folders, patterns and datasets.
        output: a .tar, .tar.gz or .zip of CIFs, a .parquet dataset with the parent's id and the
            substitutions, or a new or empty folder of CIFs.
        rules: which candidates are made.
        seed: of the strains.
        progress: whether a bar is shown.
        on_bad: is told what cannot be used, and why; the others go on.

    Raises:
        CrystalliteError: no candidate could be made, or the output cannot be written; it is left as it was.
    """
    refuse_input(output, inputs)
    report, stems, without = CandidateReport(), DistinctNames(ignore_case=True), 0
    bad = report.teller(on_bad)
    with (
        gathered() as odd,
        crystal_writer(output, LABELS) as write,
        progress_bar(doing="substituting", unit="candidates", shown=progress) as bar,
    ):
        for name, parent in read_crystals(inputs, report.notices, bad):
            made = _write_of(name, stems.of(file_stem(name)), parent, rules, seed, write)
            report.n_used += 1
            report.n_candidates += made
            without += not made
            bar.update(made)
        if not report.n_candidates:
            raise CrystalliteError("no candidate could be made; nothing is written")
    if without:
        report.notices.append(f"{without:,} crystals have no substitute by these rules")
    report.notices += summary(odd)
    return report


def _write_of(name: str, stem: str, parent: Crystal, rules: Rules, seed: int, write: Write) -> int:
    """Write the candidates made from a crystal; return how many there are."""
    made = 0
    rng = np.random.default_rng([seed, crc32(name.encode())])
    for substitutions, copy, crystal in candidates(parent, rules, rng):
        ending = f"_{copy}" if copy else ""
        write(f"{stem}_{substitutions}{ending}", crystal, (name, substitutions))
        made += 1
    return made
