"""The page of `crystallite serve`: structures come in, numbers come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from page_actions import (
    FORMULAS,
    NEEDS_BROWSER,
    choose,
    command_line,
    downloaded,
    drop,
    drop_example,
    expect,
    ready,
    rows_of,
    status_of,
    values,
)
from serving import EXAMPLES

pytestmark = NEEDS_BROWSER


def test_a_dropped_file_shows_the_numbers_of_the_command_line(page: Any) -> None:
    drop_example(page, "garnet")
    (row,) = rows_of(command_line("all", EXAMPLES / "garnet.cif", "--interval", "90", "--neighbours", "3"))
    expected = {name: float(row[name]) for name in values(page)}
    assert len(expected) == 10
    assert values(page) == expected
    gap = page.locator("[data-property=band_gap]").inner_text()
    low, high = (f"{float(row[f'band_gap_{end}']):.1f}" for end in ("lower", "upper"))
    assert f"{float(row['band_gap']):.1f} ({low} to {high}) eV, 90 %" in gap.replace("\n", " ")
    for k in (1, 2, 3):
        assert row[f"band_gap_neighbour_{k}"] in gap


def test_a_pasted_text_is_predicted_whatever_its_format(page: Any, tmp_path: Path) -> None:
    from pymatgen.core import Structure

    structure = Structure.from_file(EXAMPLES / "rutile.cif")
    texts = {"json": json.dumps(structure.as_dict()), "vasp": structure.to(fmt="poscar")}
    for ending, text in texts.items():
        page.get_by_test_id("paste-text").fill(text)
        page.get_by_test_id("paste-submit").click()
        page.get_by_role("heading", name="TiO2 pasted").wait_for()
        expect(page.get_by_test_id("status")).to_have_text(status_of("TiO2"))
        (tmp_path / f"pasted.{ending}").write_text(text)
        (row,) = rows_of(command_line("all", tmp_path / f"pasted.{ending}"))
        assert values(page) == {name: float(row[name]) for name in values(page)}


def test_a_text_pasted_anywhere_on_the_page_is_predicted(page: Any) -> None:
    page.evaluate(
        """text => {
          const clipboardData = new DataTransfer();
          clipboardData.setData("text/plain", text);
          document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        }""",
        (EXAMPLES / "quartz.cif").read_text(),
    )
    page.get_by_role("heading", name="SiO2 pasted").wait_for()
    expect(page.get_by_test_id("status")).to_have_text(status_of("SiO2"))


def test_the_csv_of_many_files_is_the_command_lines_byte_for_byte(page: Any, poscars: list[Path]) -> None:
    choose(page, poscars, "70 crystals predicted.")
    expect(page.get_by_test_id("row-count")).to_have_text("70 crystals")
    assert downloaded(page) == command_line("all", *poscars, "--interval", "90")
    page.get_by_text("Models and interval").click()
    for name in ("Band gap", "Is metal"):
        page.get_by_role("checkbox", name=name, exact=True).uncheck()
    page.get_by_label("Interval that holds").select_option("50")
    page.get_by_role("button", name="Predict again").click()
    expect(page.get_by_role("columnheader", name="Band gap")).to_have_count(0)
    expect(page.get_by_test_id("status")).to_have_text("70 crystals predicted.")
    rows, all_rows = rows_of(downloaded(page)), rows_of(command_line("all", *poscars, "--interval", "50"))
    assert rows == [{name: row[name] for name in rows[0]} for row in all_rows]
    assert "bulk_modulus_lower" in rows[0]
    assert not [name for name in rows[0] if name.startswith(("band_gap", "is_metal"))]


def test_a_table_is_filtered_sorted_and_its_rows_opened(page: Any, poscars: list[Path]) -> None:
    choose(page, poscars[:30], "30 crystals predicted.")
    rows = rows_of(command_line("all", *poscars[:30]))
    page.get_by_test_id("table-filter").fill("Bulk modulus >= 100 poisson_ratio < 0.3")
    kept = [row for row in rows if float(row["bulk_modulus"]) >= 100 and float(row["poisson_ratio"]) < 0.3]
    expect(page.get_by_test_id("row-count")).to_have_text(f"{len(kept)} of 30 crystals")
    page.get_by_role("button", name="Bulk modulus").click()
    names = page.get_by_test_id("results-table").locator("tbody th")
    expected = sorted(kept, key=lambda row: float(row["bulk_modulus"]))
    expect(names).to_have_text([row["material_id"] for row in expected])
    page.get_by_test_id("table-filter").fill("bulk_modulus > much")
    assert "no number" in page.locator("#filter-error").inner_text()
    page.get_by_test_id("table-filter").fill("")
    page.get_by_role("button", name=expected[0]["material_id"], exact=True).click()
    expect(page.get_by_test_id("property")).to_have_count(10)
    assert values(page)["bulk_modulus"] == float(expected[0]["bulk_modulus"])
    page.get_by_role("button", name="Back to the table").click()
    expect(names).to_have_count(30)


def test_files_of_one_name_in_a_dropped_folder_are_told_apart(page: Any) -> None:
    files = {"x/1.cif": "silicon", "y/1.cif": "garnet", "y/odd\u00a0name.cif": "rutile"}
    page.evaluate(
        """files => {
          const fileOf = ([path, text]) => new File([text], path.split("/").at(-1));
          const entries = files.map((one) => (
            { isFile: true, fullPath: `/${one[0]}`, file: (take) => take(fileOf(one)) }
          ));
          const readEntries = (take) => take(entries.splice(0, 2)); // a browser, too, gives them in parts
          const folder = { isFile: false, createReader: () => ({ readEntries }) };
          DataTransferItem.prototype.webkitGetAsEntry = () => folder;
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([], "folder"));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
        }""",
        [[path, (EXAMPLES / f"{name}.cif").read_text()] for path, name in files.items()],
    )
    rows = page.get_by_test_id("results-table").locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.locator("th")).to_have_text(["1", "y-1", "oddname"])
    for name, formula in (("y-1", "Y3Al5O12"), ("oddname", "TiO2"), ("1", "Si")):
        page.get_by_role("button", name=name, exact=True).click()
        page.get_by_role("heading", name=f"{formula} {name}", exact=True).wait_for()
        page.get_by_role("button", name="Back to the table").click()


def test_two_sessions_at_once_get_each_their_own_numbers(
    opened: Callable[..., Any], poscars: list[Path]
) -> None:
    one, other = ready(opened()), ready(opened())
    one.get_by_test_id("file-input").set_input_files(poscars[:40])
    other.get_by_test_id("file-input").set_input_files(poscars[30:])
    for page in (one, other):
        expect(page.get_by_test_id("status")).to_have_text("40 crystals predicted.")
    assert downloaded(one) == command_line("all", *poscars[:40], "--interval", "90")
    assert downloaded(other) == command_line("all", *poscars[30:], "--interval", "90")
    for page, name in ((one, "garnet"), (other, "silicon")):
        drop(page, (f"{name}.cif", (EXAMPLES / f"{name}.cif").read_text()))
    for page, name in ((one, "garnet"), (other, "silicon")):
        expect(page.get_by_test_id("status")).to_have_text(status_of(FORMULAS[name]))
        (row,) = rows_of(command_line("all", EXAMPLES / f"{name}.cif"))
        assert values(page) == {key: float(row[key]) for key in values(page)}
