"""Predictions on the CPU need no PyTorch, and do not import it where it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from golden_files import GOLDEN
from grouped_runs import moduli, train_group

import crystallite
from crystallite.models.checkpoint import save_model
from crystallite.models.loading import load_model
from crystallite.sources.formats import export_dataset

pytestmark = pytest.mark.filterwarnings("ignore:.* is known for .* validation crystals")
PROGRAM = """
import sys
if sys.argv[1] == "missing":
    sys.modules["torch"] = None
import numpy as np, crystallite
from crystallite.cli import main
model, ensemble, cifs = sys.argv[2:]
try:
    main(["predict", model, cifs, "-o", "cifs.csv"])
except SystemExit as ended:
    assert ended.code == 0, ended
assert "pyarrow" not in sys.modules  # CIFs need no Arrow: 30 MB
try:
    main(["predict", model, cifs, "elastic", "-o", "model.csv"])
except SystemExit as ended:
    assert ended.code == 0, ended
crystals = crystallite.Dataset.read("elastic").select(range(5))
np.save("model", crystallite.load_model(model).predict(crystals))
np.save("ensemble", crystallite.load_model(ensemble).predict_with_uncertainty(crystals))
np.save("sites", crystallite.load_model(ensemble).site_contributions(crystals.crystal(0)))
crystallite.predict(ensemble, cifs)
assert not [name for name, module in sys.modules.items() if module and name.partition(".")[0] == "torch"]
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A published model in a file of ours, an ensemble, and a folder of CIFs."""
    folder = tmp_path_factory.mktemp("models")
    published = load_model(GOLDEN / "formation-energy-per-atom.pth.tar").model
    save_model(folder / "model.safetensors", published)
    train_group(moduli(), {"members": 2}, folder / "ensemble", readout="per-atom")
    export_dataset(crystallite.Dataset.read("formation").select(range(3)), folder / "cifs")
    return [folder / name for name in ("model.safetensors", "ensemble", "cifs")]


@pytest.mark.parametrize("torch_is", ["missing", "installed"])
def test_predictions_import_no_torch(torch_is, models, tmp_path) -> None:
    words = [sys.executable, "-c", PROGRAM, torch_is, *map(str, models)]
    done = subprocess.run(words, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model, ensemble = map(load_model, models[:2])
    crystals = crystallite.Dataset.read("elastic").select(range(5))
    np.testing.assert_array_equal(np.load(tmp_path / "model.npy"), model.predict(crystals))
    expected = ensemble.predict_with_uncertainty(crystals)
    np.testing.assert_array_equal(np.load(tmp_path / "ensemble.npy"), expected)
    sites = ensemble.site_contributions(crystals.crystal(0))
    np.testing.assert_array_equal(np.load(tmp_path / "sites.npy"), sites)
