"""What tests of the page stand on: a browser, servers, pages that notice what they must not do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_actions import CHROMIUM, REFUSED, ready, sync_playwright, training
from serving import PATIENCE, process

import crystallite
from crystallite.crystals.elements import symbols


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as started:  # chromium without its sandbox, as root may be here
        chromium = started.chromium.launch(executable_path=CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with a finished one, whose readout tells the contributions of atoms."""
    folder = tmp_path_factory.mktemp("runs")
    with training(folder / "linear", 100, "--epochs", "3", "--readout", "per-atom") as run:
        assert run.wait(5 * PATIENCE) == 0
    return folder


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    """A server with the models of the package and the runs."""
    with process(str(runs)) as (_, url):
        yield url


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Open the page in a session of its own; it may ask its server alone, and complain of nothing."""
    contexts, complaints = [], []

    def watch(page: Any, origin: str) -> None:
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("console", lambda message: REFUSED.match(message.text) or complaints.append(message.text))

        def only_own(route: Any) -> None:
            if route.request.url.startswith((f"{origin}/", "blob:", "data:")):
                route.continue_()
            else:
                complaints.append(f"asked for {route.request.url}")
                route.abort()

        page.route("**/*", only_own)

    def open_page(place: str = "", url: str = address, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(1000 * PATIENCE)
        contexts.append(context)
        page = context.new_page()
        watch(page, url)
        page.goto(f"{url}/{place}")
        return page

    open_page.complaints = complaints  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(opened: Callable[..., Any]) -> Any:
    return ready(opened())


@pytest.fixture(scope="session")
def poscars(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Seventy crystals of the built-in elastic set as POSCAR files: three sends of the page."""
    folder, names, paths = tmp_path_factory.mktemp("poscars"), symbols(), []
    dataset = crystallite.Dataset.read("elastic").select(range(70))
    for name, crystal in zip(dataset.ids, dataset, strict=True):
        rows = [*crystal.lattice.tolist(), *crystal.frac_coords.tolist()]
        numbers = [" ".join(f"{x:.12f}" for x in row) for row in rows]
        elements, ones = [names[z] for z in crystal.numbers], ["1"] * len(crystal.numbers)
        lines = [name, "1.0", *numbers[:3], " ".join(elements), " ".join(ones), "Direct", *numbers[3:]]
        paths.append(folder / f"{name}.vasp")
        paths[-1].write_text("\n".join(lines) + "\n")
    return paths
