"""Tokens, and which Label Studio a project belongs to."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest
from fake_label_studio import PERSONAL, FakeLabelStudio, Host, error, token

from backend.errors import LabelStudioError, LabelStudioRefusalError
from backend.fetching.transport import Answer, Deadline
from backend.label_studio.client import LabelStudio
from backend.label_studio.connections import Connections
from backend.settings import Settings


@pytest.fixture
def label_studio():
    with FakeLabelStudio().running() as server:
        yield server


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
    monkeypatch.setattr("backend.label_studio.client.time.monotonic", lambda: now)
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


def test_api_client_is_authorized_by_a_personal_token(label_studio):
    label_studio.pages["/api/version/"] = b'{"release": "1.23.2"}'
    server = LabelStudio(label_studio.url, PERSONAL)
    server.authorization()
    label_studio.tokens.revoked.add(label_studio.tokens.given[0])
    with closing(server):
        assert server.api.versions.get().release == "1.23.2"
    assert label_studio.authorizations[1:] == [
        access_token(label_studio, 0),
        None,
        access_token(label_studio, 1),
    ]


def test_api_client_is_authorized_by_a_legacy_token(label_studio):
    label_studio.pages["/api/version/"] = b'{"release": "1.23.2"}'
    server = LabelStudio(label_studio.url, label_studio.tokens.legacy)
    with closing(server):
        assert server.api.versions.get().release == "1.23.2"
    assert label_studio.authorizations == [f"Token {label_studio.tokens.legacy}"]


def test_changes_and_deletions_are_sent_as_such(label_studio):
    label_studio.pages |= {"/api/a/": b'{"b": 1}', "/api/c/": (204, {}, b"")}
    with closing(LabelStudio(label_studio.url, label_studio.tokens.legacy)) as server:
        assert server.patch_json("/api/a/", {"b": 1}) == {"b": 1}
        server.delete("/api/c/")
    sent = [(request.method, request.path, request.body) for request in label_studio.requests]
    assert sent == [("PATCH", "/api/a/", b'{"b":1}'), ("DELETE", "/api/c/", b"")]


@pytest.mark.parametrize(("status", "is_refusal"), [(400, True), (404, True), (500, False)])
def test_call_that_was_wrong_is_told_from_a_failure(label_studio, status, is_refusal):
    label_studio.pages["/api/a/"] = error(status, "because")
    with (
        closing(LabelStudio(label_studio.url, label_studio.tokens.legacy)) as server,
        pytest.raises(LabelStudioError, match=f"answered {status} to /api/a/: because") as caught,
    ):
        server.post_json("/api/a/", [])
    assert isinstance(caught.value, LabelStudioRefusalError) == is_refusal


OURS, THEIRS = "http://ours.test:8080", "http://theirs.test"


@pytest.mark.parametrize(
    ("settings", "url", "authorization"),
    [
        pytest.param({}, THEIRS, "Token creator's", id="nothing-set"),
        pytest.param({"label_studio_url": OURS}, OURS, "Token creator's", id="url-set"),
        pytest.param(
            {"label_studio_url": OURS, "label_studio_api_key": "ours"},
            OURS,
            "Token ours",
            id="url-and-key-set",
        ),
        # Settings refuse to be read so; the key stays here all the same.
        pytest.param({"label_studio_api_key": "ours"}, THEIRS, "Token creator's", id="key-set"),
    ],
)
def test_project_is_found_with_the_token_that_belongs_to_the_address(settings, url, authorization):
    connections = Connections(Settings(**settings))
    connections.remember("1.5", f"{THEIRS}/", "creator's")
    server = connections.find("1.5")
    assert (server.url, server.authorization()) == (url, authorization)
    assert connections.hostname("1.5") == THEIRS


def test_project_without_setup_is_found_by_the_settings():
    settings = Settings(label_studio_url=OURS, label_studio_api_key="ours")
    connections = Connections(settings)
    assert connections.find("1.5").authorization() == "Token ours"
    assert connections.hostname("1.5") is None
    assert Connections(Settings()).find("1.5") is None


@pytest.mark.parametrize("hostname", [None, "", "label studio", "file:///etc", "http://[", "//x"])
def test_hostname_that_is_no_address_is_ignored(hostname):
    connections = Connections(Settings())
    connections.remember("1.5", hostname, "creator's")
    assert connections.find("1.5") is None


def test_same_setup_again_keeps_the_access_token(label_studio):
    connections = Connections(Settings())
    for _ in range(3):
        connections.remember("1.5", label_studio.url, PERSONAL)
        connections.find("1.5").authorization()
    assert label_studio.exchanges == 1


def test_later_setup_replaces_an_earlier_one():
    connections = Connections(Settings())
    connections.remember("1.5", THEIRS, "old")
    connections.remember("1.5", OURS, "new")
    assert connections.find("1.5").authorization() == "Token new"
    assert connections.hostname("1.5") == OURS


def test_least_recently_used_project_is_forgotten():
    connections = Connections(Settings(), capacity=2)
    connections.remember("1.5", THEIRS, "one")
    connections.remember("2.5", THEIRS, "two")
    connections.find("1.5")
    connections.remember("3.5", THEIRS, "three")
    found = [connections.find(project) is not None for project in ("1.5", "2.5", "3.5")]
    assert found == [True, False, True]


@pytest.mark.parametrize(
    ("kind", "detail", "words", "reason"),
    [
        pytest.param(
            {},
            "... legacy token authentication has been disabled for this organization",
            ["to the legacy token from LABEL_STUDIO_API_KEY", "turn legacy tokens on"],
            "401 from Label Studio, LABEL_STUDIO_API_KEY is a legacy token, these are off",
            id="own-legacy-off",
        ),
        pytest.param(
            {"url_is_set": False, "token_is_set": False},
            "... legacy token authentication has been disabled for this organization",
            ["to the legacy token from /setup", "set LABEL_STUDIO_URL to", "turn legacy tokens on"],
            "401 from Label Studio, set LABEL_STUDIO_API_KEY",
            id="setup-legacy-off",
        ),
        pytest.param(
            {},
            "Invalid\0\ntoken.",
            [r"answered 401 (Invalid\x00\ntoken.)"],
            "401 from Label Studio, check LABEL_STUDIO_API_KEY",
            id="control-characters",
        ),
        pytest.param(
            {},
            "Invalid token.",
            ["answered 401 (Invalid token.)", "to a personal access token"],
            "401 from Label Studio, check LABEL_STUDIO_API_KEY",
            id="wrong",
        ),
    ],
)
def test_refusal_names_the_token_and_the_remedy(kind, detail, words, reason):
    server = LabelStudio("http://127.0.0.1:1", "abc123", **kind)
    refused = server.refused(Answer(401, {}, error(401, detail)[2]))
    assert [word for word in words if word not in str(refused)] == []
    assert refused.reason == reason
    assert "abc123" not in str(refused)


def test_access_token_in_place_of_an_api_key_is_named():
    """A short-lived one works for some minutes; after that, the message says what it is."""
    server = LabelStudio("http://127.0.0.1:1", token("access"))
    assert server.authorization().startswith("Bearer ")
    answer = Answer(401, {}, error(401, "Token is expired")[2])
    assert "to the short-lived access token from LABEL_STUDIO_API_KEY" in str(
        server.refused(answer)
    )


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
