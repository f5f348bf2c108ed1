"""Some damaged inputs of each kind, the same in every run; `make fuzz` tries as many others as one likes."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import pytest
from fuzz.campaign import tried
from fuzz.child import attempt
from fuzz.good import write_good
from fuzz.targets import TARGETS

NUMBERS = {
    "cif": 300, "poscar": 200, "extxyz": 50, "json": 150, "msgpack": 50, "npz": 100, "table": 60,
    "parquet": 80, "model": 40, "run": 4, "command": 25, "upload": 60,
}  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    write_good(folder)
    return folder


def test_every_target_is_tried() -> None:
    assert NUMBERS.keys() == TARGETS.keys()


@pytest.mark.parametrize("target", TARGETS)
def test_a_crystal_or_the_project_s_own_error(target: str, good: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(NUMBERS[target]):
            wrong = attempt(target, number, good, tmp_path / "input")
            assert not wrong, f"python -m fuzz {target} --first {number} --count 1\n{wrong}"


def test_the_campaign_notices_all_that_can_go_wrong(good: Path, tmp_path: Path, monkeypatch) -> None:
    """Other errors, hangs and memory; it continues after each of them, and no input is tried twice."""
    monkeypatch.setenv("FUZZ_LIMIT", "0.5")
    found = list(tried("broken", 0, 600, good, tmp_path / "input", most=8))
    failures = [failure for failure in found if failure]
    said = Counter(failure.wrong.strip().splitlines()[-1].split()[0] for failure in failures)
    assert len(found) == 8
    assert {"ValueError:", "hangs:"} <= said.keys() <= {"ValueError:", "hangs:", "took"}
    assert len({failure.number for failure in failures}) == len(failures)
