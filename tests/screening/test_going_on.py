"""Screenings that stop, go on, and are done in shares: nothing is lost, and nothing is predicted twice."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from screenings import GAP, Here, contents, here, remembering, rows

from crystallite.crystals import cif
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError, CrystalliteError
from crystallite.screening.loop import Share
from crystallite.screening.screening import screen_with
from crystallite.screening.shortlist import Choice
from crystallite.screening.work import Question, Worker
from crystallite.sources import piece_reading, pieces
from crystallite.sources.formats import export_dataset


def test_a_second_run_predicts_nothing(twins_file, tmp_path, small_pieces):
    screen_with(here, GAP, [twins_file], tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("part-*")}
    with pytest.MonkeyPatch.context() as patch:
        engines = []
        patch.setattr(Here, "__init__", remembering(Here.__init__, engines))
        summary = screen_with(here, GAP, [twins_file], tmp_path)
    assert not engines[0].read_pieces
    assert summary.predicted_before == summary.predictions > 0
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("part-*")}


COMMAND = """
import sys
import crystallite.sources.pieces as pieces
from crystallite.cli import main
pieces.CRYSTALS = 20
if __name__ == "__main__":
    main(sys.argv[1:])
"""


def test_killed_at_any_moment_nothing_is_lost_or_predicted_twice(twins_file, tmp_path):
    script = tmp_path / "command.py"
    script.write_text(COMMAND)

    def command(folder: Path, *options: str) -> list[str]:
        return [
            sys.executable,
            str(script),
            "screen",
            "band_gap",
            str(twins_file),
            "-o",
            str(folder),
            *options,
        ]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    started = time.monotonic()
    subprocess.run(command(whole, "--workers", "1"), check=True, capture_output=True)
    duration = time.monotonic() - started
    rng = random.Random(0)
    kept: dict[Path, int] = {}
    for _ in range(4):
        process = subprocess.Popen(command(killed, "--workers", "2"), stderr=subprocess.DEVNULL)
        try:
            process.wait(duration * rng.uniform(0.3, 1.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        now = {path: path.stat().st_mtime_ns for path in killed.glob("predictions/part-*.parquet")}
        assert {path: now[path] for path in kept} == kept  # what is done is not done again
        kept = now
    subprocess.run(command(killed), check=True, capture_output=True)
    assert contents(killed) == contents(whole)


def test_shares_meet_in_one_folder(twins_file, tmp_path, small_pieces):
    screen_with(here, GAP, [twins_file], tmp_path / "whole")
    shared = tmp_path / "shared"
    for remainder in (2, 0, 1):
        screen_with(here, GAP, [twins_file], shared, share=Share(remainder, 3))
    assert not (shared / "summary.json").exists()
    n_rows = len(rows(shared, "predictions"))
    screen_with(here, GAP, [twins_file], shared)
    assert contents(shared) == contents(tmp_path / "whole")
    assert n_rows > len(rows(shared, "predictions"))  # twins of several shares were predicted in each


def test_a_share_that_never_ran_is_done_at_the_end(twins_file, tmp_path, small_pieces):
    screen_with(here, GAP, [twins_file], tmp_path / "whole")
    screen_with(here, GAP, [twins_file], tmp_path / "shared", share=Share(1, 2))
    screen_with(here, GAP, [twins_file], tmp_path / "shared")
    assert contents(tmp_path / "shared") == contents(tmp_path / "whole")


def test_a_folder_is_for_one_question_and_one_input(twins_file, tmp_path, elastic):
    folder = tmp_path / "out"
    mine = tmp_path / "mine.parquet"
    elastic.select(range(5)).write(mine)
    screen_with(here, GAP, [mine], folder)
    with pytest.raises(CrystalliteError, match="begun with other models"):
        screen_with(here, Question(("is_metal",)), [mine], folder)
    with pytest.raises(CrystalliteError, match="begun with other inputs"):
        screen_with(here, GAP, [twins_file], folder)
    elastic.select(range(6)).write(mine)
    with pytest.raises(CrystalliteError, match="begun with other files"):
        screen_with(here, GAP, [mine], folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("")
    with pytest.raises(CrystalliteError, match="is not empty"):
        screen_with(here, GAP, [twins_file], other)
    with pytest.raises(CrystalliteError, match="no such file"):
        screen_with(here, GAP, [tmp_path / "nothing.cif"], other)


def test_two_runs_do_not_write_to_one_folder(twins_file, tmp_path):
    def meanwhile(question):
        with pytest.raises(CrystalliteError, match="another run writes"):
            screen_with(here, GAP, [twins_file], tmp_path)
        return here(question)

    screen_with(meanwhile, GAP, [twins_file], tmp_path)


SLOWLY = """
import signal, time
from crystallite.screening.results import Results
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
write = Results.write
def slowly(*arguments):
    time.sleep(0.2)
    return write(*arguments)
Results.write = slowly
"""


def test_interrupted_it_says_so_and_goes_on(twins_file, tmp_path):
    """Ctrl-C reaches the workers too, which share the terminal; 20 parts take four seconds at least."""
    script = tmp_path / "command.py"
    script.write_text(SLOWLY + COMMAND)
    folder = tmp_path / "out"
    words = [sys.executable, str(script), "screen", "band_gap", str(twins_file), "-o", str(folder)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list(folder.glob("predictions/part-*")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate()[1]
    assert process.returncode == 1
    assert "Error: interrupted; " in told
    assert "Traceback" not in told
    finished = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "of them before)" in finished.stderr


def test_predictions_that_are_no_numbers_stay_bad(twins_file, tmp_path, monkeypatch, small_pieces):
    """A second run, and a whole run after shares, leave the files as a run in one go does."""
    predict = Worker.predict

    def without_some(self, graphs, chosen):
        predicted = predict(self, graphs, chosen)
        gaps = predicted.table["band_gap"].to_numpy()
        return predicted._replace(are_numbers=predicted.are_numbers & (gaps > 0.2))

    monkeypatch.setattr(Worker, "predict", without_some)
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    summary = screen_with(here, GAP, [twins_file], whole)
    before = contents(whole)
    assert screen_with(here, GAP, [twins_file], whole).bad == summary.bad > 3
    assert contents(whole) == before
    for remainder in (1, 0):
        screen_with(here, GAP, [twins_file], shared, share=Share(remainder, 2))
    screen_with(here, GAP, [twins_file], shared)
    assert contents(shared) == before


def test_a_complete_folder_has_nothing_to_share(twins_file, tmp_path, small_pieces):
    screen_with(here, GAP, [twins_file], tmp_path)
    before = contents(tmp_path)
    with pytest.raises(CrystalliteError, match="nothing left to share"):
        screen_with(here, GAP, [twins_file], tmp_path, share=Share(1, 4))
    assert contents(tmp_path) == before


def test_a_share_and_the_whole_keep_each_other_out(twins_file, tmp_path, small_pieces):
    def whole_meanwhile(question):
        with pytest.raises(CrystalliteError, match="another run writes"):
            screen_with(here, GAP, [twins_file], tmp_path)
        with pytest.raises(CrystalliteError, match="another run writes"):
            screen_with(here, GAP, [twins_file], tmp_path, share=Share(0, 2))
        screen_with(here, GAP, [twins_file], tmp_path, share=Share(1, 3))
        return here(question)

    screen_with(whole_meanwhile, GAP, [twins_file], tmp_path, share=Share(0, 3))


@pytest.mark.parametrize("kind", ["duplicates", "bad", "predictions"])
def test_damaged_and_missing_files_are_told_and_made_again(twins_file, tmp_path, kind, small_pieces, elastic):
    bad = tmp_path / "bad.cif"
    bad.write_text("data_x\n")
    inputs, folder = [twins_file, bad], tmp_path / "out"
    screen_with(here, GAP, inputs, folder)
    before = contents(folder)
    path = sorted((folder / kind).iterdir())[-1]
    for damage in (lambda: path.write_bytes(b""), path.unlink):
        damage()
        if kind != "predictions" or path.exists():
            with pytest.raises(CrystalliteError, match=f"{path.name}: damaged or missing: .*; delete"):
                screen_with(here, GAP, inputs, folder)
            (folder / "predictions" / path.name).unlink()
        screen_with(here, GAP, inputs, folder)
        assert contents(folder) == before


def test_a_file_that_is_cut_into_other_pieces_is_noticed(twins, tmp_path, small_pieces, monkeypatch):
    """A disk that fails for a while must not shift the parts of what comes after."""
    paths = []
    for half in range(2):
        paths.append(tmp_path / f"{half}.parquet")
        twins.select(range(200 * half, 200 * half + 200)).write(paths[-1])
    each = pieces.each_piece

    def failing(source, **options):
        found = each(source)
        if source.path == paths[0]:
            yield next(found)
            error = CrystalError(str(paths[0]), "not readable")
            yield pieces.Piece("found", str(paths[0]), 0, [pieces.Found("", "", error)], 1.0)
        else:
            yield from found

    with monkeypatch.context() as patch:
        patch.setattr("crystallite.screening.screening.each_piece", failing)
        assert screen_with(here, GAP, paths, tmp_path / "out").bad == 1
    with pytest.raises(CrystalliteError, match=r"was made of .* where there is .* now"):
        screen_with(here, GAP, paths, tmp_path / "out")


def test_a_disk_that_fails_stops_a_screening_in_one_line(tmp_path, elastic, monkeypatch):
    export_dataset(elastic.select(range(3)), tmp_path / "cifs", target="bulk_modulus")

    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(cif, "_bytes", fail)
    with pytest.raises(CrystalliteError) as raised:
        screen_with(here, GAP, [tmp_path / "cifs"], tmp_path / "out")
    reason = ".cif: cannot read the file: Input/output error; what is done is in "
    assert str(raised.value).endswith(f"{reason}{tmp_path / 'out'}, and the same command goes on")
    monkeypatch.undo()
    assert screen_with(here, GAP, [tmp_path / "cifs"], tmp_path / "out") == (3, 0, 0, 0, 0, None)


def test_what_stays_unreadable_is_listed_when_asked(tmp_path, elastic, monkeypatch):
    """In the folder that the screening had begun; the shortlist does without that file, too."""
    export_dataset(elastic.select(range(16)), tmp_path / "cifs", target="bulk_modulus")
    monkeypatch.setattr(pieces, "CRYSTALS", 2)
    [*_, first, last] = sorted((tmp_path / "cifs").glob("*.cif"))
    read, out = cif._bytes, tmp_path / "out"

    def fail(path):
        if str(path) == str(last):
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    monkeypatch.setattr(cif, "_bytes", fail)
    with pytest.raises(CrystalliteError, match="Input/output error"):
        screen_with(here, GAP, [tmp_path / "cifs"], out)
    done = contents(out)
    asked = GAP._replace(skip_unreadable=True)
    assert screen_with(here, asked, [tmp_path / "cifs"], out, Choice(by="band_gap"))[:4] == (15, 0, 1, 0)
    assert done.items() <= contents(out).items()
    assert any(name.startswith("predictions") for name in done)
    [bad] = rows(out, "bad").to_dict("records")
    assert bad["source"] == str(last)
    assert bad["reason"] == "cannot read the file: Input/output error"
    assert len(Dataset.read(out / "shortlist.parquet")) == 15
    assert first.stem in Dataset.read(out / "shortlist.parquet").ids


@pytest.mark.parametrize("broken", [0, 1])
def test_no_id_gets_the_structure_of_another(tmp_path, elastic, monkeypatch, broken):
    """An unreadable file of many crystals is one row: those behind it must not move up."""
    inputs = [tmp_path / f"{number}.extxyz" for number in range(2)]
    for number, path in enumerate(inputs):
        export_dataset(elastic.select(range(5 * number, 5 * number + 5)), path)
    screen_with(here, GAP, [tmp_path / "*.extxyz"], tmp_path / "out")
    read = piece_reading.read_structures

    def fail(file):
        if file.path == inputs[broken]:
            raise OSError(errno.EIO, "Input/output error")
        return read(file)

    monkeypatch.setattr(piece_reading, "read_structures", fail)
    for row in range(5):
        name = elastic.ids[5 + row]
        choice = Choice(where=f"material_id = '{name}'")
        with pytest.raises(CrystalliteError, match=rf"1\.extxyz: .*({name} is not there|Input/output error)"):
            screen_with(here, GAP, [tmp_path / "*.extxyz"], tmp_path / "out", choice)
    assert not list((tmp_path / "out").glob("shortlist*"))


def test_an_input_with_fewer_pieces_is_noticed(tmp_path, elastic, small_pieces, monkeypatch):
    elastic.select(range(120)).write(tmp_path / "data.parquet")
    screen_with(here, GAP, [tmp_path / "data.parquet"], tmp_path / "out")
    each = pieces.each_piece

    def shorter(source, **options):
        return list(each(source, **options))[:2]

    monkeypatch.setattr("crystallite.screening.screening.each_piece", shorter)
    last = elastic.ids[119]
    choice = Choice(where=f"material_id = '{last}'")
    with pytest.raises(CrystalliteError, match=rf"data\.parquet, row 120: {last} is not there any more"):
        screen_with(here, GAP, [tmp_path / "data.parquet"], tmp_path / "out", choice)


def test_a_structure_that_is_gone_is_missed_on_the_shortlist(tmp_path, elastic):
    export_dataset(elastic.select(range(3)), tmp_path / "cifs", target="bulk_modulus")
    one = next((tmp_path / "cifs").glob("*.cif"))
    status = one.stat()
    screen_with(here, GAP, [tmp_path / "cifs"], tmp_path / "out")
    one.write_bytes(b"#" * status.st_size)
    os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(CrystalliteError, match=rf"{one.name}: no atoms"):
        screen_with(here, GAP, [tmp_path / "cifs"], tmp_path / "out", Choice(by="band_gap"))
