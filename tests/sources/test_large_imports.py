"""Imports of many crystals: packed on disk, and resumed from what was read before."""

from __future__ import annotations

import errno
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from strategies import rock_salt

from crystallite.cli import cli
from crystallite.crystals import cif
from crystallite.crystals.crystal import pack_crystals
from crystallite.datasets.dataset import Dataset
from crystallite.errors import CrystalError, CrystalliteError
from crystallite.sources.exporters.published_layout import export_published
from crystallite.sources.formats import ImportSettings, import_dataset
from crystallite.sources.importers import folder, kept_reads
from crystallite.sources.importers.folder import import_published
from crystallite.sources.reading import crystal_pile
from crystallite.sources.reading.crystal_pile import CrystalPile


@pytest.fixture(scope="module")
def cifs(tmp_path_factory):
    """20 elastic crystals in the published layout."""
    path = tmp_path_factory.mktemp("cifs") / "published"
    export_published(Dataset.read("elastic").select(range(20)), path, "bulk_modulus")
    return path


@pytest.fixture
def parts_of_three(monkeypatch):
    monkeypatch.setattr(folder, "PART", 3)


@pytest.fixture
def reads(monkeypatch):
    """The files that are read, by their ids."""
    found: list[str] = []
    read = kept_reads.read_structures

    def told(file, *rest):
        found.append(file.id)
        return read(file, *rest)

    monkeypatch.setattr(kept_reads, "read_structures", told)
    return found


def stop_after(monkeypatch, n_files: int) -> None:
    read = kept_reads.read_structures
    left = iter(range(n_files))

    def stopped(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return read(*arguments)

    monkeypatch.setattr(kept_reads, "read_structures", stopped)


# ---- the pile


@pytest.mark.parametrize("limit", [0, 10_000, 1 << 30])
def test_a_pile_is_what_was_added(limit, elastic, monkeypatch):
    monkeypatch.setattr(crystal_pile, "IN_MEMORY", limit)
    error = CrystalError("x", "odd")
    crystals = list(elastic.select(range(50)))
    pile = CrystalPile([*crystals[:7], error, *crystals[7:]])
    assert (len(pile), pile.bad) == (51, {7: error})
    for ours, theirs in zip(pile.arrays, pack_crystals(crystals), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    absent = CrystalError("y", "not there")
    other = pile.arranged([50, absent, 7, 0, 0, 8])
    assert other.bad == {1: absent, 2: error}
    expected = pack_crystals([crystals[49], crystals[0], crystals[0], crystals[7]])
    for ours, theirs in zip(other.arrays, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert pile.arranged(range(51)) is pile


def test_an_empty_pile():
    assert CrystalPile().arrays.n_crystals == 0


def test_imports_of_piles_on_disk(cifs, monkeypatch):
    expected = import_published(cifs).dataset
    monkeypatch.setattr(crystal_pile, "IN_MEMORY", 0)
    imported = import_published(cifs).dataset
    assert imported.table.equals(expected.table)


# ---- what was read is kept


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_read_is_not_read_again(workers, cifs, tmp_path, parts_of_three, reads, monkeypatch):
    settings = ImportSettings(journal=tmp_path / "x.journal", workers=1)
    expected = import_published(cifs).dataset
    reads.clear()
    with monkeypatch.context() as patch:
        stop_after(patch, 8)
        with pytest.raises(KeyboardInterrupt):
            import_published(cifs, settings)
    assert len(reads) == 8
    reads.clear()
    settings = ImportSettings(journal=tmp_path / "x.journal", workers=workers)
    assert import_published(cifs, settings).dataset.table.equals(expected.table)
    if workers == 1:
        assert len(reads) == 20 - 6  # two whole parts are there
    reads.clear()
    assert import_published(cifs, settings).dataset.table.equals(expected.table)
    assert reads == []
    kept_reads.forget(tmp_path / "x.journal")
    assert not (tmp_path / "x.journal").exists()


def test_what_a_failing_disk_did_is_not_kept(cifs, tmp_path, parts_of_three, monkeypatch):
    settings = ImportSettings(journal=tmp_path / "x.journal", skip_bad=True)
    read = cif._bytes

    def fail_once(path):
        monkeypatch.setattr(cif, "_bytes", read)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(cif, "_bytes", fail_once)
    [(_, reason)] = import_published(cifs, settings).bad
    assert "Input/output error" in reason
    assert import_published(cifs, settings).bad == []


def test_changed_files_and_damaged_parts_are_read_again(cifs, tmp_path, parts_of_three, reads):
    shutil.copytree(cifs, tmp_path / "cifs")
    settings = ImportSettings(journal=tmp_path / "x.journal")
    ids = import_published(tmp_path / "cifs", settings).dataset.ids
    damaged = next((tmp_path / "x.journal").glob("*.npz"))
    damaged.write_bytes(damaged.read_bytes()[:-30])
    changed = tmp_path / "cifs" / f"{ids[0]}.cif"  # of a part of three, whichever part is damaged
    shutil.copy(tmp_path / "cifs" / f"{ids[19]}.cif", changed)
    reads.clear()
    imported = import_published(tmp_path / "cifs", settings).dataset
    assert 2 < len(reads) <= 6
    assert ids[0] in reads
    np.testing.assert_array_equal(imported[19].frac_coords, imported[0].frac_coords)


def test_notices_and_bad_crystals_are_kept(cifs, tmp_path, parts_of_three, reads):
    shutil.copytree(cifs, tmp_path / "cifs")
    first, second = sorted((tmp_path / "cifs").glob("*.cif"))[:2]
    first.write_text("no crystal")
    second.write_text(second.read_text() * 2)
    settings = ImportSettings(journal=tmp_path / "x.journal", skip_bad=True)
    one = import_published(tmp_path / "cifs", settings)
    assert one.bad
    assert one.notices
    reads.clear()
    two = import_published(tmp_path / "cifs", settings)
    assert (one.bad, one.notices) == (two.bad, two.notices)
    assert one.dataset.table.equals(two.dataset.table)
    assert reads == []


def test_the_command_goes_on_and_leaves_nothing(cifs, tmp_path, parts_of_three, reads):
    shutil.copytree(cifs, tmp_path / "cifs")
    bad = sorted((tmp_path / "cifs").glob("*.cif"))[4]
    bad.write_text("no crystal")
    words = ["data", "import", str(tmp_path / "cifs"), "-o", str(tmp_path / "x.parquet")]
    failed = CliRunner().invoke(cli, words)
    assert failed.exit_code == 1
    assert f"What was read is kept in {tmp_path / 'x.journal'}" in str(failed.exception)
    reads.clear()
    done = CliRunner().invoke(cli, [*words, "--skip-bad"])
    assert done.exit_code == 0, done.output
    assert reads == []
    assert {path.name for path in tmp_path.iterdir()} == {"cifs", "x.parquet"}
    assert len(Dataset.read(tmp_path / "x.parquet")) == 19


def test_small_imports_keep_no_journal(cifs, tmp_path):
    import_dataset(str(cifs), ImportSettings(journal=tmp_path / "x.journal"))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_says_what_to_do(monkeypatch, tmp_path):
    pile = CrystalPile()

    class Full:
        def write(self, content: bytes) -> None:
            raise OSError(28, "No space left on device")

    pile._files = dict.fromkeys(pile._files, Full())
    with pytest.raises(CrystalliteError, match=r"No space left.*CRYSTALLITE_CACHE"):
        pile.add(rock_salt(5))
