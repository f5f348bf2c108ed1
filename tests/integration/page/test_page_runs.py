"""The page of `crystallite serve`: training runs, finished and under way."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from page_actions import (
    ENERGY,
    NEEDS_BROWSER,
    command_line,
    drop,
    drop_example,
    expect,
    picture,
    rows_of,
    training,
)
from serving import EXAMPLES, PATIENCE, process

pytestmark = NEEDS_BROWSER


def test_own_runs_are_models_with_contributions_of_atoms(page: Any, runs: Path) -> None:
    drop_example(page, "garnet")
    page.get_by_text("Models and interval").click()
    page.get_by_role("checkbox", name="linear: formation energy per atom").check()
    expect(page.get_by_test_id("property")).to_have_count(11)
    (row,) = rows_of(command_line(runs / "linear", EXAMPLES / "garnet.cif"))
    card = page.locator("[data-model=linear]")
    assert float(card.get_attribute("data-value")) == float(row[ENERGY])
    before = picture(page)
    page.get_by_label("Colours").select_option(label="Contributions: linear, Formation energy per atom")
    page.get_by_text("Contribution of each atom, eV/atom").wait_for()
    assert picture(page) != before


def test_a_finished_run_shows_its_learning_curve_and_its_test(opened: Callable[..., Any]) -> None:
    page = opened("#runs")
    page.get_by_text("finished after 3 epochs").first.wait_for()
    curves = page.get_by_test_id("learning-curve").get_by_role("img")
    expect(curves).to_have_count(2)
    assert "Validation error" in curves.first.get_attribute("aria-label")
    assert "10 test crystals" in page.get_by_test_id("parity-plot").inner_text()


def test_a_learning_curve_grows_while_a_run_trains_but_not_in_a_hidden_tab(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    with process(str(folder)) as (_, url):
        page = opened("#runs", url=url)
        page.get_by_text("No runs yet").wait_for()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        with training(folder / "live", 300, "--epochs", "400") as run:
            note = page.locator(".run-detail .note").first
            expect(note).to_contain_text(re.compile(r"training, epoch [1-9]"))
            curve = page.get_by_test_id("learning-curve").locator("path.curve").first
            epochs, lines = [], []
            for _ in range(3):
                lines.append(curve.get_attribute("d"))
                epochs.append(int(re.search(r"epoch (\d+)", note.inner_text()).group(1)))
                expect(curve).not_to_have_attribute("d", lines[-1])
            assert epochs == sorted(set(epochs))
            hide(page, True)
            page.wait_for_timeout(1000)  # until what was asked is answered
            asked.clear()
            page.wait_for_timeout(5000)
            assert asked == []
            hide(page, False)
            expect(page.get_by_text("finished after 400 epochs").first).to_be_visible()
            assert run.wait(5 * PATIENCE) == 0
        page.get_by_test_id("parity-plot").get_by_role("img").wait_for()
        page.get_by_role("link", name="Crystals").click()
        page.get_by_text("Models and interval").click()
        page.get_by_role("checkbox", name="live: formation energy per atom").check()  # without loading again
        drop(page, ("silicon.cif", (EXAMPLES / "silicon.cif").read_text()))
        expect(page.locator("[data-model=live]")).to_be_visible()


def hide(page: Any, hidden: bool) -> None:
    """Tell the page that its tab is hidden, or is seen again."""
    page.evaluate(
        """state => {
          Object.defineProperty(document, "visibilityState", { get: () => state, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        "hidden" if hidden else "visible",
    )
