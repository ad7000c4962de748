"""Answers of the API: typed, and bounded before they are parsed."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from fake_label_studio import Host
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.core.errors import LabelStudioError
from backend.label_studio import client, ml_backends, project_tasks, projects
from backend.label_studio.client import AnswerTooLargeError, LabelStudio

PROJECT = {"id": 7, "created_at": "2026-11-22T12:26:43.480074Z", "title": None}
RECORD = {"id": 1, "url": "http://b", "is_interactive": True, "readable_state": "Connected"}

# Each reads one answer, and this one is taken.
READS = {
    "project": (lambda server: projects.describe_project(server, 7), PROJECT),
    "projects": (projects.list_projects, {"results": [PROJECT]}),
    "backends": (lambda server: ml_backends.list_backends(server, 7), [RECORD]),
    "click": (
        lambda server: ml_backends.ask_backend(server, 1, 5, []),
        {"data": {"result": [{"id": "a"}]}},
    ),
    "tasks": (
        lambda server: project_tasks.tasks_after(server, 7, 0, count=3),
        {"tasks": [{"id": 5, "data": {"image": "a.jpg"}}]},
    ),
    "sampling": (
        lambda server: project_tasks.serves_in_order(server, 7, timeout_s=5, max_bytes=1000),
        {"sampling": "Sequential sampling"},
    ),
}


@pytest.fixture(scope="module")
def host():
    with Host().running() as host:
        yield host


@pytest.fixture
def server(host):
    return LabelStudio(host.url, "0123456789abcdef")


@pytest.mark.parametrize("name", READS)
def test_expected_answer_is_taken(host, server, name):
    read, answer = READS[name]
    host.answer = lambda _: json.dumps(answer).encode()
    assert read(server)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@st.composite
def damaged(draw, value):
    """The value with something else in one place, or without one of its fields."""
    if isinstance(value, dict) and value:
        name = draw(st.sampled_from(sorted(value)))
        if draw(st.booleans()):
            return {key: item for key, item in value.items() if key != name}
        return value | {name: draw(damaged(value[name]))}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [draw(damaged(value[0])), *value[1:]]
    return draw(JSON)


@pytest.mark.parametrize("name", READS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_other_json_is_an_error_that_names_the_call(host, server, name, data):
    read, answer = READS[name]
    sent = data.draw(damaged(answer))
    host.answer = lambda _: json.dumps(sent).encode()
    faults = []
    try:
        read(server)
    except LabelStudioError as error:
        faults.append(error)
    assert all(re.search("/api/|project 7|task 5", fault.message) for fault in faults)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>", id="html"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"tasks": [' + b"[" * 100_000, id="deep"),
        pytest.param(b'{"tasks": [' + b"[]," * 200_000 + b"[]]}", id="containers"),
        pytest.param(b'{"tasks": ["\xff"]}', id="not-utf-8"),
        pytest.param(b'{"tasks": [{"id": 0, "data": {}}]}', id="same-page-again"),
        pytest.param(b'{"tasks": [{"id": true, "data": {}}]}', id="odd-id"),
    ],
)
def test_odd_page_of_tasks_is_named(host, server, body):
    host.answer = lambda _: body
    with pytest.raises(LabelStudioError, match="than expected") as caught:
        project_tasks.tasks_after(server, 7, 0, count=3, max_bytes=2**20)
    assert "task" in caught.value.message


def test_containers_are_counted_before_anything_is_parsed(host, server, monkeypatch):
    host.answer = lambda _: b"[" + b"{}," * 100_000 + b"{}]"
    parsed = []
    monkeypatch.setattr("backend.transport.json_body.msgspec.json.decode", parsed.append)
    with pytest.raises(LabelStudioError, match="more than 87381 lists and objects"):
        server.get_json("/api/a/", max_bytes=2**20)
    assert parsed == []


def test_answer_of_too_many_bytes_is_named(host, server):
    host.answer = lambda _: b" " * (2**20 + 1)
    with pytest.raises(AnswerTooLargeError, match=r"answered /api/a/ with more than 1 MB"):
        server.get_json("/api/a/", max_bytes=2**20)


def test_pages_that_are_too_large_are_asked_for_in_smaller_ones(host, server, monkeypatch):
    monkeypatch.setattr(project_tasks, "API_BYTES", 5000)
    tasks = [{"id": number, "data": {"text": "a" * 1000}} for number in range(1, 10)]
    sizes = []

    def answer(request):
        query = parse_qs(urlsplit(request.path).query)
        after = json.loads(query["query"][0])["filters"]["items"][0]["value"]
        sizes.append(int(query["page_size"][0]))
        page = [task for task in tasks if task["id"] > after][: sizes[-1]]
        return json.dumps({"tasks": page}).encode()

    host.answer = answer
    assert list(project_tasks.iterate_tasks(server, 7)) == tasks
    assert sizes == [200, 50, 12, 3, 3, 3, 3]


def test_single_task_that_is_too_large_is_named(host, server, monkeypatch):
    monkeypatch.setattr(project_tasks, "API_BYTES", 100)
    monkeypatch.setattr(project_tasks, "TASK_BYTES", 100)
    host.answer = lambda _: b" " * 1000
    with pytest.raises(LabelStudioError, match="the task after task 0 is too large"):
        list(project_tasks.iterate_tasks(server, 7))


def test_value_that_json_does_not_have_is_never_sent(host, server):
    before = len(host.requests)
    with pytest.raises(ValueError, match="JSON compliant"):
        server.post_json("/api/a/", {"score": float("nan")})
    assert len(host.requests) == before


@pytest.mark.parametrize("below", ["/api/b/", "/labels/api/b/", "b/"])
def test_question_follows_a_redirect_below_the_base_path_only(monkeypatch, below):
    with Host("/labels").running() as host:
        pages = {"/labels/api/a/": (301, {"Location": below}, b"")}
        taken = {"/labels/api/b/", "/labels/api/a/b/"}
        host.answer = lambda request: (
            b"1" if request.path in taken else pages.get(request.path, (404, {}, b""))
        )
        server = LabelStudio(host.url, "0123456789abcdef")
        if below == "/api/b/":
            with pytest.raises(LabelStudioError, match="redirects to"):
                server.get_json("/api/a/")
            assert host.paths == ["/labels/api/a/"]
        else:
            assert server.get_json("/api/a/") == 1


def test_change_follows_no_redirect(host, server):
    host.requests.clear()
    host.answer = lambda _: (307, {"Location": "/api/b/"}, b"")
    with pytest.raises(LabelStudioError, match="redirects to"):
        server.post_json("/api/a/", {})
    assert host.paths == ["/api/a/"]


def test_time_for_what_is_sent_is_added(server, monkeypatch):
    given = []
    monkeypatch.setattr(client, "SLOWEST_UPLOAD_BYTES_S", 10)
    monkeypatch.setattr(server, "_call", lambda call, **_: given.append(call) or _answer())
    server.post_json("/api/a/", "a" * 98, timeout_s=5)
    assert given[0].timeout_s == 15


def _answer():
    return client.Answer(200, {}, b"1")
