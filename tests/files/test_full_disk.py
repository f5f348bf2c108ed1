"""A disk that is full or read-only stops a training run with an error that says so, and costs nothing.

Each test has a small disk of its own, in memory (tmpfs), which only root may mount.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from training_runs import (
    ENERGY,
    Finished,
    assert_same_run,
    command,
    metrics,
    one_thread,  # noqa: F401
    small_options,
    start,
    train,
    wait_for_epoch,
)

from crystallite.errors import CrystalliteError
from crystallite.models.checkpoint import read_arrays
from crystallite.training.train import resume

LONG = {"epochs": 24, "batch_size": 16}
SHORT = {"epochs": 2, "batch_size": 16}
Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    """A function that mounts a disk with options such as `size=1m` and returns it."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root may mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()

    def mounted(options: str) -> Path:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], check=False)
        if done.returncode:
            pytest.skip("no small disk can be mounted here")
        return place

    yield mounted
    subprocess.run(["umount", "--lazy", place], check=False, stderr=subprocess.DEVNULL)


def change(place: Path, options: str) -> None:
    """Mount a disk again with other options, its files as they are."""
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)


@pytest.fixture(scope="module")
def long(energies_file, tmp_path_factory) -> Path:
    """A training run that nothing disturbs."""
    return train(energies_file, tmp_path_factory.mktemp("runs") / "long", **LONG).folder


def stopped_after(epoch: int, place: Path, data: Path, disturb: Callable[[], None]) -> Finished:
    """Train in a process of its own, and disturb it after an epoch."""
    process = start("train", data, "--target", ENERGY, *small_options(**LONG), "--out", place / "run")
    wait_for_epoch(place / "run", epoch, process)
    disturb()
    return Finished(process)


def assert_resumes(stopped: Finished, reason: str, folder: Path, reference: Path, mend: Callable[[], None]):
    """It said why it stopped and how to resume, kept a checkpoint, and resumes once the cause is fixed."""
    assert stopped.status == 1, stopped.out + stopped.err
    assert reason in stopped.err
    assert f"crystallite train --resume {folder}" in stopped.err
    assert "Traceback" not in stopped.err
    counters = read_arrays(folder / "last.safetensors")[1]
    assert counters["step"] > 0
    assert {path.name for path in folder.glob(".*")} <= {".lock"}  # nothing half-written is left
    mend()
    finished = command("train", "--resume", folder)
    assert finished.status == 0, finished.err
    assert len(metrics(folder)) == LONG["epochs"]
    assert_same_run(folder, reference)


def test_a_disk_that_fills_up(energies_file, long, disk):
    place = disk("size=4m")
    filler = place / "filler"

    def fill() -> None:
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    stopped = stopped_after(2, place, energies_file, fill)
    assert_resumes(stopped, "No space left on device", place / "run", long, filler.unlink)


def test_a_disk_that_becomes_read_only(energies_file, long, disk):
    """As the folder's lock is a file that is open, the disk is mounted over itself to become read-only."""
    place = disk("size=4m")
    folder = place / "run"

    def protect() -> None:
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)

    def release() -> None:
        subprocess.run(["umount", folder], check=True)

    stopped = stopped_after(2, place, energies_file, protect)
    assert_resumes(stopped, "Read-only file system", folder, long, release)


def test_a_folder_that_cannot_be_made(energies_file, disk):
    place = disk("size=64k")
    change(place, "ro")
    stopped = command(
        "train", energies_file, "--target", ENERGY, *small_options(**LONG), "--out", place / "run"
    )
    assert stopped.status == 1
    assert "Read-only file system; choose another with --out" in stopped.err
    assert "Traceback" not in stopped.err


def test_any_file_may_be_the_one_without_room(energies_file, tmp_path, disk):
    """Disks of many sizes: each run ends well or says why, and resumes once the disk has grown."""
    reference = train(energies_file, tmp_path / "reference", **SHORT).folder
    place, outcomes = disk("size=4k"), set()
    needed = sum(path.stat().st_size for path in reference.iterdir()) // 1024
    for kilobytes in (*range(4, 2 * needed, 20), 4 * needed):
        change(place, f"size={kilobytes}k")
        stopped, folder = None, place / "run"
        try:
            train(energies_file, folder, **SHORT)
        except CrystalliteError as error:
            stopped = error
        outcomes |= {path.name for path in folder.glob("*")} if stopped else {"trained"}
        if stopped:
            assert "No space left on device" in str(stopped)
            change(place, "size=4m")
        if (folder / "config.toml").exists():
            resume(folder, progress=False)
            assert_same_run(folder, reference)
        shutil.rmtree(folder, ignore_errors=True)
        gc.collect()  # a removed file that is still mapped into memory takes its room
    assert outcomes >= {"trained", "config.toml", "best.safetensors", "last.safetensors", "metrics.jsonl"}
