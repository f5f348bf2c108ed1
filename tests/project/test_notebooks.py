"""The notebooks of docs/notebooks run from top to bottom, and what they show can be shown."""

from __future__ import annotations

import ast
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from golden_files import GOLDEN

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does, and return the value of its last line if that is an expression."""
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["cifs_to_model", "published_checkpoints"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(GOLDEN / "formation-energy-per-atom.pth.tar", tmp_path)
    names: dict[str, Any] = {}
    shown = 0
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert not cell["outputs"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = run_cell("".join(cell["source"]), names)
        if hasattr(value, "_repr_html_"):
            assert "<table" in value._repr_html_()
            shown += 1
    assert shown >= 2
