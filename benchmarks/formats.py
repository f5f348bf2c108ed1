"""Sizes on disk and reading times of the formats a dataset can be written in.

    python benchmarks/formats.py DATASET

DATASET is whatever `crystallite data import` reads, or a .parquet file. It is written in every format to a
temporary folder and read back in fresh processes, files cached by the system. The table has the
shortest of three readings, as wall time and as CPU time, and the largest peak memory. See docs/archives.md.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FORMATS = {
    "Parquet": "data.parquet",
    "MessagePack + zstd (rcgcnn)": "packed/cifs.msgpack.zstd",
    "MessagePack (rcgcnn)": "plain/cifs.msgpack",
    "JSON + gzip (Matbench)": "task.json.gz",
    "JSON (pymatgen list)": "list.json",
    "extended XYZ": "data.extxyz",
    "ASE database": "data.db",
    "CIF text and id_prop.csv": "cifs",
}
REPEATS = 3


def main(source: str) -> None:
    """Write and read the dataset in every format, and print one row for each."""
    with tempfile.TemporaryDirectory() as folder:
        parquet = str(Path(folder) / FORMATS["Parquet"])
        crystals = _in_fresh_process("make", source, parquet)["crystals"]
        print(f"{crystals:,} crystals\n")
        print("| format | MB | on disk, MB | read, s | CPU, s | memory, MB |\n|---|---|---|---|---|---|")
        for title, name in FORMATS.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                _in_fresh_process("write", parquet, str(path))
            readings = [_in_fresh_process("read", parquet, str(path)) for _ in range(REPEATS)]
            assert all(reading["crystals"] == crystals for reading in readings)
            seconds, cpu = (min(each[key] for each in readings) for key in ("seconds", "cpu"))
            memory = max(reading["memory"] for reading in readings)
            size, allocated = _size(path)
            cells = f"{size / 1e6:.1f} | {allocated / 1e6:.1f} | {seconds:.2f} | {cpu:.2f}"
            print(f"| {title} | {cells} | {memory / 1e6:.0f} |", flush=True)


def _size(path: Path) -> tuple[int, int]:
    """Bytes written, and bytes of the disk blocks they occupy."""
    if path.is_dir():
        files = list(path.iterdir())
    else:
        files = list(path.parent.iterdir()) if path.name.startswith("cifs.") else [path]
    stats = [file.stat() for file in files]
    return sum(stat.st_size for stat in stats), sum(512 * stat.st_blocks for stat in stats)


def _in_fresh_process(*arguments: str) -> dict[str, float]:
    output = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True
    )
    result: dict[str, float] = json.loads(output.stdout.splitlines()[-1])
    return result


def _step(action: str, source: str, path: str) -> dict[str, float]:
    from crystallite.datasets.dataset import Dataset
    from crystallite.sources import formats

    if action == "make":
        parquet = source.endswith(".parquet")
        settings = formats.ImportSettings()
        data = Dataset.read(source) if parquet else formats.import_dataset(source, settings).dataset
        data.write(path)
        return {"crystals": len(data)}
    if action == "write":
        data = Dataset.read(source)
        target = data.properties[0] if Path(path).name == "cifs" else None
        formats.export_dataset(data, Path(path), target)
        return {}
    start, start_cpu = time.perf_counter(), time.process_time()
    if path.endswith(".parquet"):
        data = Dataset.read(path)
    else:
        data = formats.import_dataset(path, formats.ImportSettings()).dataset
    assert data.arrays.n_crystals
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"crystals": len(data), "seconds": seconds, "cpu": cpu, "memory": memory}


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(sys.argv[1])
    else:
        print(json.dumps(_step(*sys.argv[1:])))
