"""JSON of requests, bounded before it is parsed."""

import sys
import threading
import time

import orjson
import pytest
from fake_app import click_service, client, images, predictor  # noqa: F401 - fixtures
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import RequestTooLargeError
from backend.service import request_json
from backend.service.request_body import MAX_ARRAYS, without_run_lengths
from backend.service.request_json import read_fields, read_value
from benchmarks.hostile_inputs import json_of

FIELDS = ("project", "schema", "hostname", "access_token", "label_config", "params")
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
tasks = st.lists(st.dictionaries(st.sampled_from(["id", "data", "drafts", "meta"]), values))
bodies = st.dictionaries(st.sampled_from([*FIELDS, "login", "task"]), values)


@given(bodies, st.none() | tasks)
def test_fields_are_what_a_whole_parse_gives(body, tasks):
    expected = {name: value for name, value in body.items() if name in FIELDS}
    if tasks is not None:
        body["tasks"] = tasks
        expected["tasks"] = [
            {name: task[name] for name in ("id", "data") if name in task} for task in tasks
        ]
    assert read_fields(orjson.dumps(body)) == expected


@pytest.mark.parametrize("item", [b"[]", b"{}", b'["a"]', b"0.5", b'""', b"[[[[]]]]"])
def test_body_of_too_many_things_is_refused_before_it_is_parsed(item, monkeypatch):
    parsed = []
    monkeypatch.setattr(request_json.msgspec.json, "decode", lambda *_a, **_n: parsed.append(1))
    with pytest.raises(RequestTooLargeError, match=r"more than .* (values|lists and objects)"):
        read_fields(json_of(item, megabytes=28))
    assert parsed == []


@pytest.mark.parametrize("route", ["/predict", "/setup", "/webhook"])
@pytest.mark.parametrize("item", [b"[]", b"0.5"])
def test_such_a_body_is_413_and_says_why(client, route, item):  # noqa: F811
    response = client.post(route, data=json_of(item, megabytes=28))
    assert response.status_code == 413
    assert response.json["error"]["code"] == "request_too_large"
    assert response.json["error"]["reason"].startswith("Request too large: more than")


@pytest.mark.parametrize("field", ["params", "label_config"])
def test_one_field_of_too_many_things_is_refused(client, field):  # noqa: F811
    body = b'{"%s":%s}' % (field.encode(), json_of(b"[]", megabytes=1))
    assert client.post("/predict", data=body).status_code == 413


@pytest.mark.parametrize("kind", ["masks", "downloads/coco"])
def test_page_takes_no_such_body_either(client, kind):  # noqa: F811
    response = client.post(
        f"/playground/{kind}", data=json_of(b"[]", 0.9), content_type="application/json"
    )
    assert response.status_code == 413


def test_what_is_deep_is_no_json_object(client):  # noqa: F811
    deep = b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    assert client.post("/webhook", data=deep).status_code == 400
    with pytest.raises(ValueError, match="depth limit"):
        read_value(b"[" * 50_000 + b"]" * 50_000)


def test_100_000_tasks_are_within_the_bounds():
    task = {"id": 1, "data": {"image": "a.jpg"}, "meta": {}, "annotations": [], "drafts": []}
    body = orjson.dumps({"tasks": [task | dict.fromkeys("abcdefghijklmnop")] * 100_000})
    assert len(read_fields(body)["tasks"]) == 100_000


def test_other_threads_go_on_while_a_body_is_counted():
    """The switch interval is set so that only a released lock lets the other thread run."""
    counted, steps = threading.Event(), []
    interval = sys.getswitchinterval()

    def step():
        while not counted.is_set():
            steps.append(1)
            time.sleep(0)  # lets the lock go; nothing else here does, but what is tested

    thread = threading.Thread(target=step)
    sys.setswitchinterval(1000)
    try:
        thread.start()
        before = len(steps)
        request_json.require_few(b" " * 50_000_000, 1, 1)
        assert len(steps) > before
    finally:
        counted.set()
        sys.setswitchinterval(interval)
        thread.join()


def test_run_lengths_beyond_a_number_are_left_to_the_parser():
    body = b'{"a":[' + b'{"rle":[1]},' * (MAX_ARRAYS + 5) + b"0]}"
    assert without_run_lengths(body).count(b"[1]") == 5
