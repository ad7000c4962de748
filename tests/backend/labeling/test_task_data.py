import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.labeling.task_data import find_value

DATA = {
    "image": "a.png",
    "pages": [{"url": "0.png"}, {"url": "1.png"}],
    "deep": {"er": ["x", "y"]},
    "deep.er[0]": "a field of just that name",
    "1": "one",
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("image", "a.png", id="field"),
        pytest.param("pages[1].url", "1.png", id="item-of-a-list"),
        pytest.param("deep.er[1]", "y", id="list-in-an-object"),
        pytest.param("deep.er[0]", "a field of just that name", id="name-with-a-dot"),
        pytest.param("pages[2].url", None, id="no-such-item"),
        pytest.param("pages[-1].url", None, id="negative-number"),
        pytest.param("pages.url", None, id="name-in-a-list"),
        pytest.param("image[0]", None, id="into-a-text"),
        pytest.param("nothing", None, id="no-such-field"),
        pytest.param("pages[" + "9" * 5000 + "]", None, id="endless-number"),
    ],
)
def test_key_finds_what_the_editor_finds(key, value):
    assert find_value(DATA, key) == value


@given(st.dictionaries(st.text(), st.text()), st.text(alphabet="a1.[]{}"))
def test_any_key_finds_a_part_of_the_data_or_nothing(pages, key):
    data = {"a": [pages, {"a": pages}]}
    parts = [data, data["a"], data["a"][0], data["a"][1], None, *pages.values()]
    assert find_value(data, key) in parts
