"""What a notebook shows of finished training runs: a table of figures and the parity plot."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from pathlib import Path

from ..files.html_tables import html_table
from .results import Result, in_digits

SHOWN = ("parity*.png", "roc.png", "learning_curve.png")  # the first that there is
WORDS = {
    "test_mae": "test MAE",
    "test_rmse": "test RMSE",
    "test_r2": "test R²",
    "pooled_test_mae": "test MAE, all at once",
    "baseline_mae": "MAE of the mean value",
    "test_auc": "test AUC",
    "test_accuracy": "test accuracy",
    "baseline_accuracy": "accuracy of the majority",
    "exponent": "exponent of the power law",
}


def summary_html(folder: Path, summary: Result) -> str:
    """Return HTML: a row for each target and figure of the summary, and the pictures in the folder."""
    rows = []
    for name, figures in summary["targets"].items():
        for figure, words in WORDS.items():
            if isinstance(figures.get(figure), int | float):
                rows.append((name, words, _value(figures, figure)))
    table = html_table(("target", "figure", "value"), rows, str(folder))
    return table + "".join(map(_image, _pictures(folder)))


def _value(figures: Result, figure: str) -> str:
    half = figures.get(f"{figure}_confidence")
    confidence = "" if half is None else f" ± {in_digits(half)}"
    unit = f" {figures['unit']}" if figure.endswith(("mae", "rmse")) else ""
    return f"{in_digits(figures[figure])}{confidence}{unit}".rstrip()


def _pictures(folder: Path) -> list[Path]:
    found = (sorted(folder.glob(pattern)) for pattern in SHOWN)
    return next((paths for paths in found if paths), [])


def _image(path: Path) -> str:
    data = b64encode(path.read_bytes()).decode()
    return f'<img alt="{escape(path.stem)}" width="380" src="data:image/png;base64,{data}">'
