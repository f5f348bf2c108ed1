"""Arrays grow in a folder piece by piece; a killed writer's pieces are kept; damage is seen."""

from __future__ import annotations

import numpy as np
import pytest

from crystallite.files import array_folder
from crystallite.files.array_folder import ArrayWriter, read_arrays, written_once

NAMES = ("places", "kinds")


def pieces(first: int = 0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    sizes = [0, 3, 1, 0, 50, 7]
    made = [
        {"places": rng.normal(size=(n, 3)), "kinds": rng.integers(9, size=n, dtype=np.uint8)} for n in sizes
    ]
    return made[first:]


def whole() -> dict[str, np.ndarray]:
    return {name: np.concatenate([piece[name] for piece in pieces()]) for name in NAMES}


def write(writer: ArrayWriter) -> None:
    for piece in pieces():
        writer.append(**piece)


def assert_whole(arrays: dict[str, np.ndarray] | None) -> None:
    assert arrays is not None
    for name, expected in whole().items():
        np.testing.assert_array_equal(arrays[name], expected)
        assert arrays[name].dtype == expected.dtype
        assert not arrays[name].flags.writeable


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_pieces_become_arrays(limit, tmp_path, monkeypatch):
    monkeypatch.setattr(array_folder, "IN_MEMORY", limit)
    assert read_arrays(tmp_path / "made", NAMES) is None
    assert_whole(written_once(tmp_path / "made", NAMES, write))
    assert_whole(read_arrays(tmp_path / "made", NAMES))
    assert_whole(written_once(tmp_path / "made", NAMES, lambda writer: pytest.fail("they are there")))
    np.testing.assert_array_equal(np.load(tmp_path / "made" / "places.npy"), whole()["places"])
    assert {path.name for path in tmp_path.iterdir()} == {"made", "made.lock"}


@pytest.mark.parametrize("n_saved", range(1, 6))
def test_a_stopped_writer_goes_on(n_saved, tmp_path, monkeypatch):
    """What it wrote after it last saved is written once more, and not twice."""
    monkeypatch.setattr(array_folder, "SAVE_EVERY", -1)

    def stopped(writer: ArrayWriter) -> None:
        for piece in pieces()[:n_saved]:
            writer.append(**piece)
        monkeypatch.setattr(array_folder, "SAVE_EVERY", 1 << 30)
        writer.append(**pieces()[4])
        raise KeyboardInterrupt

    def rest(writer: ArrayWriter) -> None:
        assert writer.lengths == {name: sum(len(p[name]) for p in pieces()[:n_saved]) for name in NAMES}
        for piece in pieces(n_saved):
            writer.append(**piece)

    with pytest.raises(KeyboardInterrupt):
        written_once(tmp_path / "made", NAMES, stopped)
    assert read_arrays(tmp_path / "made", NAMES) is None
    assert_whole(written_once(tmp_path / "made", NAMES, rest))


def test_what_was_saved_and_cut_is_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(array_folder, "SAVE_EVERY", -1)

    def stopped(writer: ArrayWriter) -> None:
        write(writer)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written_once(tmp_path / "made", NAMES, stopped)
    path = tmp_path / ".building-made" / "kinds.npy"
    path.write_bytes(path.read_bytes()[:-1])

    def again(writer: ArrayWriter) -> None:
        assert writer.lengths == {}
        write(writer)

    assert_whole(written_once(tmp_path / "made", NAMES, again))


def test_an_error_leaves_nothing(tmp_path):
    def wrong(writer: ArrayWriter) -> None:
        write(writer)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        written_once(tmp_path / "made", NAMES, wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["made.lock"]
