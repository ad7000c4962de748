"""Which Label Studio a project belongs to."""

import pytest
from fake_label_studio import PERSONAL

from backend.label_studio.connections import IDLE_S, Connections
from backend.settings.settings import Settings

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


def names(connections, *projects):
    return [connections.hostname(project) for project in projects]


def test_strange_setups_never_push_out_a_project_in_use():
    connections = Connections(Settings(), capacity=10)
    connections.remember("3.17", OURS, "secret", sender="10.0.0.5")
    connections.confirm("3.17")
    for number in range(1001):
        connections.remember(f"{number}.9", THEIRS, "x", sender="10.0.0.66")
        connections.confirm(f"{number}.9")  # a server of the stranger's may answer well, too
    assert names(connections, "3.17") == [OURS]


def test_project_of_a_label_studio_in_use_is_in_use_itself():
    connections = Connections(Settings(), capacity=10)
    connections.remember("3.17", OURS, "secret", sender="10.0.0.5")
    connections.confirm("3.17")
    connections.remember("4.17", OURS, "secret", sender="10.0.0.5")
    for number in range(1001):
        connections.remember(f"{number}.9", OURS, "guessed", sender="10.0.0.5")
    assert names(connections, "3.17", "4.17") == [OURS, OURS]


@pytest.mark.parametrize(
    ("setup", "is_taken"),
    [
        pytest.param((THEIRS, "guessed", "10.0.0.66"), False, id="stranger"),
        pytest.param((THEIRS, None, "10.0.0.5"), False, id="stranger-without-token"),
        pytest.param((OURS, "guessed", ""), False, id="stranger-at-our-name"),
        pytest.param((None, None, "10.0.0.66"), False, id="nothing"),
        pytest.param((THEIRS, "secret", "10.0.0.7"), True, id="label-studio-moved"),
        pytest.param((OURS, "new", "10.0.0.5"), True, id="token-was-reset"),
        pytest.param((THEIRS, "new", None), True, id="password"),
    ],
)
def test_project_in_use_is_taken_over_by_its_label_studio_only(setup, is_taken):
    hostname, token, sender = setup
    connections = Connections(Settings())
    connections.remember("3.17", OURS, "secret", sender="10.0.0.5")
    connections.confirm("3.17")
    before = connections.find("3.17")
    connections.remember("3.17", hostname, token, sender=sender)
    after = connections.find("3.17")
    assert (after is not before) == is_taken
    assert after.url == (hostname if is_taken else OURS)


def test_project_that_was_idle_for_long_makes_room(monkeypatch):
    now = 0.0
    monkeypatch.setattr("backend.label_studio.connections.time.monotonic", lambda: now)
    connections = Connections(Settings(), capacity=1)
    connections.remember("1.5", OURS, "one")
    connections.confirm("1.5")
    for now in (IDLE_S - 1, IDLE_S + 1):
        connections.remember("2.5", THEIRS, "two")
        connections.confirm("2.5")
        connections.remember("3.5", THEIRS, "three")  # pushes out the one that is not in use
        assert names(connections, "1.5", "2.5") == (
            [OURS, None] if now < IDLE_S else [None, THEIRS]
        )


def test_no_token_is_in_a_repr():
    """A log line, or a test that fails, may print any of them."""
    connections = Connections(Settings(label_studio_url=OURS, label_studio_api_key="hunter2"))
    strange = Connections(Settings())
    for each in (connections, strange):
        each.remember("1.5", THEIRS, "hunter2")
        each.confirm("1.5")
        server = each.find("1.5")
        held = (each, *vars(each).values(), server, *vars(server).values())
        assert "hunter2" not in repr([each, held, *each._in_use.values()])
