"""The site of mkdocs.yml beyond docs/: README.md is its first page; files outside docs/ are no links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

README = Path(__file__).parents[1] / "README.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README.md as the first page, its links as from docs/."""
    text = re.sub(r"\]\((?!https?:|#)", "](../", README.read_text(encoding="utf-8"))
    files.append(File.generated(config, "index.md", content=text.replace("](../docs/", "](")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Show the names of files outside docs/ without a link: they are in the repository, not in the site."""
    return re.sub(r"(?<!!)\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", markdown)
