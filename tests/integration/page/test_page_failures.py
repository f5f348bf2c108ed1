"""The page of `crystallite serve`: what cannot be used is told, and stops nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from page_actions import (
    NEEDS_BROWSER,
    choose,
    command_line,
    downloaded,
    drop,
    drop_example,
    expect,
    ready,
    rows_of,
)
from serving import EXAMPLES, process, serving

from crystallite.serve.settings import Limits, ServeSettings

pytestmark = NEEDS_BROWSER


TOKEN = "a-token-of-twenty-letters"


def test_a_broken_file_is_told_with_its_reason(page: Any) -> None:
    drop(page, ("broken.cif", "data_broken\n_cell_length_a five\n"))
    expect(page.get_by_test_id("status")).to_have_text("broken.cif cannot be used")
    told = page.get_by_test_id("failures").inner_text()
    assert "Not predicted: 1 structure" in told
    assert re.search(r"broken\.cif: \w+", told)
    drop_example(page, "silicon")  # and the next one is predicted
    assert page.get_by_test_id("failures").count() == 0


def test_broken_files_among_good_ones_leave_the_csv_as_the_command_line_has_it(
    page: Any, poscars: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "empty.cif").write_text("")
    (tmp_path / "torn.cif").write_text((EXAMPLES / "garnet.cif").read_text()[:120])
    paths = [poscars[0], tmp_path / "empty.cif", tmp_path / "torn.cif", poscars[1]]
    choose(page, paths, "2 crystals predicted, 2 not.")
    told = page.get_by_test_id("failures").inner_text()
    assert "empty.cif: the file is empty" in told
    assert "torn.cif: " in told
    assert downloaded(page) == command_line("all", *paths, "--interval", "90", "--skip-bad")


def test_names_of_files_are_text_and_nothing_else(page: Any) -> None:
    name = "<img src=x onerror=alert(1)>.cif"
    drop(page, (name, "nonsense"), ("<b>good</b>.cif", (EXAMPLES / "silicon.cif").read_text()))
    expect(page.get_by_test_id("status")).to_have_text("1 crystal predicted, 1 not.")
    assert f"{name}: " in page.get_by_test_id("failures").inner_text()
    assert page.locator("img:not([src='static/icon.svg']), main b").count() == 0


def test_files_too_large_together_are_sent_apart_and_one_too_large_is_explained(
    opened: Callable[..., Any],
) -> None:
    text = (EXAMPLES / "silicon.cif").read_text()
    padded = [(f"{k}.cif", f"{text}\n" + 90 * f"# {'-' * 97}\n") for k in range(6)]
    large = ("large.cif", f"{text}\n" + 300 * f"# {'-' * 97}\n")
    with serving(ServeSettings(limits=Limits(body=24_000))) as client:
        page = ready(opened(url=str(client.base_url).rstrip("/")))
        drop(page, *padded, large)
        expect(page.get_by_test_id("status")).to_have_text("6 crystals predicted, 1 not.")
        told = page.get_by_test_id("failures").inner_text()
        assert "large.cif: too large for this server: a request may have 24,000 bytes" in told
        assert len(rows_of(downloaded(page))) == 6
        drop(page, large)
        expect(page.get_by_test_id("status")).to_have_text("large.cif cannot be used")
        told = page.get_by_test_id("failures").inner_text()
        assert "large.cif: too large for this server: a request may have 24,000 bytes" in told


def test_a_server_that_has_gone_is_told_in_words(opened: Callable[..., Any]) -> None:
    with process() as (server, url):
        page = ready(opened(url=url))
        server.kill()
        server.wait()
        drop(page, ("silicon.cif", (EXAMPLES / "silicon.cif").read_text()))
        expect(page.get_by_test_id("status")).to_contain_text("The server does not answer")


def test_a_server_with_a_token_is_asked_with_it(opened: Callable[..., Any]) -> None:
    with serving(ServeSettings(token=TOKEN), Authorization=f"Bearer {TOKEN}") as client:
        url = str(client.base_url).rstrip("/")
        page = opened(url=url)
        page.get_by_role("textbox", name="Token").fill("not the token of this server")
        page.keyboard.press("Enter")
        page.get_by_text("That is not this server's token").wait_for()
        page.get_by_role("textbox", name="Token").fill(TOKEN)
        page.keyboard.press("Enter")
        drop_example(ready(page), "silicon")
        other = ready(opened(f"#token={TOKEN}", url=url))
        assert TOKEN not in other.url
        drop_example(other, "rutile")
