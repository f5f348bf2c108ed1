"""What tests of the page do with it, in Debian's chromium, headless, driven by Playwright."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import EXAMPLES, PATIENCE

import crystallite

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    expect = sync_playwright = None
else:
    expect.set_options(timeout=1000 * PATIENCE)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_BROWSER = [
    pytest.mark.integration,
    pytest.mark.skipif(expect is None, reason="needs playwright: make test-integration"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium: apt-get install chromium"),
]
FORMULAS = {"garnet": "Y3Al5O12", "rock_salt": "NaCl", "silicon": "Si", "rutile": "TiO2"}
RUN_SETTINGS = ("--set", "atom_width=16", "--set", "n_convolutions=2", "--device", "cpu")
ENERGY = "formation_energy_per_atom"
PHONE = {"viewport": {"width": 375, "height": 740}, "is_mobile": True, "has_touch": True}
# What the browser itself writes when a request is refused, which the page tells in its own words.
REFUSED = re.compile(
    r"Failed to load resource: .*(status of (401|413|422) |net::ERR_(CONNECTION_|CONTENT_LENGTH_MISMATCH))"
)


def ready(page: Any) -> Any:
    """The page when it knows its examples, and so its server."""
    page.get_by_test_id("example").first.wait_for()
    return page


@contextmanager
def training(folder: Path, n_crystals: int, *options: str) -> Iterator[subprocess.Popen]:
    """`crystallite train` on some crystals, until the block ends."""
    data = folder.parent.parent / f"{folder.name}.parquet"
    crystallite.Dataset.read("formation").select(range(n_crystals)).write(data)
    command = [sys.executable, "-m", "crystallite", "train", str(data), "--target", ENERGY]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(
        [*command, "--out", str(folder), *RUN_SETTINGS, *options], env=environment, **output
    ) as run:
        try:
            yield run
        finally:
            run.kill()


def drop(page: Any, *files: tuple[str, str]) -> None:
    """Drop files on the page, as an explorer of files does."""
    page.evaluate(
        """files => {
          const transfer = new DataTransfer();
          for (const [name, text] of files) transfer.items.add(new File([text], name));
          const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
          for (const kind of ["dragenter", "dragover", "drop"]) {
            document.body.dispatchEvent(new DragEvent(kind, options));
          }
        }""",
        [list(file) for file in files],
    )


def drop_example(page: Any, name: str) -> None:
    drop(page, (f"{name}.cif", (EXAMPLES / f"{name}.cif").read_text()))
    page.get_by_role("heading", name=f"{FORMULAS[name]} {name}").wait_for()
    page.get_by_test_id("property").first.wait_for()


def choose(page: Any, paths: list[Path], told: str | re.Pattern[str]) -> None:
    """Choose files, and wait for the line of status."""
    page.get_by_test_id("file-input").set_input_files(paths)
    expect(page.get_by_test_id("status")).to_have_text(told)


def status_of(name: str, n_properties: int = 10) -> str:
    return f"{n_properties} properties of {name} predicted."


def values(page: Any) -> dict[str, float]:
    """The predicted values on the cards, with all their digits."""
    cards = page.get_by_test_id("property").all()
    return {card.get_attribute("data-property"): float(card.get_attribute("data-value")) for card in cards}


def command_line(*arguments: str | Path) -> str:
    """What `crystallite predict` prints in a process of its own."""
    command = [sys.executable, "-m", "crystallite", "predict", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def widest(page: Any) -> int:
    return page.evaluate("document.documentElement.scrollWidth")


def downloaded(page: Any) -> str:
    with page.expect_download() as found:
        page.get_by_test_id("download-csv").click()
    assert found.value.suggested_filename == "predictions.csv"
    return Path(found.value.path()).read_bytes().decode()


def rotation(page: Any) -> list[float]:
    return [float(x) for x in page.get_by_test_id("crystal-view").get_attribute("data-rotation").split()]


def picture(page: Any) -> bytes:
    """The drawing when it rests; it has colours of atoms."""
    page.wait_for_timeout(400)
    view = page.get_by_test_id("crystal-view")
    n_colours = view.evaluate(
        """view => {
          const { width, height } = view;
          const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
          copy.drawImage(view, 0, 0);
          return new Set(new Uint32Array(copy.getImageData(0, 0, width, height).data.buffer)).size;
        }"""
    )
    assert n_colours > 100
    return view.screenshot()


def middle(page: Any) -> tuple[float, float]:
    box = page.get_by_test_id("crystal-view").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
