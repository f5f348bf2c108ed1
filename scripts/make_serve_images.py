"""Take the pictures of `crystallite serve` for README and docs in a chromium; needs `pip install playwright`.

python scripts/make_serve_images.py
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from crystallite.crystals.elements import symbols
from crystallite.datasets.dataset import Dataset

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PATIENCE = 120  # seconds
WIDTH = 1280


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder)) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        crystal(browser, url)
        table(browser, url, structures(Path(folder)))
        browser.close()


def crystal(browser: Browser, url: str) -> None:
    """A crystal that turns, and cards of its properties."""
    page = opened(browser, url, 930)
    page.get_by_role("button", name="SrTiO3").click()
    page.get_by_test_id("property").first.wait_for()
    page.wait_for_timeout(500)  # until the bonds are drawn
    page.screenshot(path=IMAGES / "serve-crystal.png")


def table(browser: Browser, url: str, files: list[Path]) -> None:
    """Many crystals, filtered and sorted."""
    page = opened(browser, url, 790)
    page.get_by_test_id("file-input").set_input_files(files)
    page.get_by_test_id("status").get_by_text("predicted").wait_for(timeout=1000 * PATIENCE)
    page.get_by_test_id("table-filter").fill("O band_gap > 1")
    page.get_by_role("button", name="Bulk modulus").click()
    page.wait_for_timeout(300)
    page.screenshot(path=IMAGES / "serve-table.png")


def opened(browser: Browser, url: str, height: int) -> Page:
    page = browser.new_page(viewport={"width": WIDTH, "height": height}, color_scheme="light")
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(url)
    page.get_by_test_id("example").first.wait_for()
    return page


def structures(folder: Path) -> list[Path]:
    """The first crystals of the built-in elastic set as POSCAR files."""
    dataset, names, paths = Dataset.read("elastic"), symbols(), []
    for name, one in list(zip(dataset.ids, dataset, strict=True))[:200]:
        rows = [*one.lattice.tolist(), *one.frac_coords.tolist()]
        numbers = [" ".join(f"{x:.10f}" for x in row) for row in rows]
        elements = " ".join(names[number] for number in one.numbers)
        ones = " ".join("1" for _ in one.numbers)
        lines = [name, "1.0", *numbers[:3], elements, ones, "Direct", *numbers[3:]]
        paths.append(folder / f"{name}.vasp")
        paths[-1].write_text("\n".join(lines) + "\n")
    return paths


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A server that is ready, until the block ends."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    command = [sys.executable, "-m", "crystallite", "serve", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, cwd=folder) as process:
        try:
            end = time.monotonic() + PATIENCE
            while not is_ready(url):
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit("the server did not start")
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()


def is_ready(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/health").json()["ready"])
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
