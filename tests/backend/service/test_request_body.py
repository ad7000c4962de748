import io
import json

import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import ClientDisconnected

from backend.service.request_body import BodyRequest, without_run_lengths

numbers = st.lists(st.integers(0, 255) | st.floats(allow_nan=False, allow_infinity=False))
names = st.sampled_from(["rle", "value", 'a "rle"', '"rle', "\\"]) | st.text(max_size=5)
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | names
documents = st.recursive(
    scalars | numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


def emptied(document):
    """Do the same to what was parsed, the slow way."""
    if isinstance(document, list):
        return [emptied(each) for each in document]
    if not isinstance(document, dict):
        return document
    return {
        name: [] if is_run_lengths(name, value) else emptied(value)
        for name, value in document.items()
    }


def is_run_lengths(name, value):
    # A name that ends in "rle" behind a quote of its own is told from "rle" by no search for it.
    if not name.endswith('"rle') and name != "rle":
        return False
    return isinstance(value, list) and not any(isinstance(v, str | list | dict) for v in value)


@given(documents, st.sampled_from([None, 1]), st.booleans())
def test_only_the_numbers_of_run_lengths_are_left_out(document, indent, ascii_only):
    body = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
    left = without_run_lengths(body)
    # An empty object is no string, but one that holds a value holds a quote.
    assert json.loads(left) == emptied(document)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"rle"',
        b'{"rle": [1, 2',
        b'{"rle": ["http://h/1.jpg"]}',
        b'{"rle": [[1], 2]}',
        b'{"rle": [{"a": 1}]}',
        b'{"text": "\\"rle\\": [1, 2]"}',
        b'["rle", [1, 2]]',
    ],
)
def test_everything_else_stays_as_it_is(body):
    assert without_run_lengths(body) == body


def test_a_region_loses_nothing_but_its_run_lengths():
    body = b'[{"value": {"format": "rle", "rle" : [ 1, 2 ], "brushlabels": ["A"]}, "id": "x"}]'
    left = b'[{"value": {"format": "rle", "rle" : [], "brushlabels": ["A"]}, "id": "x"}]'
    assert without_run_lengths(body) == left


class CountedFinds(bytes):
    """A body that counts how many of its bytes are searched."""

    searched = 0

    def find(self, part, start=0, end=None):
        end = len(self) if end is None else end
        at = super().find(part, start, end)
        self.searched += (end if at < 0 else at + len(part)) - start
        return at


@pytest.mark.parametrize("rest", [b"", b"]", b"1]", b'"]'])
def test_body_of_arrays_that_never_end_is_searched_a_few_times_only(rest):
    body = CountedFinds(b'"rle":[' * 2000 + rest)
    without_run_lengths(body)
    assert body.searched <= 5 * len(body)  # for the name, the end, and each of `NO_NUMBERS`


class CountedReads(io.BytesIO):
    """A body that notes how much is asked of it at a time."""

    def __init__(self, content):
        super().__init__(content)
        self.asked = []

    def read(self, size=-1):
        self.asked.append(size)
        return super().read(size)


@pytest.fixture
def body_request():
    """Return a function that makes the request of a body, as gunicorn gives it."""
    app = Flask(__name__)
    app.request_class = BodyRequest

    def make(body, **environ):
        given = {"wsgi.input": body, "wsgi.input_terminated": True, **environ}
        return app.test_request_context("/", method="POST", environ_overrides=given)

    return make


def test_body_of_a_known_length_is_read_at_once(body_request):
    content = bytes(300_000)
    body = CountedReads(content)
    with body_request(body, CONTENT_LENGTH="300000"):
        assert request.get_data() == content
    assert body.asked == [300_000]


def test_what_follows_the_body_is_left_to_the_next_request(body_request):
    with body_request(io.BytesIO(b"one two"), CONTENT_LENGTH="3"):
        assert request.get_data() == b"one"


def test_body_without_a_length_is_read_to_its_end(body_request):
    with body_request(io.BytesIO(b"a chunk"), HTTP_TRANSFER_ENCODING="chunked"):
        assert request.get_data() == b"a chunk"


def test_body_that_ends_early_is_an_error(body_request):
    with (
        body_request(io.BytesIO(b"one"), CONTENT_LENGTH="7"),
        pytest.raises(ClientDisconnected),
    ):
        request.get_data()
