"""Write docs/models.md and its pictures from the cards of the models that come with the package.

python scripts/make_model_docs.py
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from crystallite.crystals.elements import symbols
from crystallite.evaluation.results import in_digits
from crystallite.models.card import card_text, main_error
from crystallite.models.ready import ready_models

DOCS = Path(__file__).parents[1] / "docs"
HEAD = """# Ready models

Made from the models' cards by `python scripts/make_model_docs.py`.

These models come with Crystallite and need neither training nor PyTorch. `crystallite predict NAME my.cif`
predicts one property, `crystallite predict all my.cif` all of them; `crystallite models show NAME` prints
what stands below. What the intervals and the novelty are: [Intervals and novelty](intervals.md).

"""
CELL, NOBLE_GASES = 40, (2, 10, 18, 36, 54, 86, 118)


def main() -> None:
    for name, text in pages().items():
        path = DOCS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Return the files below docs/ and their text."""
    models = ready_models()
    rows = [
        f"| [`{name}`](#{name}) | {model.of_property['about']} | {main_error(model.of_property)} |"
        for name, model in models.items()
    ]
    listed = "\n".join(["| name | what | test error |", "|---|---|---|", *rows])
    files = {model.path: model for model in models.values()}.values()
    found = {f"images/models/{name}.svg": picture(model.of_property) for name, model in models.items()}
    cards = [
        with_pictures(f"## {model.card['title']}\n\n" + card_text(model.card, heading="###"))
        for model in files
    ]
    return {"models.md": HEAD + listed + "\n\n" + "\n".join(cards), **found}


def with_pictures(card: str) -> str:
    """Return a card with a picture below the heading of each property."""
    for name in ready_models():
        line = f"### {name}\n"
        image = f"\n![Test error by element of {name}](images/models/{name}.svg)\n"
        card = card.replace(line, line + image)
    return card


def places() -> dict[int, tuple[int, int]]:
    """Return atomic number -> (column, row) in the periodic table, f elements below it."""
    found, first = {}, 1
    for period, last in enumerate(NOBLE_GASES):
        for number in range(first, last + 1):
            before, after = number - first, last - number
            if number in (57, 89) or 57 < number <= 71 or 89 < number <= 103:
                found[number] = (2 + number - (57 if number <= 71 else 89), period + 3)
            elif before < 2:
                found[number] = (17 if number == 2 else before, period)
            else:
                found[number] = (17 - after, period)
        first = last + 1
    return found


def picture(facts: dict[str, Any]) -> str:
    """Return a periodic table as SVG: colour and number are the error, small the training crystals."""
    by_element = facts["by_element"]
    errors = [error for _, _, error in by_element.values()]
    low, high = min(errors), max(errors)
    cells = []
    for number, (column, row) in places().items():
        symbol = symbols()[number] if number < len(symbols()) else ""
        if symbol:
            cells.append(cell(column * CELL, row * CELL, symbol, by_element.get(symbol), (low, high)))
    title = html.escape(f"{facts['error_name']} of test crystals with each element")
    size = f'width="{18 * CELL}" height="{10 * CELL + 24}" viewBox="0 -24 {18 * CELL} {10 * CELL + 24}"'
    style = 'font-family="sans-serif" text-anchor="middle" font-size="9"'
    heading = f'<text x="{9 * CELL}" y="-8" font-size="13">{title}; below: training crystals</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{heading}\n'
        + "\n".join(cells)
        + "\n</svg>\n"
    )


def cell(x: int, y: int, symbol: str, figures: list[Any] | None, bounds: tuple[float, float]) -> str:
    """Return one element; grey where fewer than five test crystals have it."""
    low, high = bounds
    fill, lines = "#eeeeee", ""
    if figures:
        share = (figures[2] - low) / max(high - low, 1e-9)
        red, green, blue = (round(a + share * (b - a)) for a, b in ((247, 203), (251, 24), (255, 29)))
        fill = f"#{red:02x}{green:02x}{blue:02x}"
        lines = (
            f'<text x="{x + CELL // 2}" y="{y + 26}">{in_digits(figures[2])}</text>'
            f'<text x="{x + CELL // 2}" y="{y + 36}" fill="#444">{figures[0]:,}</text>'
        )
    return (
        f'<rect x="{x}" y="{y}" width="{CELL - 2}" height="{CELL - 2}" fill="{fill}"/>'
        f'<text x="{x + CELL // 2}" y="{y + 14}" font-size="12" font-weight="bold">{symbol}</text>{lines}'
    )


if __name__ == "__main__":
    main()
