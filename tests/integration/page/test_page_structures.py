"""The page of `crystallite serve`: the structure is turned, repeated, coloured and saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from page_actions import NEEDS_BROWSER, PHONE, drop_example, expect, middle, picture, ready, rotation

pytestmark = NEEDS_BROWSER


def test_the_structure_is_turned_and_enlarged_with_the_mouse(page: Any) -> None:
    drop_example(page, "rock_salt")
    first, before = picture(page), rotation(page)
    x, y = middle(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y + 20, steps=5)
    page.mouse.up()
    turned = rotation(page)
    assert max(abs(a - b) for a, b in zip(turned, before, strict=True)) > 0.3
    second = picture(page)
    assert second != first
    page.mouse.wheel(0, -400)
    expect(page.get_by_test_id("crystal-view")).to_have_attribute("data-zoom", "1.82")
    assert page.evaluate("scrollY") == 0  # the page stays where it is
    assert rotation(page) == turned
    assert picture(page) != second
    page.mouse.dblclick(x, y)
    assert rotation(page) == before


def test_the_structure_is_turned_by_a_finger(opened: Callable[..., Any]) -> None:
    page = ready(opened(**PHONE))
    page.get_by_role("button", name="Rutile").tap()
    page.get_by_test_id("property").first.wait_for()
    page.get_by_test_id("crystal-view").scroll_into_view_if_needed()
    before, (x, y), height = rotation(page), middle(page), page.evaluate("scrollY")
    touch = page.context.new_cdp_session(page)
    for kind, points in (
        ("touchStart", [(x, y)]),
        *(("touchMove", [(x + 10 * k, y + 5 * k)]) for k in range(1, 8)),
        ("touchEnd", []),
    ):
        places = [{"x": across, "y": down} for across, down in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
    page.wait_for_timeout(200)
    assert max(abs(a - b) for a, b in zip(rotation(page), before, strict=True)) > 0.2
    assert page.evaluate("scrollY") == height


def test_the_structure_is_repeated_coloured_and_saved(page: Any) -> None:
    drop_example(page, "rutile")
    pictures = [picture(page)]
    page.get_by_label("Cells along a").select_option("3")
    pictures.append(picture(page))
    page.get_by_label("Bonds").select_option("none")
    pictures.append(picture(page))
    page.get_by_label("Colours").select_option("equivalent")
    pictures.append(picture(page))
    page.get_by_role("button", name="Along c").click()
    pictures.append(picture(page))
    assert len(set(pictures)) == len(pictures)
    with page.expect_download() as found:
        page.get_by_role("button", name="Save picture").click()
    assert Path(found.value.path()).read_bytes().startswith(b"\x89PNG")
    assert found.value.suggested_filename == "rutile.png"
