"""Progress bars: where someone looks at them, and only there."""

from __future__ import annotations

import io
import sys
from types import ModuleType

import pytest
import tqdm
from training_runs import energies, one_thread, train  # noqa: F401

from crystallite.computing.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Bars without their two seconds of patience."""
    patient = tqdm.tqdm
    now = {"delay": 0, "mininterval": 0, "miniters": 1}
    monkeypatch.setattr(tqdm, "tqdm", lambda *items, **options: patient(*items, **{**options, **now}))


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_progress_of_training_is_for_terminals_only(stream, tmp_path, monkeypatch):
    shown = stream()
    monkeypatch.setattr(sys, "stderr", shown)
    train(energies(40), tmp_path / "run", epochs=2, progress=True)
    if stream is Terminal:
        assert "loss=" in shown.getvalue()
        assert "validation=" in shown.getvalue()
        assert "<" in shown.getvalue()  # elapsed<left
    else:
        assert "\r" not in shown.getvalue()  # no bar


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_bar_that_is_not_wanted_is_never_shown(stream, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream())
    assert list(progress_bar(range(3), doing="counting", unit="numbers", shown=False)) == [0, 1, 2]
    assert sys.stderr.getvalue() == ""


def test_a_notebook_shows_bars_though_it_is_no_terminal(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert list(progress_bar(range(3), doing="counting", unit="numbers", total=3, delay=0)) == [0, 1, 2]
    assert "counting: 100%" in sys.stderr.getvalue()
    assert "numbers/s" in sys.stderr.getvalue()
