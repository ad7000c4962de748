"""Hosts that are listed, and where Label Studio itself may be."""

import pytest
from image_sources import IMAGE, PROJECT
from reaching import fetch, fetch_from

from backend.core.errors import ImageUnreachableError, LabelStudioError, SettingsError
from backend.label_studio.connections import Connections
from backend.settings.settings import Settings

# What is listed


@pytest.mark.parametrize(
    ("allow", "host", "is_reached"),
    [
        pytest.param("10.0.0.5", "10.0.0.5", True, id="address"),
        pytest.param("10.0.0.5", "10.0.0.6", False, id="another-address"),
        pytest.param("10.0.0.0/24", "10.0.0.6", True, id="network"),
        pytest.param("10.0.0.0/24", "10.0.1.6", False, id="outside-the-network"),
        pytest.param("10.0.0.5:8000", "10.0.0.5", True, id="port"),
        pytest.param("10.0.0.5:8001", "10.0.0.5", False, id="another-port"),
        pytest.param("10.0.0.0/24:8000", "10.0.0.6", True, id="network-and-port"),
        pytest.param("[fd00::5]:8000", "[fd00::5]", True, id="ipv6-and-port"),
        pytest.param("fd00::5", "[fd00:0::5]", True, id="ipv6"),
        pytest.param("images.lan", "images.lan", True, id="name"),
        pytest.param("Images.LAN.", "images.lan", True, id="name-in-another-case"),
        pytest.param("images.lan:8000", "IMAGES.lan.", True, id="name-with-a-dot"),
        pytest.param("lan", "images.lan", False, id="not-the-names-below"),
        pytest.param("images.lan", "evil.lan", False, id="another-name"),
        pytest.param("10.0.0.5", "images.lan", True, id="address-of-a-name"),
        pytest.param("b.lan, images.lan 10.9.9.9", "images.lan", True, id="one-of-several"),
        pytest.param("bücher.lan", "xn--bcher-kva.lan", True, id="punycode"),
    ],
)
def test_hosts_are_listed_by_name_address_network_and_port(
    names, connected, allow, host, is_reached
):
    for name in ("images.lan", "images.lan.", "evil.lan", "xn--bcher-kva.lan"):
        names.answers[name] = [["10.0.0.5"]]
    message = "refused the connection" if is_reached else "is not in MOBILESAM_ALLOW_HOSTS"
    with pytest.raises(ImageUnreachableError, match=message):
        fetch(f"http://{host}:8000/a.jpg", allow=allow)
    assert bool(connected) == is_reached


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param("169.254.169.254", "a cloud's own services, which is never", id="metadata"),
        pytest.param("a.lan, 169.254.0.0/24", "a link-local address, which", id="link-local"),
        pytest.param("fe80::/64", "a link-local address, which is never allowed", id="ipv6"),
        pytest.param("http://images.lan/", "which is not a host such as images.lan", id="url"),
        pytest.param("*.lan", "which is not a host such as", id="wildcard"),
        pytest.param("10.0.0.5/24", "which is not a host such as", id="no-network"),
        pytest.param("10.0.0", "which is not a host such as", id="short"),
        pytest.param("images.lan:80800", "whose port is not between", id="port"),
    ],
)
def test_wrong_list_stops_the_start(value, problem):
    with pytest.raises(SettingsError, match=problem):
        Settings.from_environment({"MOBILESAM_ALLOW_HOSTS": value})


# Label Studio's own address


def test_label_studio_of_the_settings_may_be_anywhere_private(label_studio):
    assert fetch_from(label_studio, "/data/upload/1/a.jpg") == IMAGE


def test_other_port_of_label_studios_machine_is_not_label_studio(label_studio, image_host):
    with pytest.raises(ImageUnreachableError, match="is not in MOBILESAM_ALLOW_HOSTS"):
        fetch_from(label_studio, f"{image_host.url}/a.jpg")
    assert image_host.requests == []


def test_connection_to_label_studio_serves_nobody_whose_label_studio_it_is_not(label_studio):
    """Connections are kept, and a kept one is not judged again."""
    fetch_from(label_studio, "/data/upload/1/a.jpg")
    with pytest.raises(ImageUnreachableError, match="is not in MOBILESAM_ALLOW_HOSTS"):
        fetch(f"{label_studio.url}/data/upload/1/a.jpg")
    assert len(label_studio.requests) == 1


@pytest.mark.parametrize(
    ("sender", "is_reached"),
    [
        pytest.param("127.0.0.1", True, id="same-machine"),
        pytest.param("::ffff:127.0.0.1", True, id="same-machine-over-ipv6"),
        pytest.param("::1", True, id="loopback-ipv6"),
        pytest.param(None, True, id="with-a-password"),
        pytest.param("10.0.0.66", False, id="another-machine"),
        pytest.param("93.184.215.14", False, id="from-outside"),
        pytest.param("", False, id="unknown"),
    ],
)
def test_private_label_studio_of_setup_is_where_setup_came_from(label_studio, sender, is_reached):
    """Else anybody who sends a /setup could have this service look around in its network."""
    setup = (label_studio.url, label_studio.tokens.legacy)
    if is_reached:
        assert fetch("/data/upload/1/a.jpg", setup=setup, sender=sender) == IMAGE
        return
    with pytest.raises(ImageUnreachableError, match="set LABEL_STUDIO_URL to") as caught:
        fetch("/data/upload/1/a.jpg", setup=setup, sender=sender)
    assert caught.value.reason == (
        "Image not reachable: Label Studio is at a loopback address, set LABEL_STUDIO_URL"
    )
    assert label_studio.requests == []


@pytest.mark.parametrize("url", ["http://169.254.169.254", "http://[fe80::1]:8080"])
@pytest.mark.parametrize("sender", [None, "169.254.169.254", "fe80::1%eth0"])
def test_label_studio_of_setup_is_never_a_metadata_address(connected, url, sender):
    with pytest.raises(ImageUnreachableError):
        fetch("/data/upload/1/a.jpg", setup=(url, "token"), sender=sender)
    assert connected == []


def test_label_studio_of_setup_on_two_networks_is_asked_where_it_was_seen(names, connected):
    names.answers["studio.lan"] = [["10.0.0.5", "192.168.1.5", "fd00::5"]]
    with pytest.raises(ImageUnreachableError, match="refused the connection"):
        fetch("/data/upload/1/a.jpg", setup=("http://studio.lan", "t"), sender="192.168.1.5")
    assert connected == ["192.168.1.5"]


def test_api_of_a_label_studio_that_setup_names_is_not_asked_elsewhere(label_studio):
    connections = Connections(Settings())
    setup = (label_studio.url, label_studio.tokens.legacy)
    connections.remember(PROJECT, *setup, sender="10.0.0.66")
    with pytest.raises(LabelStudioError, match="loopback address"):
        connections.find(PROJECT).get_json("/api/projects/1/")
    assert label_studio.requests == []
    label_studio.pages["/api/projects/1/"] = b'{"id": 1}'
    connections.remember(PROJECT, *setup, sender="127.0.0.1")
    assert connections.find(PROJECT).get_json("/api/projects/1/") == {"id": 1}
