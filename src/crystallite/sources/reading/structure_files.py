"""Which files of structures a word means, a file, a folder or a pattern, and the id that each file gives.

The one answer for `predict` and `data import`:

- a file: itself;
- a folder: its structures.npz, or else its archive named cifs, or else the CIFs in it, or else the POSCARs in
  it and in the folders in it (of POSCAR and CONTCAR in one folder the CONTCAR, unless it is empty);
- a pattern such as db/**/*.cif (** is any number of folders): the files it matches whose names say a format.

A file's id is its name without endings, or of a bare POSCAR its folder's name. Where several files would have
the same id, the folders that tell them apart come before it: a/x and b/x.
"""

from __future__ import annotations

import glob
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ...errors import CrystalliteError
from .archive_stream import COMPRESSIONS, is_archive, split_name
from .input_file import is_file, is_folder, problem_of, shown

POSCAR_NAMES = ("POSCAR", "CONTCAR")  # also with an ending or a suffix: POSCAR_mp-149, mp-149.vasp
KINDS = {
    ".cif": "cif",
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".contcar": "poscar",
    ".xyz": "xyz",
    ".extxyz": "xyz",
    ".db": "database",
    ".npz": "arrays",
}
SINGLE = {"cif", "poscar"}  # with one structure per file as a rule
TEXTS = {"cif", "poscar", "xyz"}  # which may be compressed
BUNDLE = re.compile(r"(.*)\.(zip|tar|tar\.(gz|bz2|xz)|tgz|tbz2?|txz)", re.IGNORECASE | re.DOTALL)
# how to make others readable, by a pattern of the name
OTHERS = {
    r".*\.tar\.\w+": "a tar archive in a compression that is not read; unpack it first: tar -xf {}",
    r".*\.(bz2|xz|7z|rar|lzma)": "compressed in a way that is not read; unpack it first",
    r".*\.(csv|tsv|xlsx?|ods)": "a table; give it beside crystals: "
    "crystallite data import CRYSTALS --table {} -o DATA.parquet",
    r".*\.(safetensors|pth\.tar)": "a model; it comes before the inputs: crystallite predict {} INPUT",
    r".*\.parquet": "a dataset, which no pattern finds; name the file, or a folder of such files",
    r".*": "no file of structures (.cif, POSCAR, .extxyz, .json, .msgpack, .npz, .db) and no dataset "
    "(.parquet); ASE makes one of many formats: ase convert {} NAME.extxyz",
}


class StructureFile(NamedTuple):
    """A file with one structure or many.

    kind: cif, poscar, xyz, database, arrays, archive (JSON and MessagePack) or bundle (tar and zip). id: of
    its structure, unique among the files found together.
    """

    path: Path
    kind: str
    id: str

    @property
    def single(self) -> bool:
        """Whether the file is of a kind with one structure per file, whose id is the file's."""
        return self.kind in SINGLE


class FoundFiles(NamedTuple):
    """What a word means: files in order, and sentences about what was chosen and left out."""

    paths: list[Path]
    notices: list[str]


def found_files(word: str | Path) -> FoundFiles:
    """Return the files that a word means.

    Raises CrystalliteError for a file that has no structures, saying what reads it, for a word that means no
    file, and for a folder that cannot be listed. A folder may have none.
    """
    path = Path(word)
    if is_folder(path):
        return _in_folder(path)
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null character
        return _matching(str(word))
    except OSError as error:
        raise CrystalliteError(f"{shown(path)}: {error.strerror or error}") from None
    if kind_of(path) is None and not problem_of(path):
        raise CrystalliteError(f"{shown(path)}: {advice_on(path)}")
    return FoundFiles([path], [])


def with_ids(paths: Iterable[Path]) -> list[StructureFile]:
    """Return files with ids that are unique among them; a path that is there twice counts once."""
    ids = unique_ids(dict.fromkeys(paths))
    return [StructureFile(path, kind_of(path) or "", name) for path, name in ids.items()]


class TakenIds:
    """Ids of crystals that files and datasets give, and who gave them first."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    def of(self, name: str, owner: str) -> str:
        """Return the id, with its owner before it if another owner has given it already: b:0."""
        while self._owners.setdefault(name, owner) != owner:
            name = f"{owner}:{name}"
        return name


def kind_of(path: Path) -> str | None:
    """Return the kind that a file's name says, or None if it says none that is read."""
    kind = KINDS.get(path.suffix.lower())
    if kind is not None:
        return kind
    if is_archive(path):
        return "archive"
    if BUNDLE.fullmatch(path.name):
        return "bundle"
    inner = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    kind = KINDS.get(inner.suffix.lower()) or ("poscar" if inner.name.startswith(POSCAR_NAMES) else None)
    return kind if inner is path or kind in TEXTS else None


def unique_ids(paths: Iterable[Path]) -> dict[Path, str]:
    """Return an id for each path: the shortest end of folders and name that differs from all others'.

    Files with one structure and files with many are told apart by themselves.
    """
    groups: dict[tuple[bool, str], list[Path]] = defaultdict(list)
    ids = {path: name_of(path) or _id_parts(path)[-1] for path in paths}
    for path, name in ids.items():
        groups[kind_of(path) in SINGLE, name].append(path)
    for same in groups.values():
        if len(same) > 1:
            ids |= _told_apart(same)
    return ids


def names_in_folder(folder: Path) -> list[Path]:
    """Return what is in a folder, in order; raises CrystalliteError with the system's reason."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise CrystalliteError(
            f"{shown(folder)}: cannot read the folder: {error.strerror or error}"
        ) from None


def advice_on(path: Path) -> str:
    """Return what a file is that has no structures for us, and what to do with it."""
    name = path.name.lower()
    advice = next(advice for pattern, advice in OTHERS.items() if re.fullmatch(pattern, name, re.DOTALL))
    return advice.format(shown(path))


def cifs_in(folder: Path) -> list[Path]:
    """Return the CIFs directly in a folder, in order."""
    return [path for path in names_in_folder(folder) if kind_of(path) == "cif"]


def _matching(pattern: str) -> FoundFiles:
    names = sorted(glob.glob(pattern, recursive=True)) if "\0" not in pattern else []  # noqa: PTH207
    found = [path for path in map(Path, names) if kind_of(path) is not None and not is_folder(path)]
    others = [path for path in map(Path, names) if kind_of(path) is None and not is_folder(path)]
    if others and not found:
        raise CrystalliteError(f"{shown(others[0])}: {advice_on(others[0])}")
    if not found:
        raise CrystalliteError(f"{shown(pattern)}: no such file, folder or pattern of files with structures")
    chosen, notices = _relaxed(found)
    if others:
        notices.append(
            f"{len(others):,} files of {pattern} have no structures and are left out: {shown(others[0])}, ..."
        )
    return FoundFiles(chosen, notices)


def find_archive(folder: Path, stem: str) -> Path | None:
    """Return the archive of this stem (cifs or props) in a folder, or None.

    Raises CrystalliteError if there are several.
    """
    if not is_folder(folder):
        return None
    named = (path for path in names_in_folder(folder) if is_archive(path) and split_name(path)[0] == stem)
    found = [path for path in named if is_file(path)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise CrystalliteError(f"{folder}: has {names}; keep one, or import one by its name with --table")
    return found[0] if found else None


def _in_folder(folder: Path) -> FoundFiles:
    entries = names_in_folder(folder)
    if folder / "structures.npz" in entries:
        return FoundFiles([folder / "structures.npz"], [])
    archive = find_archive(folder, "cifs")
    if archive is not None:
        return FoundFiles([archive], [])
    kinds = {entry: kind_of(entry) for entry in entries}
    cifs = [entry for entry, kind in kinds.items() if kind == "cif"]
    poscars = [entry for entry, kind in kinds.items() if kind == "poscar" and not is_folder(entry)]
    if cifs:
        return FoundFiles(cifs, _left_out(folder, poscars))
    below = (entry / name for entry in entries if is_folder(entry) for name in POSCAR_NAMES)
    return _relaxed([*poscars, *(path for path in below if not _is_missing(path))])


def _is_missing(path: Path) -> bool:
    """Whether there is no such file; of a folder that cannot be looked into nobody knows."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _left_out(folder: Path, poscars: Sequence[Path]) -> list[str]:
    return [f"{folder}: {len(poscars):,} POSCARs beside the CIFs are left out"] if poscars else []


def _relaxed(paths: Sequence[Path]) -> FoundFiles:
    """Leave out the one of POSCAR and CONTCAR of a folder that does not count: the relaxed one does."""
    there, left_out, relaxed = set(paths), set(), 0
    for path in paths:
        if path.name != "CONTCAR" or path.with_name("POSCAR") not in there:
            continue
        takes_it = is_file(path) and path.stat().st_size > 0
        relaxed += takes_it
        left_out.add(path.with_name("POSCAR") if takes_it else path)
    notice = f"{relaxed:,} folders have POSCAR and CONTCAR: CONTCAR, the relaxed structure, is taken"
    return FoundFiles([path for path in paths if path not in left_out], [notice] if relaxed else [])


def _id_parts(path: Path) -> list[str]:
    """Return the folders before a file's id, and the id."""
    folders = [part for part in path.parent.parts if part != path.anchor]
    name = name_of(path)
    if name:
        return [*folders, name]
    return folders if folders and folders[-1] != ".." else [Path(os.path.realpath(path)).parent.name]


def name_of(path: Path) -> str:
    """Return a file's name without endings, "" for a bare POSCAR, whose folder has the name."""
    if path.suffix.lower() == ".cif":
        return shown(path.stem)
    bundle = BUNDLE.fullmatch(path.name)
    if bundle:
        return shown(bundle[1] or path.name)
    inner = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    if kind_of(path) != "poscar":
        return shown(inner.stem)
    rest = inner.stem if inner.suffix.lower() in KINDS else inner.name
    for name in POSCAR_NAMES:
        rest = rest.removeprefix(name)
    return shown(rest.strip("._-"))


def _told_apart(paths: Sequence[Path]) -> dict[Path, str]:
    """Return ids for files whose names alone are the same."""
    parts = {path: list(map(shown, _id_parts(path))) for path in paths}
    for depth in range(2, max(map(len, parts.values())) + 1):
        ids = {path: "/".join(names[-depth:]) for path, names in parts.items()}
        if len(set(ids.values())) == len(ids):
            return ids
    return {path: shown(path) for path in paths}  # x.cif and x.CIF of one folder
