"""Cards of models: what they predict, from what data, how well, and where not to trust them.

A card is a dictionary in the model's file, written by scripts/make_models.py: `properties` has what belongs
to each property, by its name; the rest belongs to all of them. A model that somebody trains has no card yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..evaluation.results import in_digits

Card = Mapping[str, Any]


def main_error(facts: Card) -> str:
    """Return the test error of a property, with its unit."""
    errors = facts["errors"]
    if "test_auc" in errors:
        return f"AUC {in_digits(errors['test_auc'])}"
    if facts["scale"] == "log10":
        unit = f"log10({facts['unit']})" if facts["unit"] else "(log10)"
        return f"{in_digits(errors['test_mae_log10'])} {unit}"
    return f"{in_digits(errors['test_mae'])} {facts['unit']}".strip()


def card_text(card: Card, names: list[str] | None = None, *, heading: str = "##") -> str:
    """Return a card in Markdown, of all properties or those named; heading: its level."""
    names = list(card["properties"]) if names is None else names
    lines: list[str] = []
    for name in names:
        lines += [f"{heading} {name}", "", *_of_property(card["properties"][name])]
    return "\n".join([*lines, f"{heading} Data and training", "", *_of_all(card)]) + "\n"


def _of_property(facts: Card) -> Iterator[str]:
    errors, left_out, known = facts["errors"], facts["left_out"], facts["known"]
    unit = f" ({facts['unit']})" if facts["unit"] else ""
    yield f"{facts['about']}. Column `{facts['column']}`{unit}. {facts['theory']}"
    yield ""
    yield from _table(["test set", "value"], [[_ERRORS[key], in_digits(errors[key])] for key in errors])
    yield (
        f"Crystals with a value: {known['train']:,} for training, {known['validation']:,} for validation, "
        f"{known['test']:,} for the test. {_left_out(left_out)}"
    )
    yield ""
    rows = [[kind, f"{n:,}", in_digits(error)] for kind, (n, error) in facts["by_kind"].items()]
    yield from _table(["test crystals", "number", facts["error_name"]], rows)
    elements = sorted(facts["by_element"].items(), key=lambda item: -item[1][2])
    worst = ", ".join(
        f"{symbol} {in_digits(error)} ({n_train:,})" for symbol, (n_train, _, error) in elements[:8]
    )
    yield f"Elements with the largest errors, and how many training crystals have them: {worst}."
    yield ""
    covered = [
        [f"{level} %", f"{100 * coverage:.1f} %", in_digits(width) if width is not None else ""]
        for level, (coverage, width) in facts["intervals"].items()
    ]
    yield from _table(["interval", "holds the truth", facts["width_name"]], covered)
    alarm = facts["alarm"]
    yield (
        "Errors above the 90th percentile are recognised by the distance to the training data with AUC "
        f"{alarm['distance']:.2f}, by the members' spread with {alarm['spread']:.2f}, by both with "
        f"{alarm['both']:.2f} (0.5: by chance)."
    )
    yield ""
    failures = [
        f"{one['formula']} ({one['id']}): {in_digits(one['predicted'])} instead of {in_digits(one['truth'])}"
        for one in facts["failures"]
    ]
    yield f"Largest errors of the test: {'; '.join(failures)}."
    yield ""


def _left_out(left_out: Card) -> str:
    if not left_out["training"] and not left_out["test"]:
        return "Nothing is left out."
    return (
        f"Left out of training and validation {left_out['training']:,}, of the test {left_out['test']:,}: "
        f"{left_out['rule']}."
    )


_ERRORS = {
    "test_mae": "mean absolute error",
    "test_mae_uncleaned": "mean absolute error, nothing left out",
    "test_mae_log10": "mean absolute error of log10",
    "test_mae_log10_uncleaned": "mean absolute error of log10, nothing left out but what is not positive",
    "single_mae": "mean absolute error of one member",
    "single_mae_log10": "mean absolute error of log10, one member",
    "baseline_mae": "mean absolute error of the training mean",
    "test_rmse": "root mean square error",
    "test_r2": "R²",
    "test_auc": "area under the ROC curve (AUC)",
    "test_auc_uncleaned": "AUC, nothing left out",
    "single_auc": "AUC of one member",
    "test_accuracy": "accuracy",
    "calibration_error": "largest difference of probability and frequency in ten groups of crystals",
}


def _of_all(card: Card) -> Iterator[str]:
    data, training = card["data"], card["training"]
    yield f"- Data: {data['about']} Licence of the data and of the model: {card['licence']}."
    yield f"- Fingerprint of the dataset: `{data['fingerprint']}`"
    yield f"- Sets: {data['split']}"
    yield (
        f"- Training: {training['members']} members from different first weights, {training['epochs']} "
        f"epochs each, {60 * training['hours']:.0f} min on one thread of {training['machine']}. "
        "Weights in half precision."
    )
    yield f"- Made with Crystallite {card['version']}, {card['date']}, by `{card['made_by']}`:"
    yield ""
    yield f"      crystallite {training['command']}"
    yield ""


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def hub_readme(card: Card, columns: Mapping[str, str]) -> str:
    """Return the README.md of a model's folder, with the front matter that the Hugging Face hub reads.

    columns: unit of each column that the model predicts, for a model without a card.
    """
    front = ["---", "library_name: crystallite", "tags:", "- materials-science", "- crystal-structure"]
    if card:
        front += [
            f"license: {card['licence'].lower()}",
            "model-index:",
            f"- name: {card['title']}",
            "  results:",
        ]
        for name, facts in card["properties"].items():
            front += _hub_result(name, facts)
    listed = ", ".join(f"{name} ({unit})" if unit else name for name, unit in columns.items())
    title = card["title"] if card else f"Crystallite model of {', '.join(columns)}"
    body = card_text(card) if card else ""
    usage = (
        "    pip install crystallite\n    crystallite predict model.safetensors my-cifs/ -o predictions.csv"
    )
    return "\n".join([*front, "---", "", f"# {title}", "", f"Predicts {listed}:", "", usage, "", body])


def _hub_result(name: str, facts: Card) -> list[str]:
    errors = facts["errors"]
    key = "test_auc" if "test_auc" in errors else "test_mae"
    return [
        "  - task:",
        "      type: tabular-regression" if key == "test_mae" else "      type: tabular-classification",
        f"      name: {name}",
        "    dataset:",
        "      type: crystals",
        f"      name: {facts['column']}",
        "    metrics:",
        f"    - type: {key.removeprefix('test_')}",
        f"      name: {_ERRORS[key]}",
        f"      value: {errors[key]:.6g}",
    ]
