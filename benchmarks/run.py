"""Crystallite against the published algorithm and PyTorch Geometric: `python benchmarks/run.py [--quick]`.

Both sides work on the same crystals in the same run with the same number of threads; see docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measure import Row, Settings, Worker
from report import describe, table, write_into
from sections import SECTIONS


def main() -> None:
    """Measure what was asked for, print a table of each section and write all where --docs and --json say."""
    options = _arguments()
    n_crystals = options.crystals or (512 if options.quick else 3938)
    with tempfile.TemporaryDirectory(prefix="crystallite-benchmark-") as work:
        repeats = options.repeats or (1 if options.quick else 3)
        settings = Settings(options.threads, repeats, options.quick, n_crystals, Path(work))
        environment = describe(settings)
        print("\n".join(f"{name}: {value}" for name, value in environment.items()), flush=True)
        sections = options.only or list(SECTIONS)
        prepare(settings, peer_graphs="training" in sections)
        rows: dict[str, list[Row]] = {}
        for name in sections:
            started = time.perf_counter()
            rows[name] = SECTIONS[name](settings)
            print(f"{name}: {time.perf_counter() - started:.0f} s\n\n{table(rows[name])}\n", flush=True)
    measured = table([row for found in rows.values() for row in found])
    if options.docs:
        write_into(options.docs, environment, measured)
    if options.json:
        plain = {name: [asdict(row) for row in found] for name, found in rows.items()}
        options.json.write_text(json.dumps({"environment": environment, "rows": plain}, indent=1) + "\n")


def prepare(settings: Settings, peer_graphs: bool) -> None:
    """Write the crystals for both sides and the peer's graphs for the training measurements."""
    folders = {settings.cifs: settings.n_crystals, settings.small: 128}
    arguments: dict[str, Any] = {"n_crystals": settings.n_crystals, "data": settings.data, "folders": folders}
    with Worker(settings, "ours.prepare", **arguments) as worker:
        if (found := worker.measure()) != settings.n_crystals:
            raise SystemExit(f"{found} crystals instead of {settings.n_crystals}")
    if peer_graphs:
        Worker(settings, "peer.prepare_graphs", folder=settings.cifs, file=settings.graphs).__exit__()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="512 crystals, once: some 2 minutes")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", help="some of the sections")
    parser.add_argument("--threads", type=int, default=2, help="of both sides (2)")
    parser.add_argument("--crystals", type=int, help="how many of `formation` (3,938; quick 512)")
    parser.add_argument("--repeats", type=int, help="medians of so many (3; quick 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="put the table into docs/performance.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
