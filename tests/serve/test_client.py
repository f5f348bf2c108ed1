"""The client in docs/serve.md does what the page says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import httpx
import pytest
from serving import EXAMPLES

import crystallite

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"


def test_the_client_of_the_documentation_works(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copy(EXAMPLES / "quartz.cif", "my.cif")
    address = str(client.base_url).rstrip("/")
    namespace: dict = {}
    exec(code.replace("http://localhost:8765", address), namespace)
    value = crystallite.load_model("band_gap").predict("my.cif")[0]
    assert capsys.readouterr().out.startswith(f"SiO2 band_gap {value} ")
    Path("bad.cif").write_text("data_x")
    with pytest.raises(RuntimeError, match=r"bad\.cif: no atoms"):
        namespace["predict"]("bad.cif")
