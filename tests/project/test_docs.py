"""The documentation tells the truth: its examples run, and no command or option is missing.

In README.md and docs/*.md, ```python blocks are run in order, one namespace per file, and lines of ```sh
blocks that begin with `crystallite` are run by the command line; both in one empty folder per file. A block
after `<!-- not run: reason -->` is left out, and so are transcripts (```console): the commands in both must
at least be ones that the command line understands.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from cli_commands import commands
from training_runs import one_thread  # noqa: F401

from crystallite.cli import cli, main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(
    r"(?P<skip><!--\s*not run:\s*(?P<reason>[^>]*?)\s*-->\s*\n+)?"
    r"^(?P<indent> *)```(?P<language>python|sh|console)\n(?P<code>.*?)^ *```",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """An example: its language, the line it begins on, its text and why it is not run, if it is not."""

    language: str
    line: int
    code: str
    reason: str | None


def blocks(text: str) -> list[Block]:
    """The examples of a page."""
    return [
        Block(
            found["language"],
            text.count("\n", 0, found.start("code")) + 1,
            re.sub(f"^{found['indent']}", "", found["code"], flags=re.MULTILINE),
            found["reason"] if found["skip"] else None,
        )
        for found in FENCE.finditer(text)
    ]


def shell_commands(code: str) -> list[str]:
    """The `crystallite` commands of a sh or console block, continued lines joined."""
    lines = (line.strip().removeprefix("$ ") for line in code.replace("\\\n", " ").splitlines())
    return [line for line in lines if line.startswith("crystallite ")]


def run_command(line: str, place: str) -> None:
    """Run one line of a sh block; it must succeed."""
    words = shlex.split(line, comments=True)[1:]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert not stop.value.code, f"{place}: {line}: exit status {stop.value.code}"


def check_usage(line: str) -> None:
    """Raise click.UsageError unless the command line understands a command; it is not run."""
    words = shlex.split(line.rstrip(" &"), comments=True)[1:]
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        _, command, words = command.resolve_command(context, words)
    if not {"--help", "-h"} & set(words):
        command.make_context(command.name, words)


def run_page(path: Path, text: str) -> None:
    """Run all examples of a page, in the current folder."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(text):
        if block.reason is not None or block.language == "console":
            continue
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.code, str(path), "exec"), namespace)
        else:
            for line in shell_commands(block.code):
                run_command(line, f"{path.name}:{block.line}")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_examples_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(path, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_that_are_not_run_are_understood(path):
    wrong = []
    for block in blocks(path.read_text(encoding="utf-8")):
        for line in shell_commands(block.code) if block.language != "python" else ():
            try:
                check_usage(line)
            except click.UsageError as error:
                wrong.append(f"{path.name}:{block.line}: {line}: {error.format_message()}")
    assert wrong == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_is_not_run_says_why(path):
    text = path.read_text(encoding="utf-8")
    assert all(len(block.reason) > 3 for block in blocks(text) if block.reason is not None)
    assert text.count("not run:") == sum(block.reason is not None for block in blocks(text))
    fences = re.findall(r"^ *```(\w*)", text, re.MULTILINE)
    assert sum(name in ("python", "sh", "console") for name in fences) == len(blocks(text))
    assert set(fences) <= {"", "python", "sh", "console", "text", "toml", "json", "csv", "sql"}  # no "bash"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pictures_and_pages_that_are_linked_exist(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


def sections() -> dict[str, str]:
    """The sections of docs/cli.md by their headings."""
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    parts = re.split(r"^#+ +(.*)$", text, flags=re.MULTILINE)
    return {heading.strip("` "): body for heading, body in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize(
    "path", [path for path, _ in commands()], ids=lambda path: " ".join(path) or "itself"
)
def test_every_command_and_option_is_documented(path):
    found = dict(commands())[path]
    section = sections().get(" ".join(("crystallite", *path)))
    assert section is not None, f"docs/cli.md has no section 'crystallite {' '.join(path)}'"
    names = {option for param in found.params if isinstance(param, click.Option) for option in param.opts}
    assert {
        name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", section)
    } == set()


# ---- the test itself


def test_examples_are_found_and_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (
        "```python\nx = 1\n```\n\n<!-- not run: too long -->\n```python\nx = 1 / 0\n```\n"
        "```python\nopen('made', 'w').write(str(x))\n```\n"
        "```sh\n$ crystallite data \\\n  list  # all\nls\n```\n"
    )
    run_page(Path("page.md"), page)
    assert (tmp_path / "made").read_text() == "1"
    assert "elastic" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line", ["crystallite trian x", "crystallite train x --epoch 3", "crystallite predict x"]
)
def test_wrong_usage_is_found(line):
    with pytest.raises(click.UsageError):
        check_usage(line)


@pytest.mark.parametrize("bad", ["```python\n1 / 0\n```\n", "```sh\ncrystallite data info nothing\n```\n"])
def test_a_wrong_example_fails(bad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ZeroDivisionError, AssertionError)):
        run_page(Path("page.md"), bad)
