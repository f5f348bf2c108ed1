"""The fast way through plain CIFs reads what gemmi reads, or leaves the text to it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from cif_texts import TYPED_LOOP, cif_text, listed
from gemmi import cif
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import perovskite

from crystallite.crystals.cif.blocks import Block
from crystallite.crystals.cif.plain import read_plain
from crystallite.crystals.cif.text import of_gemmi
from crystallite.sources.exporters import published_layout

WRITTEN = [
    published_layout.cif_text(perovskite(3.9), "perovskite"),
    cif_text("Na1 0 0 0\nCl1 0.5 .5 -0.5", listed(["x, y, z", "-x,-y,-z"])),
    cif_text(f"{TYPED_LOOP}Na+1 Na1 0.1(2) 1/3 0.2", "_symmetry_space_group_name_H-M 'P -1'\n# a comment\n"),
    f"# from a program\n\n{cif_text('O 0 0 0', listed(['x,y,z'], '_space_group_symop_operation_xyz'))}",
]
PIECES = [
    *"'\"#;$[]_?. \t\n",
    *("''", "'a'b'", "'a b", '"q r"', "a'b", "a_b", "a;b", "\n;", "\n;\n", " # c", "#\n", "'#'"),
    *("loop_", "LOOP_", "_loop_", "\nloop_\n_a\n", "data_", "\ndata_b\n", "stop_", "save_", "global_"),
    *("_x", "_x 1", "_x 1 2", "\n_x\n1\n", "1 2 3", "\r", "\r\n", "é", "\0", "\x0b", "\x1a", "0.5(3)"),
]


def content(block: Block) -> tuple[Any, ...]:
    loops = {tag: (loop.tags, loop.values, column) for tag, (loop, column) in block._loops.items()}
    return block.name, block._single, loops, block._faults


@pytest.mark.parametrize("text", WRITTEN)
def test_what_programs_write_is_plain(text: str) -> None:
    block = read_plain(text)
    assert block is not None
    assert content(block) == content(of_gemmi(cif.read_string(text, 0)[0]))


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A plain text with a few pieces put in, some in place of what was there."""
    text = draw(st.sampled_from(WRITTEN))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 5, 30])))
        text = text[:start] + draw(st.sampled_from(PIECES)) + text[end:]
    return text


@settings(max_examples=1_000)
@given(damaged())
@example("data_a _x 1 _x 2 _X 3")
@example("data_a\nloop_\n_x\n_y\n1 2 loop_\n_z\n'loop_ 3'")
@example("data_a _x 1 data_a _x 1")
def test_the_same_as_gemmi_or_nothing(text: str) -> None:
    block = read_plain(text)
    if block is not None:
        assert [content(block)] == [content(of_gemmi(found)) for found in cif.read_string(text, 0)]


@pytest.mark.parametrize(
    "piece", [" ", "\t\n", "#\n", "# #", "_x", "'", "' ", "a ", "a' ", "loop_ _x ", "_x 1 "]
)
def test_time_grows_with_the_text(piece: str) -> None:
    started = time.perf_counter()
    for end in ("", "x", "'", "$"):
        read_plain(f"data_a\n{piece * 100_000}{end}")
        read_plain(f"data_a\nloop_ _x {piece * 100_000}{end}")
    assert time.perf_counter() - started < 10
