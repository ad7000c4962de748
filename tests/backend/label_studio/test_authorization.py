"""Tokens: sent as they are, or exchanged once and renewed in time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from fake_label_studio import PERSONAL, FakeLabelStudio, Host

from backend.core.errors import LabelStudioError
from backend.label_studio.client import LabelStudio
from backend.transport.transport import Deadline


def access_token(label_studio, number=0):
    return f"Bearer {label_studio.tokens.given[number]}"


def test_legacy_token_is_sent_as_it_is():
    assert LabelStudio("http://127.0.0.1:1", "abc123").authorization() == "Token abc123"


def test_personal_token_is_exchanged_once(label_studio):
    server = LabelStudio(label_studio.url, PERSONAL)
    first, second = server.authorization(), server.authorization()
    assert first == second == access_token(label_studio)
    assert label_studio.exchanges == 1


def test_personal_token_is_exchanged_below_a_base_path():
    with FakeLabelStudio(base_path="/labels").running() as label_studio:
        LabelStudio(label_studio.url, PERSONAL).authorization()
        assert label_studio.paths == ["/labels/api/token/refresh/"]


def test_threads_that_ask_together_share_one_exchange(label_studio):
    everybody_asks = threading.Barrier(17)
    answer = label_studio.answer

    def answer_late(request):
        everybody_asks.wait(10)  # the exchange is answered when all threads have set out
        return answer(request)

    label_studio.answer = answer_late
    server = LabelStudio(label_studio.url, PERSONAL)

    def ask():
        everybody_asks.wait(10)
        return server.authorization()

    with ThreadPoolExecutor(16) as threads:
        first = threads.submit(server.authorization)
        others = [threads.submit(ask) for _ in range(15)]
        everybody_asks.wait(10)
        values = {one.result(10) for one in [first, *others]}
    assert values == {access_token(label_studio)}
    assert label_studio.exchanges == 1


def test_failed_exchange_reaches_every_thread_and_is_tried_anew(label_studio):
    label_studio.tokens.personal = "another"
    server = LabelStudio(label_studio.url, PERSONAL)
    for _ in range(2):
        with pytest.raises(LabelStudioError, match="Token is invalid"):
            server.authorization()
    label_studio.tokens.personal = PERSONAL
    assert server.authorization() == access_token(label_studio)


def test_access_token_is_renewed_before_it_ends(label_studio, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("backend.label_studio.authorization.time.monotonic", lambda: now)
    server = LabelStudio(label_studio.url, PERSONAL)

    def ask():
        return server.authorization(deadline=Deadline(10))

    first = ask()
    now = 1000.0 + 269
    assert ask() == first
    now = 1000.0 + 271
    assert ask() != first
    assert label_studio.exchanges == 2


def test_refused_access_token_is_replaced_once(label_studio):
    server = LabelStudio(label_studio.url, PERSONAL)
    old = server.authorization()
    new = server.authorization(refused=old)
    assert new == server.authorization(refused=old) == access_token(label_studio, 1)
    assert label_studio.exchanges == 2


def test_refused_legacy_token_has_no_replacement():
    server = LabelStudio("http://127.0.0.1:1", "abc123")
    assert server.authorization(refused="Token abc123") == "Token abc123"


def test_no_token_names_the_setting():
    with pytest.raises(LabelStudioError, match="set LABEL_STUDIO_API_KEY") as caught:
        LabelStudio("http://127.0.0.1:1", None).authorization()
    assert caught.value.reason == "no token for Label Studio, set LABEL_STUDIO_API_KEY"


@pytest.mark.parametrize("damaged", ["\ud800", "кіт", "abc\n123"])
@pytest.mark.parametrize(
    ("is_set", "source"),
    [
        pytest.param(True, "LABEL_STUDIO_API_KEY", id="set"),
        pytest.param(False, "/setup", id="setup"),
    ],
)
def test_token_that_no_header_can_hold_is_named(damaged, is_set, source):
    server = LabelStudio("http://127.0.0.1:1", damaged, token_is_set=is_set)
    with pytest.raises(LabelStudioError, match=f"from {source} holds characters") as caught:
        server.authorization()
    assert caught.value.reason == f"damaged token from {source}, set LABEL_STUDIO_API_KEY"
    assert damaged not in str(caught.value)


def test_exchange_with_nobody_names_the_address():
    with Host().running() as host:
        url = host.url
    with pytest.raises(LabelStudioError, match=f"{url} refused the connection") as caught:
        LabelStudio(url, PERSONAL).authorization()
    assert "LABEL_STUDIO_URL" in caught.value.remedy
    assert PERSONAL not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param((404, {}, b""), "gave no access token but a 404", id="not-label-studio"),
        pytest.param(b"<html>", "gave no access token but a 200", id="html"),
        pytest.param(b'{"access": null}', "gave no access token but a 200", id="null"),
        pytest.param(b'{"access": "\\ud800"}', "gave no access token but a 200", id="damaged"),
        pytest.param(b" " * 100_000, "gave no access token but a long page", id="long"),
        pytest.param(
            (301, {"Location": "https://user:secret@label.test/api/"}, b""),
            "a 301 to https://label.test/api/",
            id="redirect",
        ),
    ],
)
def test_exchange_names_what_came_instead(answer, words):
    with Host().running() as host:
        host.pages["/api/token/refresh/"] = answer
        with pytest.raises(LabelStudioError, match=words):
            LabelStudio(host.url, PERSONAL).authorization()


def test_exchange_ends_at_its_deadline():
    over = threading.Event()
    with Host().running() as host:
        host.pages["/api/token/refresh/"] = lambda _: over.wait(20)
        with pytest.raises(LabelStudioError, match=r"did not answer within 0\.2 s"):
            LabelStudio(host.url, PERSONAL).authorization(deadline=Deadline(0.2))
        over.set()


def test_call_is_authorized_by_a_personal_token(label_studio):
    label_studio.pages["/api/version/"] = b'{"release": "1.23.2"}'
    server = LabelStudio(label_studio.url, PERSONAL)
    server.authorization()
    label_studio.tokens.revoked.add(label_studio.tokens.given[0])
    with closing(server):
        assert server.get_json("/api/version/") == {"release": "1.23.2"}
    assert label_studio.authorizations[1:] == [
        access_token(label_studio, 0),
        None,
        access_token(label_studio, 1),
    ]


def test_call_is_authorized_by_a_legacy_token(label_studio):
    label_studio.pages["/api/version/"] = b'{"release": "1.23.2"}'
    server = LabelStudio(label_studio.url, label_studio.tokens.legacy)
    with closing(server):
        assert server.get_json("/api/version/") == {"release": "1.23.2"}
    assert label_studio.authorizations == [f"Token {label_studio.tokens.legacy}"]
