"""Calls of the API: what is sent, what a refusal is, and how long it may take."""

import threading
from contextlib import closing, suppress

import pytest
from ending_connections import EndsKeptConnections
from fake_label_studio import error

from backend.core.errors import LabelStudioError, LabelStudioRefusalError
from backend.label_studio.client import LabelStudio


def test_changes_and_deletions_are_sent_as_such(label_studio):
    label_studio.pages |= {"/api/a/": b'{"b": 1}', "/api/c/": (204, {}, b"")}
    with closing(LabelStudio(label_studio.url, label_studio.tokens.legacy)) as server:
        assert server.patch_json("/api/a/", {"b": 1}) == {"b": 1}
        server.delete("/api/c/")
    sent = [(request.method, request.path, request.body) for request in label_studio.requests]
    assert sent == [("PATCH", "/api/a/", b'{"b":1}'), ("DELETE", "/api/c/", b"")]


def test_what_is_not_there_any_more_need_not_be_deleted(label_studio):
    label_studio.pages["/api/a/"] = error(404, "Not found")
    with closing(LabelStudio(label_studio.url, label_studio.tokens.legacy)) as server:
        server.delete("/api/a/")
    assert label_studio.paths == ["/api/a/"]


@pytest.mark.parametrize(("status", "is_refusal"), [(400, True), (404, True), (500, False)])
def test_call_that_was_wrong_is_told_from_a_failure(label_studio, status, is_refusal):
    label_studio.pages["/api/a/"] = error(status, "because")
    with (
        closing(LabelStudio(label_studio.url, label_studio.tokens.legacy)) as server,
        pytest.raises(LabelStudioError, match=f"answered {status} to /api/a/: because") as caught,
    ):
        server.post_json("/api/a/", [])
    assert isinstance(caught.value, LabelStudioRefusalError) == is_refusal


def test_question_is_bounded_as_a_whole_however_many_bytes_come(label_studio):
    ended = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):  # the other side has gone
            while not ended.wait(0.05):
                handler.wfile.write(b" ")

    label_studio.pages["/api/projects/1/"] = drip
    server = LabelStudio(label_studio.url, label_studio.tokens.legacy)
    with pytest.raises(LabelStudioError, match=r"did not answer within 0\.5 s"):
        server.get_json("/api/projects/1/", timeout_s=0.5)
    ended.set()


def test_question_is_asked_again_where_a_kept_connection_ended(label_studio):
    label_studio.pages["/api/a/"] = page = EndsKeptConnections(b"{}")
    with closing(LabelStudio(label_studio.url, label_studio.tokens.legacy)) as server:
        assert [server.get_json("/api/a/") for _ in range(3)] == [{}] * 3
    assert page.left_unanswered == 2


def test_change_is_never_sent_twice(label_studio):
    label_studio.pages["/api/a/"] = page = EndsKeptConnections(b"{}", answers=0)
    with (
        closing(LabelStudio(label_studio.url, label_studio.tokens.legacy)) as server,
        pytest.raises(LabelStudioError, match="did not answer /api/a/"),
    ):
        server.post_json("/api/a/", [])
    assert page.left_unanswered == 1
