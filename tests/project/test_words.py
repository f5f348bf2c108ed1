"""The pages beside the README: how to cite, what has changed, how to contribute."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import crystallite

ROOT = Path(__file__).parents[2]


def entries(text: str) -> dict[str, str]:
    """The keys at the left margin of a YAML text and what follows each, quotes taken off."""
    assert "\t" not in text
    found = re.findall(r"^([a-z-]+):(.*(?:\n .*)*)", text, re.MULTILINE)
    return {key: value.strip().strip("\"'") for key, value in found}


def test_citation_names_software_and_article() -> None:
    citation = entries((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # without these it is not valid
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == crystallite.__version__
    assert citation["authors"] == "- name: The Crystallite developers"
    assert "doi: 10.1103/PhysRevLett.120.145301" in citation["references"]


def test_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", text, re.MULTILINE)[0] == crystallite.__version__


def anchors(path: Path) -> set[str]:
    """What the headings of a page are called in links."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_and_headings_that_are_linked_exist(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        page, _, heading = link.partition("#")
        target = path.parent / page if page else path
        if "://" not in link and not (target.exists() and (not heading or heading in anchors(target))):
            missing.append(link)
    assert missing == []


def test_make_targets_of_the_contributing_page_exist() -> None:
    named = re.findall(
        r"(?:`|^)make ([a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert named != []
    assert set(named) <= set(targets)


def test_every_page_is_in_the_contents_of_the_site() -> None:
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [path.name for path in (ROOT / "docs").glob("*.md") if f": {path.name}" not in contents]
    assert missing == []
