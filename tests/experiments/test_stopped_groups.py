"""Groups that are stopped, their runs one after the other or side by side, end in the same bits."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from grouped_runs import MODULUS, assert_same_group, moduli, runs_of, train_group
from grouped_runs import start as start_group
from training_runs import (
    Finished,
    children,
    metrics,
    one_thread,  # noqa: F401
    small_options,
    start,
    wait_for_epoch,
)

from crystallite.errors import CrystalliteError
from crystallite.experiments import experiment as experiments
from crystallite.experiments import side_by_side
from crystallite.experiments.side_by_side import train_side_by_side

# 36 epochs of 6 steps in each run: long enough to be hit in the middle.
LONG = {"epochs": 36, "batch_size": 16, "atom_width": 16, "hidden_width": 16, "n_convolutions": 2}
needs_proc = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes as Linux shows them")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "moduli.parquet"
    moduli(120).write(path)
    return path


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Two members, one after the other and never interrupted."""
    folder = tmp_path_factory.mktemp("groups") / "whole"
    train_group(data, {"members": 2}, folder, **LONG)
    return folder


def words(data, folder, *more):
    return [
        "train",
        data,
        "--target",
        MODULUS,
        "--members",
        2,
        *small_options(**LONG),
        "--out",
        folder,
        *more,
    ]


def is_running(pid: int) -> bool:
    """Whether a process exists and is more than an entry in the table of processes."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_all_end(pids: list[int], seconds: float) -> None:
    end = time.monotonic() + seconds
    while any(map(is_running, pids)):
        assert time.monotonic() < end, "a training run is left"
        time.sleep(0.02)


def said_how_to_resume(stopped: Finished, folder: Path) -> bool:
    hint = f"the state is saved; resume with: crystallite train --resume {folder}\n"
    return (stopped.status, stopped.out) == (1, "") and stopped.err.endswith(hint)


def test_ctrl_c_one_after_the_other(data, whole, tmp_path):
    folder = tmp_path / "run"
    process = start(*words(data, folder))
    wait_for_epoch(folder / "member-1", 2, process)
    process.send_signal(signal.SIGINT)
    assert said_how_to_resume(Finished(process), folder)
    assert 2 <= len(metrics(folder / "member-1")) < LONG["epochs"]
    assert not (folder / "member-2" / "metrics.jsonl").exists()
    experiments.resume_group(folder, progress=False)
    assert_same_group(folder, whole)


@needs_proc
def test_side_by_side(data, whole, tmp_path):
    """Killed, resumed, stopped by Ctrl-C, and resumed to the end.

    Either signal reaches the first process alone; a terminal's Ctrl-C reaches the others as well.
    """
    folder, second = tmp_path / "run", tmp_path / "run" / "member-2"
    process = start(*words(data, folder, "--parallel", 2))
    wait_for_epoch(second, 2, process)
    pids = children(process.pid)
    assert pids
    process.kill()
    Finished(process)
    assert_all_end(pids, seconds=30)
    done = len(metrics(second))
    assert 2 <= done < LONG["epochs"] - 2

    process = start("train", "--resume", folder, "--parallel", 2)
    wait_for_epoch(second, done + 1, process)
    pids = children(process.pid)
    assert pids
    process.send_signal(signal.SIGINT)
    assert said_how_to_resume(Finished(process), folder)
    assert_all_end(pids, seconds=0)
    assert done < len(metrics(second)) < LONG["epochs"]

    experiments.resume_group(folder, parallel=2, progress=False)
    assert_same_group(folder, whole)


CHILD = """
import os, sys
if sys.argv[1].endswith("bad"):
    sys.exit("it broke")
os.read(0, 1)
open(sys.argv[1], "w").write(f"told to stop; {os.environ['OMP_NUM_THREADS']} threads")
"""


def own_children() -> set[int]:
    """Process ids of this process's children, where that can be known."""
    return set(children(os.getpid())) if Path("/proc").is_dir() else set()


def test_when_one_fails_the_others_stop_and_no_more_are_started(tmp_path, monkeypatch):
    """With small programs in place of training runs."""
    (tmp_path / "trains_nothing.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(side_by_side, "__name__", "trains_nothing")
    ended, before = [], own_children()
    with pytest.raises(CrystalliteError, match=r"^bad: it broke$"):
        train_side_by_side(
            [tmp_path / name for name in ("first", "bad", "last")],
            2,
            device="cpu",
            after_each=lambda: ended.append(1),
        )
    assert (tmp_path / "first").read_text() == "told to stop; 1 threads"
    assert not (tmp_path / "last").exists()
    assert ended == []
    assert own_children() <= before  # those of other tests aside


def test_warnings_of_a_training_run_are_passed_on(tmp_path, monkeypatch):
    (tmp_path / "warns.py").write_text("import sys; print('beware', file=sys.stderr)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(side_by_side, "__name__", "warns")
    with pytest.warns(UserWarning, match="^only: beware$"):
        train_side_by_side([tmp_path / "only"], 2, device="cpu", after_each=lambda: None)


def test_a_training_run_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(side_by_side, "_stop_with_parent", lambda: None)
    monkeypatch.setattr("sys.argv", ["-m", str(tmp_path), "cpu"])
    with pytest.raises(SystemExit, match="is not a run folder"):
        side_by_side.main()


def test_side_by_side_needs_data_on_disk(tmp_path):
    dataset = moduli()
    folder = start_group(dataset, {"members": 2}, tmp_path / "run")
    with pytest.raises(CrystalliteError, match="read the dataset from disk"):
        experiments.resume_group(folder, data=dataset, parallel=2, progress=False)
    assert runs_of(folder) == []
