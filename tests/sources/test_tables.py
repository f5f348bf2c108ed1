"""Tables are understood in whatever spreadsheets write, or one line says which cell is not."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crystallite.errors import CrystalliteError
from crystallite.sources.reading.tables import NOTICES, read_id_values, read_table
from crystallite.sources.web.id_lists import read_id_map, read_ids


def written(folder, data, name="t.csv"):
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder / name


def notices(table):
    return table.schema.metadata[NOTICES].decode().splitlines()


SAME = {"material_id": ["NaCl", "MgO"], "gap": [1.5, 1000.25], "kind": ["a", None]}


@pytest.mark.parametrize(
    ("text", "notice"),
    [
        ("id,gap,kind\nNaCl,1.5,a\nMgO,1000.25,\n", ""),
        ("id;gap;kind\nNaCl;1.5;a\nMgO;1000.25;\n", ""),
        ("id\tgap\tkind\nNaCl\t1.5\ta\nMgO\t1000.25\t\n", ""),
        (
            "id;gap;kind\nNaCl;1,5;a\nMgO;1000,25;\n",
            "line 2, column gap: the comma is the decimal sign: '1,5'",
        ),
        ("sep=;\r\nid;gap;kind\r\nNaCl;1.5;a\r\nMgO;1000.25;\r\n", ""),
        ("sep=|\nid|gap|kind\nNaCl|1.5|a\nMgO|1000.25|\n", ""),
        ("\n id , gap , kind \n NaCl , 1.5 , a \n\nMgO,1000.25,\n,,\n,,,,\n", ""),
        ('"id","gap","kind"\r"NaCl","1.5","a"\r"MgO","1000.25",""\r', ""),
        ("id,gap,kind,\nNaCl,1.5,a,\nMgO,1000.25,,\n", ""),
        (",id,gap,kind\n0,NaCl,1.5,a\n1,MgO,1000.25,\n", "column 1 has no name"),
        ("\ufeffid,gap,kind\nNaCl,1.5,a\nMgO,1.00025e3,\n", ""),
        ("id;gap;kind\nNaCl;1.5;a\nMgO;1000.25;\n".encode("utf-16"), ""),
        ("\ufeffid\tgap\tkind\nNaCl\t1.5\ta\nMgO\t1000.25\t".encode("utf-16-be"), ""),
    ],
)
def test_dialects_of_one_table(text, notice, tmp_path):
    table = read_table(written(tmp_path, text), "id")
    assert table.to_pydict() == SAME
    found = notices(table)
    assert notice in "".join(found)
    assert len(found) == bool(notice)


def test_latin_1_and_compressed_tables(tmp_path):
    text = "id,Dichte in g/cm³\nMüller,1\n"
    expected = {"material_id": ["Müller"], "Dichte in g/cm³": [1]}
    for encoding, more in (("utf-8", []), ("latin-1", ["t.csv is not UTF-8; it is read as Latin-1"])):
        table = read_table(written(tmp_path, text.encode(encoding)), "id")
        assert table.to_pydict() == expected
        assert notices(table) == more
    assert (
        read_table(written(tmp_path, gzip.compress(text.encode()), "t.csv.gz"), "id").to_pydict() == expected
    )
    assert read_id_map(written(tmp_path, "old,new\na,ü\n".encode("latin-1"), "m.csv")) == {"a": "ü"}
    assert read_ids(written(tmp_path, "id;note\nü;x\n".encode("utf-16"), "ids.txt")) == ["ü"]


@pytest.mark.parametrize(
    ("cells", "values", "notice"),
    [
        (
            ["1.5", "None", "", "na"],
            [1.5, None, None, None],
            "line 3, column x: 'None' is a missing value (2 ",
        ),
        (["-", "N/A", "NaN", "2"], [None, None, None, 2], "line 2, column x: '-' is a missing value (2 such"),
        (["nan", "", "3", "4"], [None, None, 3, 4], None),
        (["None", "none", "-", ""], [None] * 4, None),
        (["NaN", "b", "c", ""], ["NaN", "b", "c", None], None),
        (["true", "False", "", "TRUE"], [True, False, None, True], None),
        (["007", "12", "", "NA"], ["007", "12", None, "NA"], None),
        (["2024-01-05", "2024-01-06", "", ""], ["2024-01-05", "2024-01-06", None, None], None),
        ([str(2**62), "1", "", ""], [2**62, 1, None, None], None),
        ([str(2**63), "1", "", ""], [float(2**63), 1.0, None, None], None),
        (["0" * 30 + "1.5", "1", "", ""], [1.5, 1.0, None, None], None),
        (["1" * 100_000 + "x", "a", "", ""], ["1" * 100_000 + "x", "a", None, None], None),
        ([str(2**70), "1", "", ""], [float(2**70), 1.0, None, None], None),
        (
            ["1.5 eV", "2 eV", "", ""],
            ["1.5 eV", "2 eV", None, None],
            "line 2, column x: it is text because of '1.5 eV'",
        ),
        (["1.5", "2eV", "", ""], ["1.5", "2eV", None, None], "line 3, column x: it is text because of '2eV'"),
        (
            ['"1,000.5"', "2", "", ""],
            ["1,000.5", "2", None, None],
            "line 2, column x: it is text because of '1,000.5'",
        ),
        (
            ['"1,5"', '"2,5"', "", ""],
            ["1,5", "2,5", None, None],
            "line 2, column x: it is text because of '1,5'",
        ),
        (
            ["1_000", "2", "", ""],
            ["1_000", "2", None, None],
            "line 2, column x: it is text because of '1_000'",
        ),
        (
            ["1", "unknown", "", ""],
            ["1", "unknown", None, None],
            "line 3, column x: it is text because of 'unknown'",
        ),
        (["0x10", "１２", "", ""], ["0x10", "１２", None, None], None),
    ],
)
def test_what_a_column_is(cells, values, notice, tmp_path):
    rows = "".join(f"m{row},{cell}\n" for row, cell in enumerate(cells))
    table = read_table(written(tmp_path, f"id,x\n{rows}"), "id")
    assert table["x"].to_pylist() == values
    assert list(map(type, table["x"].to_pylist())) == list(map(type, values))
    assert len(notices(table)) == (notice is not None)
    assert (notice or "") in "".join(notices(table))


def test_thousands_in_a_table_with_semicolons_are_no_decimals(tmp_path):
    table = read_table(written(tmp_path, "id;x;y\na;1,000;0.5\nb;2,500;1.5\n"), "id")
    assert table["x"].to_pylist() == ["1,000", "2,500"]
    assert "line 2, column x: it is text because of '1,000'" in notices(table)[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("id,y,y\na,1,2\n", "line 1: two columns are named y"),
        ("id,y\na,1\nb,2,3\n", "line 3: 3 columns, separated by ,, but 2 names in line 1"),
        ("id,y\na,1\n\n,2\n", "line 4, column id: no id"),
        ("id,y\na,1\nb,inf\n", "line 3, column y: 'inf' is an infinite number"),
        ("id,y\na," + "1" * 5000 + "\n", "is an infinite number"),
        ("id,y\na,1e999\n", "line 2, column y: '1e999' is an infinite number"),
        ('id,y\na,"x\nb,y\n', "line 2: a quote is not closed"),
        (
            "name,y\na,1\n",
            "no column 'id'; name the column of ids with --id-column (there are the columns: name, y",
        ),
        ("id y\na 1\n", "columns are separated by commas, semicolons or tabs"),
        ("", "empty"),
        (b"PK\x03\x04\x14\x00", "a spreadsheet (or another zip archive), not a text table; save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1", "an old Excel workbook"),
        (b"i\0d\0,\0y\0\n\0", "it has zero bytes"),
        ("id,y\na," + "x" * 200_000 + "\n", "line 2: field larger than field limit"),
    ],
)
def test_one_line_names_the_place(data, reason, tmp_path):
    with pytest.raises(CrystalliteError) as caught:
        read_table(written(tmp_path, data), "id")
    assert str(caught.value).startswith(f"{tmp_path / 't.csv'}")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parquet_tables_are_checked_alike(tmp_path):
    pq.write_table(pa.table({"id": ["a", None]}), tmp_path / "t.parquet")
    with pytest.raises(CrystalliteError, match=r"t\.parquet: column id, row 2: no id"):
        read_table(tmp_path / "t.parquet", "id")
    pq.write_table(pa.table([[1], [2], [3]], names=["id", "y", "y"]), tmp_path / "t.parquet")
    with pytest.raises(CrystalliteError, match=r"t\.parquet: two columns are named y"):
        read_table(tmp_path / "t.parquet", "id")


@pytest.mark.parametrize(
    ("text", "ids", "values"),
    [
        ("a,1.5\nb,\n", ["a", "b"], [1.5, None]),
        ("a;1,5\nb;2,25\n", ["a", "b"], [1.5, 2.25]),
        ("a;1\nb;2,25\n\n;\n", ["a", "b"], [1.0, 2.25]),
        ('"a;1",500.0\n"b;2",1.5\n', ["a;1", "b;2"], [500.0, 1.5]),
        ("a;1,0.5\nb;2,1.5\n", ["a;1", "b;2"], [0.5, 1.5]),
        ("a\t1.5\nb\tNone\n", ["a", "b"], [1.5, None]),
        ("\ufeffa,1,\nb,2,\n", ["a", "b"], [1.0, 2.0]),
    ],
)
def test_ids_and_values(text, ids, values, tmp_path):
    found = read_id_values(written(tmp_path, text))
    assert (found.ids, found.values, found.problems) == (ids, values, {})


def test_what_is_wrong_with_ids_and_values(tmp_path):
    found = read_id_values(written(tmp_path, "id,target\na,1\n\nb,1 eV\nc,1,2\n,5\nd,-inf\ne,1_0\n"))
    assert [place.rpartition(" ")[2] for place in found.places] == ["1", "2", "4", "5", "6", "7", "8"]
    assert found.problems.keys() == {0, 2, 3, 4, 5, 6}
    assert "the value '1 eV' is not a number" in found.problems[2]
    assert "3 columns, separated by ,, instead of an id and a value" in found.problems[3]
    assert found.problems[4] == "no id"
    assert found.problems[5] == "an infinite value"
