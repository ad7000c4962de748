"""Which Label Studio a project belongs to."""

import pytest
from fake_label_studio import PERSONAL

from backend.label_studio.connections import Connections
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
