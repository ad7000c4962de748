import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core import json_items
from backend.core.json_items import JsonError, JsonItem, read_items

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=15,
)


def items(text):
    return list(read_items(io.BytesIO(text)))


@pytest.fixture(params=[1, 7, 1 << 20], ids=["byte-by-byte", "seven-bytes", "at-once"])
def _chunks(monkeypatch, request):
    monkeypatch.setattr(json_items, "CHUNK_BYTES", request.param)


@settings(max_examples=200, deadline=None)
@given(st.lists(VALUES), st.integers(1, 40), st.booleans(), st.sampled_from([None, 2]))
def test_items_are_those_of_the_list_wherever_a_chunk_ends(values, chunk, is_ascii, indent):
    text = json.dumps(values, ensure_ascii=is_ascii, indent=indent).encode("utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_items, "CHUNK_BYTES", chunk)
        assert [json.loads(item.data) for item in items(text)] == values


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text("ab\\"), VALUES), st.integers(1, 40))
def test_items_are_those_of_all_lists_of_an_object(content, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_items, "CHUNK_BYTES", chunk)
        found = [json.loads(item.data) for item in items(json.dumps(content).encode())]
    assert found == [one for value in content.values() if isinstance(value, list) for one in value]


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"5", b'"x"', b"[", b"[1", b"[1,", b"[1,]", b"[,]", b"[1 2]", b'{"a"}', b'["a'),
        *(b"[1] x", b"[}", b'{"a":[1}', b'{"a":1', b"{1:2}", b'[{"a":"}]'),
    ],
)
def test_what_is_no_json_between_its_items_is_named(text):
    with pytest.raises(JsonError):
        items(text)


@pytest.mark.usefixtures("_chunks")
def test_deep_nesting_is_the_fault_of_its_own_item():
    deep = b"[" * 3000 + b"]" * 3000
    assert items(b"[1," + deep + b',{"a":"]"}]') == [
        JsonItem(None, b"1"),
        JsonItem(None, b""),
        JsonItem(None, b'{"a":"]"}'),
    ]


def test_item_beyond_the_bound_ends_the_reading(monkeypatch):
    monkeypatch.setattr(json_items, "CHUNK_BYTES", 8)
    monkeypatch.setattr(json_items, "MAX_ITEM_BYTES", 100)
    with pytest.raises(JsonError, match="over 0 MB"):
        items(b'["' + b"x" * 200 + b'"]')


def test_byte_order_mark_is_passed():
    assert items(b"\xef\xbb\xbf[1]") == [JsonItem(None, b"1")]
