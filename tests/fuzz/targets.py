"""What is damaged, and what reads it: all returns or raises CrystalliteError, or something is wrong.

A target damages good inputs into an empty folder, as a random generator says, and then reads what is there.
Commands that ask servers (fetch) or are one (serve) are left out, and so are devices and absolute paths.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import math
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

from crystallite.crystals.crystal import Crystal
from crystallite.datasets.dataset import Dataset
from crystallite.sources.formats import ImportSettings, import_dataset
from crystallite.sources.reading.structure_files import StructureFile
from crystallite.sources.reading.structures import read_structures

from .command_lines import command_line
from .damage import damaged, damaged_json, json_bytes


class Target(NamedTuple):
    """write: makes a damaged input in a folder. read: reads what is there; it may write beside it."""

    write: Callable[[Path, Path, Random], None]  # good inputs, folder, random generator
    read: Callable[[Path], None]
    models: bool = False  # whether it needs trained models


# ---- crystals


def _write_one(kind: str) -> Callable[[Path, Path, Random], None]:
    def write(good: Path, folder: Path, rng: Random) -> None:
        chosen = rng.choice(sorted((good / kind).iterdir()))
        (folder / chosen.name).write_bytes(damaged(chosen.read_bytes(), rng))

    return write


def _write_json(good: Path, folder: Path, rng: Random) -> None:
    chosen = rng.choice(sorted((good / "json").iterdir()))
    data = chosen.read_bytes()
    data = damaged(data, rng) if rng.random() < 0.3 else json_bytes(damaged_json(json.loads(data), rng))
    if rng.random() < 0.1:
        data = damaged(gzip.compress(data), rng, text=False)
        chosen = chosen.with_name(chosen.name + ".gz")
    (folder / chosen.name).write_bytes(data)


def _write_arrays(good: Path, folder: Path, rng: Random) -> None:
    """An .npz archive with arrays of other numbers, kinds or shapes, or with damaged bytes."""
    path = folder / "structures.npz"
    arrays = dict(np.load(good / "npz" / path.name))
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(arrays))
        arrays[name] = _other_array(arrays[name], rng)
    np.savez(path, **arrays)
    if rng.random() < 0.4:
        path.write_bytes(damaged(path.read_bytes(), rng, text=False))


def _other_array(array: np.ndarray, rng: Random) -> np.ndarray:
    roll = rng.random()
    if roll < 0.4 and array.size and array.dtype.kind in "fiub":
        changed = array.astype(float)
        changed.flat[rng.randrange(array.size)] = rng.choice(
            (0, -1, 1, 119, 257, 1e9, 1e308, math.nan, math.inf)
        )
        with np.errstate(invalid="ignore"):
            return changed.astype(array.dtype) if rng.random() < 0.7 else changed
    if roll < 0.6:
        of_text, of_numbers = ("S4", "U4", "V8", "O"), ("S4", "c16", "?", "M8[s]", "f2", "i1", "u8")
        kinds = of_text if array.dtype.kind in "SU" else of_numbers
        with np.errstate(invalid="ignore"), contextlib.suppress(TypeError, ValueError, RuntimeError):
            return array.astype(rng.choice(kinds))
    if roll < 0.8:
        return array[: rng.randrange(len(array) + 1)] if array.ndim else array
    first = array.ravel()[:1].squeeze()  # a number; empty if there is none
    return rng.choice((array.reshape(-1), array[..., None], array.T, np.atleast_1d(array)[:0], first))


def _read_each(folder: Path) -> None:
    """Read as `predict` does, then as `data import` does; crystals must be crystals."""
    from crystallite.errors import CrystalliteError

    for path in sorted(folder.iterdir()):
        file = StructureFile(path, KINDS[path.name.split(".")[1] if "." in path.name else "POSCAR"], "x")
        with contextlib.suppress(CrystalliteError):
            for _, crystal, _ in read_structures(file):
                _check(crystal)
        if file.kind != "cif":
            _check_all(import_dataset(str(path), ImportSettings()).dataset)


KINDS = {"cif": "cif", "POSCAR": "poscar", "extxyz": "extxyz", "json": "archive", "msgpack": "archive"} | {
    "npz": "arrays"
}


def _check(crystal: Any) -> None:
    """A crystal has atoms, known elements, a cell and finite positions; an error is one line."""
    if isinstance(crystal, Crystal):
        assert len(crystal)
        assert (crystal.numbers >= 1).all()
        assert (crystal.numbers <= 118).all()
        assert np.isfinite(crystal.lattice).all()
        assert np.isfinite(crystal.frac_coords).all()
    else:
        _check_words(str(crystal))


def _check_all(data: Dataset) -> None:
    for row in range(min(len(data), 5)):
        _check(data.crystal(row))


def _check_words(reason: str) -> None:
    assert "Traceback" not in reason
    assert "weights_only" not in reason


# ---- tables


def _write_table(good: Path, folder: Path, rng: Random) -> None:
    """CIFs a to d, with props.csv or id_prop.csv beside them."""
    for name in "abcd":
        shutil.copy(good / "cif" / "rock_salt.cif", folder / f"{name}.cif")
    table = (good / "table" / "props.csv").read_bytes()
    if rng.random() < 0.3:
        table = b"a,1.5\nb,-0.25\nc,1e-3\nd,\n"
        (folder / "id_prop.csv").write_bytes(damaged(table, rng))
    else:
        (folder / "props.csv").write_bytes(damaged(table, rng))


def _read_table(folder: Path) -> None:
    table = folder / "props.csv"
    settings = ImportSettings(table if table.exists() else None, skip_bad=True)
    _check_all(import_dataset(str(folder), settings).dataset)


def _write_parquet(good: Path, folder: Path, rng: Random) -> None:
    """A dataset of which a column has other values, or the bytes of which are damaged."""
    import pyarrow as pa
    from pyarrow import parquet

    path = good / "parquet" / "data.parquet"
    if rng.random() < 0.5:
        (folder / path.name).write_bytes(damaged(path.read_bytes(), rng, text=False))
        return
    table = parquet.read_table(path).replace_schema_metadata(None)
    column = rng.randrange(table.num_columns)
    values = damaged_json(table.column(column).to_pylist(), rng)
    try:
        changed = pa.array(values[: len(table)], from_pandas=True)
        table = table.set_column(column, table.column_names[column], changed)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):  # no column can hold that
        table = table.drop_columns([table.column_names[column]])
    parquet.write_table(table, folder / path.name)


def _read_parquet(folder: Path) -> None:
    data = Dataset.read(folder / "data.parquet")
    _check_all(data)
    for name in data.properties:
        data.values(name)


# ---- models and runs


def _write_model(good: Path, folder: Path, rng: Random) -> None:
    """A .safetensors file or a published checkpoint: damaged bytes, or another header."""
    name = rng.choice(("model.safetensors", "model.safetensors", "published.pth.tar"))
    data = (good / "model" / name).read_bytes()
    if name == "model.safetensors" and rng.random() < 0.6:
        data = _other_header(data, rng)
    else:
        data = damaged(data, rng, text=False)
    (folder / name).write_bytes(data)


def _other_header(data: bytes, rng: Random) -> bytes:
    """Change the JSON header of a safetensors file: shapes of tensors, or the settings in it."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header["__metadata__"]
    if rng.random() < 0.7:
        metadata = {
            "crystallite": json.dumps(damaged_json(json.loads(metadata["crystallite"]), rng), default=repr)
        }
        header["__metadata__"] = metadata
    else:
        header = damaged_json(header, rng)
    text = json_bytes(header)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _read_model(folder: Path) -> None:
    from crystallite.models.loading import load_model

    (path,) = folder.iterdir()
    load_model(path).predict([_crystal()])


def _crystal() -> Crystal:
    return Crystal(np.array([11, 17], np.uint8), 4 * np.eye(3), np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]))


def _write_run(good: Path, folder: Path, rng: Random) -> None:
    """A run folder with one damaged file, or one that is missing."""
    run = folder / "run"
    shutil.copytree(good / "model" / "run", run)
    files = [
        path
        for path in sorted(run.iterdir())
        if path.suffix in (".toml", ".csv", ".jsonl", ".json", ".safetensors")
    ]
    path = rng.choice([path for path in files for _ in range(4 if path.suffix == ".toml" else 1)])
    data = path.read_bytes()
    if rng.random() < 0.05:
        path.unlink()
    elif path.suffix == ".json" and rng.random() < 0.7:
        path.write_bytes(json_bytes(damaged_json(json.loads(data), rng)))
    elif path.suffix == ".safetensors" and rng.random() < 0.5:
        path.write_bytes(_other_header(data, rng))
    else:
        path.write_bytes(damaged(data, rng, text=path.suffix != ".safetensors"))


def _read_run(folder: Path) -> None:
    from crystallite.models.loading import load_model
    from crystallite.runs.folder import RunConfig

    run = folder / "run"
    if RunConfig.read(run).training.epochs == 1:  # what is damaged may ask for a long training run
        call(["train", "--resume", str(run)])
    load_model(run).predict([_crystal()])


# ---- command line


def _write_command(good: Path, folder: Path, rng: Random) -> None:
    (folder / "words.json").write_text(json.dumps(command_line(good, rng)))


def _read_command(folder: Path) -> None:
    with contextlib.chdir(folder):
        call(json.loads((folder / "words.json").read_text()))


def call(words: list[str]) -> None:
    """Run a command in this process: it ends with status 0, 1 or 2 and says why in a line."""
    from crystallite.cli import main

    said, status = io.StringIO(), None
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            main(words)
        except SystemExit as ended:
            status = ended.code
    assert status in (None, 0, 1, 2), status
    _check_words(said.getvalue())


# ---- the fuzzer itself


def _write_nothing(good: Path, folder: Path, rng: Random) -> None:
    (folder / "number").write_text(str(rng.randrange(4)))


def _read_badly(folder: Path) -> None:
    """Fail in each of the ways that must be noticed, and be well at times."""
    number = int((folder / "number").read_text())
    if number == 1:
        raise ValueError("not the project's own")
    while number == 2:
        pass
    if number == 3:
        np.ones(1 << 28).sum()  # 2 GB


# ---- uploads


def _write_upload(good: Path, folder: Path, rng: Random) -> None:
    """A damaged file, or its text under the name of another format or none."""
    kind = rng.choice(("cif", "poscar", "extxyz", "json"))
    (_write_json if kind == "json" else _write_one(kind))(good, folder, rng)
    [path] = folder.iterdir()
    if rng.random() < 0.2:
        path.rename(folder / rng.choice(("x", "x.cif", "POSCAR", "x.xyz", "x.json", "x.npz")))


@cache
def _service() -> Any:
    from starlette.testclient import TestClient

    from crystallite.serve.app import create_app
    from crystallite.serve.settings import ServeSettings

    return TestClient(create_app(ServeSettings()), base_url="http://localhost")


def _read_upload(folder: Path) -> None:
    """Send it to the service as a browser does: the answer is a prediction or says why there is none."""
    for path in sorted(folder.iterdir()):
        structure = {"name": path.name, "text": path.read_bytes().decode(errors="replace")}
        question = {"structures": [structure], "models": ["band_gap"], "interval": 90}
        for route, sent in (("predict", question), ("crystals", structure)):
            answer = _service().post(f"/api/v1/{route}", json=sent)
            read = json.loads(answer.text, parse_constant=_no_json)
            assert answer.status_code in (200, 413, 422), (answer.status_code, read)
            _check_words(answer.text)
            if answer.status_code != 200:
                assert read["detail"]
            if answer.status_code == 422:
                assert read["errors"]


def _no_json(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


TARGETS = {
    "cif": Target(_write_one("cif"), _read_each),
    "poscar": Target(_write_one("poscar"), _read_each),
    "extxyz": Target(_write_one("extxyz"), _read_each),
    "json": Target(_write_json, _read_each),
    "msgpack": Target(_write_one("msgpack"), _read_each),
    "npz": Target(_write_arrays, _read_each),
    "table": Target(_write_table, _read_table),
    "parquet": Target(_write_parquet, _read_parquet),
    "model": Target(_write_model, _read_model, models=True),
    "run": Target(_write_run, _read_run, models=True),
    "command": Target(_write_command, _read_command, models=True),
    "upload": Target(_write_upload, _read_upload),
}
TARGETS_AND_BROKEN = TARGETS | {"broken": Target(_write_nothing, _read_badly)}
