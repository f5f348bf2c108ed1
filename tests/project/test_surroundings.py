"""What the system and other packages do around Crystallite: its numbers stay, and errors are one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_files import GOLDEN
from training_runs import children, energies, train

import crystallite
from crystallite.cli import main
from crystallite.models.loading import load_model

MODEL = GOLDEN / "formation-energy-per-atom.pth.tar"
CRYSTALS = energies(24)


# ---- other packages


def in_double_precision():
    torch.set_default_dtype(torch.float64)


def on_another_device():
    torch.set_default_device("meta")


@pytest.mark.parametrize("change", [in_double_precision, on_another_device])
def test_defaults_of_pytorch_change_nothing(change, tmp_path):
    """Neither a published model, nor a training run, nor its model; MACE and matgl set such defaults."""

    def results(folder: Path) -> list[np.ndarray]:
        run = train(CRYSTALS, folder, epochs=1, n_convolutions=1, split="16/4/4")
        predictors = (load_model(MODEL), run, load_model(folder))
        return [predictor.predict(CRYSTALS) for predictor in predictors]

    expected = results(tmp_path / "usual")
    try:
        change()
        found = results(tmp_path / "changed")
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    np.testing.assert_array_equal(found, expected)


# ---- the system


def crystallite_command(words: list[object], **streams: object) -> tuple[int, str]:
    """Run a command in a process of its own; its status and standard error without notices."""
    command = [sys.executable, "-m", "crystallite", *map(str, words)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=300, check=False, **streams)
    lines = done.stderr.splitlines(keepends=True)
    return done.returncode, "".join(line for line in lines if not line.startswith("Notice: "))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["data", "list"], ["--help"], ["predict", MODEL, "elastic"]])
def test_a_full_standard_output_is_one_line(words):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        found = crystallite_command(words, stdout=full)
    assert found == (1, "Error: cannot write standard output: No space left on device\n")


@pytest.mark.parametrize("words", [["data", "list"], ["predict", MODEL, "elastic"]])
def test_a_closed_standard_output_is_one_line(words):
    found = crystallite_command(words, preexec_fn=lambda: os.close(1))
    assert found == (1, "Error: cannot write standard output: Bad file descriptor\n")


def said_by(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line that a command ends with."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (1, "")
    assert len(said.err.splitlines()) == 1
    return said.err


LONG = "x" * 5000


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["predict", LONG, "elastic"], "File name too long"),
        (["train", LONG, "--target", "t"], "File name too long"),
        (["train", "elastic", "--target", "bulk_modulus", "--out", LONG], "File name too long"),
        (["train", "--resume", LONG], "File name too long"),
        (["data", "import", LONG, "-o", "x.parquet"], "File name too long"),
        (["data", "export", "elastic", "-o", LONG], "File name too long"),
        (["predict", MODEL, ""], "argument 3: the name is empty"),
        (["predict", "", "elastic"], "argument 2: the name is empty"),
        (["train", "", "--target", "t"], "argument 2: the name is empty"),
        (["train", "elastic", "--target", "bulk_modulus", "--out", ""], "--out: the name is empty"),
        (["predict", MODEL, "elastic", "-o", ""], "-o: the name is empty"),
        (["data", "select", "elastic", "-o", "."], "the name of a dataset ends in .parquet"),
        (["data", "export", "elastic", "--target", "bulk_modulus", "-o", "."], "not empty"),
    ],
)
def test_names_that_cannot_be(words, reason, capsys, tmp_path, monkeypatch):
    (tmp_path / "something").touch()
    monkeypatch.chdir(tmp_path)
    assert reason in said_by(capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["something"]


UNREADABLE = """
import sys, os
from crystallite.cli import main
folder, golden = sys.argv[1:]
def said(*words):
    try:
        main(list(words))
    except SystemExit:
        pass
said("train", f"{folder}/published", "--target", "target")
said("data", "import", f"{folder}/closed", "-o", f"{folder}/x.parquet")
said("data", "import", f"{folder}/a.cif", "-o", f"{folder}/x.parquet")
said("data", "info", f"{folder}/data.parquet")
said("predict", f"{folder}/m.safetensors", "elastic")
said("predict", f"{folder}/m.pth.tar", "elastic")
said("train", "elastic", "--target", "bulk_modulus", "--config", f"{folder}/c.toml")
"""


def test_what_may_not_be_read_is_named(tmp_path):
    """Files and folders without the permission to read them, as a user without root's rights."""
    without_rights = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] * (os.geteuid() == 0)
    if without_rights and not shutil.which("setpriv"):
        pytest.skip("root may read everything")
    (tmp_path / "published").mkdir()
    (tmp_path / "closed").mkdir()
    names = (
        "published/id_prop.csv",
        "closed",
        "a.cif",
        "data.parquet",
        "m.safetensors",
        "m.pth.tar",
        "c.toml",
    )
    for name in names:
        path = tmp_path / name
        if name != "closed":
            path.write_text("x,1\n")
        path.chmod(0)
    words = [*without_rights, sys.executable, "-c", UNREADABLE, str(tmp_path), str(GOLDEN)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    (tmp_path / "closed").chmod(0o700)
    lines = done.stderr.splitlines()
    for name in names:
        assert any(str(tmp_path / name) in line and "Permission denied" in line for line in lines), name
    assert "Traceback" not in done.stderr


# ---- killed processes


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_workers_end_with_the_process_that_started_them(tmp_path):
    cif = next((GOLDEN.parent / "data/cif").glob("*.cif"))
    for row in range(300):
        shutil.copy(cif, tmp_path / f"{row}.cif")
    words = ["data", "import", tmp_path, "-o", tmp_path / "x.parquet", "--workers", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "crystallite", *map(str, words)], stderr=subprocess.DEVNULL
    ) as process:
        found: list[int] = []
        while len(found) < 3:  # two workers, and what looks after their semaphores
            assert process.poll() is None
            found = children(process.pid)
        process.kill()
    until = time.monotonic() + 60
    while any(map(alive, found)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(alive, found))


def test_what_a_killed_process_left_is_removed(tmp_path):
    """By the next that writes the same file; that of a living one stays."""
    write = (
        "import os, sys, signal; from crystallite.files.writing import atomic_path\n"
        "with atomic_path(sys.argv[1]) as path:\n    path.touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", write, str(tmp_path / "a.json")], check=False)
    (left,) = tmp_path.iterdir()
    ours = left.with_name(left.name.replace(left.name.split("-")[-2], str(os.getppid())))
    ours.touch()
    crystallite.files.writing.write_json(tmp_path / "a.json", 1)
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", ours.name}
