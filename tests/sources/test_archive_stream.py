"""Archives read piece by piece: the values are those of reading all at once."""

from __future__ import annotations

import json

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crystallite.sources.reading import archive_stream
from crystallite.sources.reading.archive_stream import open_archive

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    value=st.lists(json_values) | st.dictionaries(st.text(), json_values),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    chunk=st.integers(1, 50),
)
@example(value=[0.0, -1.5e-30, 2e300], indent=None, ascii_only=False, chunk=1)
def test_json_in_pieces_is_json(tmp_path_factory, value, indent, ascii_only, chunk):
    path = tmp_path_factory.getbasetemp() / "value.json"
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=ascii_only), encoding="utf-8-sig")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_stream, "CHUNK", chunk)
        assert taken(path) == value


@given(value=st.lists(json_values) | st.dictionaries(st.text(), json_values))
def test_message_pack_in_pieces_is_message_pack(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.msgpack"
    value = json.loads(json.dumps(value), parse_int=lambda text: int(text) % 2**63)
    path.write_bytes(msgpack.packb(value))
    assert taken(path) == value


def taken(path):
    with open_archive(path) as reader:
        if reader.is_map():
            return {key: reader.value() for key in reader.members()}
        assert reader.is_list()
        return [reader.value() for _ in reader.elements()]
