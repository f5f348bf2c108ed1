"""Where the files lie whose contents tests know."""

from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
