"""The command line as a whole: help that is instant and complete, errors without tracebacks, quiet pipes."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from cli_commands import commands
from golden_files import GOLDEN
from training_runs import ENERGY, command, energies, one_thread, small_options, train  # noqa: F401

from crystallite.cli import COMMANDS, main

HEAVY = {"torch", "numba", "pyarrow", "matplotlib", "gemmi", "numpy", "pandas", "scipy"}


@pytest.fixture
def run(capsys):
    """Run a command in this process; returns exit status, standard output and standard error."""

    def call(*words):
        with pytest.raises(SystemExit) as stop:
            main(list(map(str, words)))
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


# ---- help


@pytest.mark.parametrize(
    "path", [path for path, _ in commands()], ids=lambda path: " ".join(path) or "itself"
)
def test_every_command_has_help(path, run):
    status, out, err = run(*path, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: {' '.join(('crystallite', *path))}")
    assert len(out.splitlines()) > 5


def test_every_option_is_explained():
    silent = [
        (" ".join(path), option.opts)
        for path, found in commands()
        for option in found.params
        if isinstance(option, click.Option) and not option.help and not isinstance(option.type, click.Choice)
    ]
    assert silent == []


def test_overview_lists_every_command(run):
    _, out, _ = run("--help")
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in out
        assert line.split()[0] in out


def test_version(run):
    assert run("--version")[1].startswith("crystallite, version ")


@pytest.mark.parametrize(
    "code",
    [
        "import crystallite; dir(crystallite)",
        "from crystallite.cli import main; main(['--help'])",
        "from crystallite.cli import main; main(['train', '--help'])",
        "from crystallite.cli import main; main(['predict', '--help'])",
        "from crystallite.cli import main; main(['data', 'list'])",
    ],
)
def test_nothing_heavy_is_imported_for_it(code):
    script = f"import atexit, sys\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n{code}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "crystallite" in loaded
    assert not loaded & HEAVY


def test_training_imports_no_pandas(tmp_path):
    words = ["train", "dielectric", "--target", "band_gap", "--epochs", "1", "--set", "train_limit=64"]
    program = f"import sys; from crystallite.cli import cli; cli({words!r}, standalone_mode=False)"
    program += "; print('pandas' in sys.modules, 'torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "False True"


# ---- errors


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["trian"], 2, "No such command 'trian'"),
        (["train"], 2, "give DATA, or --resume RUN"),
        (["train", "elastik", "--target", "x"], 1, "did you mean elastic?"),
        (
            ["train", "elastic"],
            2,
            "choose a property with --target; elastic has: bulk_modulus, ",
        ),
        (["train", "elastic", "--target", "bulk"], 1, "did you mean bulk_modulus"),
        (["train", "elastic", "--target", "bulk_modulus", "--recipe", "old"], 2, "'old' is not one of"),
        (["train", "elastic", "--target", "bulk_modulus", "--epochs", "0"], 2, "0 is not in the range"),
        (["train", "elastic", "--target", "bulk_modulus", "--lr", "-1"], 1, "learning_rate must be positive"),
        (["train", "elastic", "--target", "bulk_modulus", "--set", "epochs"], 2, "--set takes NAME=VALUE"),
        (["train", "elastic", "--target", "bulk_modulus", "--set", "wide=1"], 2, "settings are angles, atom"),
        (["train", "elastic", "--target", "bulk_modulus", "--set", "out=1"], 2, "settings are angles, atom"),
        (["train", "elastic", "--target", "bulk_modulus", "--set", "loss=l3"], 1, "loss must be one of"),
        (["train", "elastic", "--target", "bulk_modulus", "--split", "1/2"], 1, "--split takes TRAIN"),
        (["train", "--resume", "nowhere"], 1, "nowhere is not a run folder"),
        (["predict", "nowhere", "elastic"], 1, "nowhere: no such model"),
        (["predict", "nowhere"], 2, "Missing argument 'INPUT...'"),
        (["data", "info", "formatoin"], 1, "did you mean formation?"),
    ],
)
def test_mistakes(words, status, message, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, out, err = run(*words)
    assert (found, out) == (status, "")
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_a_process_of_its_own(tmp_path):
    done = command("train", "elastic", "--target", "bulk", cwd=tmp_path)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("Error: ")
    assert len(done.err.splitlines()) == 1


def test_a_reader_that_leaves_is_no_error(tmp_path):
    model = GOLDEN / "formation-energy-per-atom.pth.tar"
    words = [sys.executable, "-m", "crystallite", "predict", str(model), "elastic"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


# ---- a training run, seen from outside


def test_the_only_property_needs_no_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    energies(40).write(tmp_path / "mine.parquet")
    status, out, err = run("train", "mine.parquet", *small_options(epochs=1))
    assert (status, err) == (0, "")
    folder = f"runs/mine-{ENERGY}-1"
    assert (tmp_path / folder / "summary.json").is_file()
    for text in ("test MAE", "MAE of mean value", f"{folder}/parity.png", f"crystallite predict {folder}"):
        assert text in out
    status, out, err = run("predict", folder, "mine.parquet")
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 41


def test_classification_tells_its_own_errors(run, tmp_path):
    dataset = energies(60)
    labelled = dataset.with_property("stable", dataset.values(ENERGY) < -1)
    labelled.write(tmp_path / "mine.parquet")
    words = ["mine.parquet", "--target", "stable", "--task", "classification", "--out", tmp_path / "run"]
    words[0] = tmp_path / words[0]
    status, out, _ = run("train", *words, *small_options(epochs=1))
    assert status == 0
    assert "test AUC" in out
    assert "MAE" not in out


def test_warnings_are_lines_for_people(tmp_path):
    """One line that says what is the matter, and no place in our code."""
    model = GOLDEN / "formation-energy-per-atom.pth.tar"
    words = ["train", "elastic", "--target", "bulk_modulus", "--set=train_limit=2", "--epochs=1"]
    said = command(*words, "--from", model, "--out", tmp_path / "run")
    assert said.status == 0, said.err
    (line,) = [line for line in said.err.splitlines() if "does not say which crystals" in line]
    assert line.startswith("Notice: ")
    assert ".py:" not in said.err
