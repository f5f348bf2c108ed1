"""The symmetry of a data block: from whatever the file says about it, and checked against the cell.

Listed operations come first, else the Hall or Hermann-Mauguin symbol, the number or the Schoenflies symbol,
else P1 if the file says nothing. Where the cell must tell the setting, the first that fits counts.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .blocks import Block, UnreadableError, texts
from .groups import Said, settings
from .operations import Group, group_number, listed_group

_CENTERING_TAG = "_space_group_symop_magn_centering_xyz"
_OPERATION_TAGS = (
    "_space_group_symop_magn_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_operation_xyz",
    "_magnetic_space_group_symop_operation_xyz",
)
# What a file says about its group in words and numbers: the parts of Said, by what their tags look like.
_SAID = {
    "halls": re.compile("_(symmetry_)?space_group_name_hall"),
    "references": re.compile("_(symmetry_)?space_group_name_h_m_ref"),
    "names": re.compile("_(symmetry_)?space_group_name_h_m(?!.*description)"),
    "numbers": re.compile("_(symmetry|space_group)_(it|int_tables)_number"),
    "schoenflies": re.compile("_(symmetry_)?space_group_name_schoenflies"),
    "codes": re.compile("_(symmetry|space_group)_it_coordinate_system_code"),
}
_MOST_SAID = 20  # names or numbers of one kind that are looked at
_MODULATED_TAGS = (
    "_cell_modulation_dimension",
    "_cell_subsystems_number",
    "_atom_site_fourier_wave_vector_seq_id",
)
_MEANS_GROUP = re.compile("_(symmetry|space_group|magnetic_space_group)")
_MEANS_NO_GROUP = re.compile(  # ids, and what many groups have in common or what follows from the group
    ".*(_id|_cell_setting|_crystal_system|_description|_details|_class|_point_group.*|_bravais_type|_patterson.*"
    "|_reference.*|_transform.*|_coordinate_system_code)$"
)


def find_group(block: Block, lattice: NDArray[np.float64]) -> tuple[Group, str]:
    """Return the space group of a block, and how what the file says about it disagrees ("" if it does not).

    Raises UnreadableError for a modulated structure, operations that are no group or change the cell's
    metric, and a group that is unknown or open.
    """
    symmetry = [tag for tag in block.tags if tag.startswith(("_sym", "_spa", "_mag"))]
    _refuse_modulated(block, symmetry)
    said = _said(tuple([(tag, *block.values(tag)) for tag in symmetry if _part_of_said(tag)]))
    for tag in _OPERATION_TAGS:
        listed = tuple(block.values(tag)) if tag in block else ()
        if listed:
            centerings = tuple(block.values(_CENTERING_TAG))
            group, difference = _listed(listed, centerings, said)
            if not group.fits(lattice):
                raise UnreadableError(
                    "the symmetry operations do not fit the cell: they change its lengths or angles"
                )
            return group, difference
    possible = settings(said)
    for exactly in (True, False):
        for setting in possible:
            if setting.group.fits(lattice, exactly=exactly):
                return setting.group, ""
    if possible:
        raise UnreadableError(
            f"the space group {said} does not fit the cell: it changes its lengths or angles"
        )
    _refuse_unknown(block, said, symmetry)
    system = [*block.texts("_symmetry_cell_setting"), *block.texts("_space_group_crystal_system")]
    is_odd = system and system[0].lower() not in ("triclinic", "anorthic")
    return listed_group(("x,y,z",), ()), f"{system[0]}, but no group is named: read as P1" if is_odd else ""


@lru_cache(maxsize=2048)
def _listed(listed: tuple[str, ...], centerings: tuple[str, ...], said: Said) -> tuple[Group, str]:
    """The listed group, and how it differs from the one that the file names ("" if it does not)."""
    group = listed_group(listed, centerings)
    try:
        named = settings(said)
    except UnreadableError as problem:
        return group, str(problem)
    if not named or any(np.array_equal(setting.group.keys, group.keys) for setting in named):
        return group, ""
    counts = {len(setting.group) for setting in named}
    found = group_number(group)
    same = found is None or found == named[0].number
    if len(group) in counts and same:
        return group, ""
    of = "" if same else f" of group number {found}"
    return group, f"named {said} with {min(counts)} operations, but {len(group)}{of} listed"


@lru_cache(maxsize=2048)
def _said(rows: tuple[tuple[str, ...], ...]) -> Said:
    """What a block says about its group in words and numbers, from such tags, each with its raw values."""
    found: dict[str, dict[str, None]] = {part: {} for part in _SAID}
    for tag, *values in rows:
        found[_part_of_said(tag)] |= dict.fromkeys(texts(values))
    references = found.pop("references")  # not the setting of the file, if it says that too
    found["names"] = found["names"] or references
    return Said(**{part: tuple(said)[:_MOST_SAID] for part, said in found.items()})


@lru_cache(maxsize=4096)
def _part_of_said(tag: str) -> str:
    return next((part for part, pattern in _SAID.items() if pattern.match(tag)), "")


def _refuse_modulated(block: Block, tags: list[str]) -> None:
    """Raise UnreadableError for a structure in superspace."""
    for tag in (*_MODULATED_TAGS, *[tag for tag in tags if "_ssg_" in tag]):
        if tag in block and any(value != "0" for value in block.values(tag)):
            raise UnreadableError(
                f"a modulated structure ({tag}): its cell does not repeat in three dimensions"
            )


def _refuse_unknown(block: Block, said: Said, tags: list[str]) -> None:
    """Raise UnreadableError if the file says something about its group after all."""
    for name in (*said.names, *said.halls, *said.schoenflies):
        raise UnreadableError(f"unknown space group {name!r} and no symmetry operations listed")
    for tag in sorted(tags):
        if _MEANS_GROUP.match(tag) and not _MEANS_NO_GROUP.match(tag):
            for value in block.texts(tag):
                raise UnreadableError(
                    f"unknown space group {value} ({tag}) and no symmetry operations listed"
                )
