"""Where images may come from: addresses in every spelling, names that lie, listed hosts."""
# ruff: noqa: RUF001 - digits that only look like digits are what some of these tests are about

import shutil
import socket
import ssl
import subprocess
from contextlib import suppress
from ipaddress import IPv4Address, ip_address
from urllib.parse import urlsplit

import pytest
from fake_label_studio import FakeLabelStudio, Host
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import ImageUnreachableError, LabelStudioError, SettingsError
from backend.fetching import sessions
from backend.fetching.addresses import ForbiddenAddressError, Reach, parse_allowed_hosts
from backend.fetching.images import ImageLoader
from backend.label_studio.connections import Connections
from backend.settings import Settings

IMAGE = b"the bytes of a picture"
PROJECT = "1.1795350403"
EVERYTHING = "0.0.0.0/0,::/0"
PUBLIC = "93.184.215.14"


@pytest.fixture
def label_studio():
    with FakeLabelStudio().running() as server:
        server.pages["/data/upload/1/a.jpg"] = IMAGE
        yield server


@pytest.fixture
def image_host():
    with Host().running() as server:
        server.pages["/a.jpg"] = IMAGE
        yield server


class Names:
    """A resolver: for each name the addresses of its first, second ... look-up."""

    def __init__(self, monkeypatch):
        self.answers = {}
        self.asked = []
        self._getaddrinfo = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)

    def _resolve(self, host, *more, **named):
        if host not in self.answers:
            return self._getaddrinfo(host, *more, **named)
        answers = self.answers[host]
        addresses = answers[min(self.asked.count(host), len(answers) - 1)]
        self.asked.append(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            entry for address in addresses for entry in self._getaddrinfo(address, *more, **named)
        ]


@pytest.fixture
def names(monkeypatch):
    return Names(monkeypatch)


@pytest.fixture
def connected(monkeypatch):
    """The addresses that were connected to, in place of connections."""
    addresses = []

    def connect(address, *_, **__):
        addresses.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(sessions, "create_connection", connect)
    return addresses


def fetch(uri, *, allow="", setup=(None, None), sender=None, **settings):
    settings = Settings(allow_hosts=parse_allowed_hosts(allow), **settings)
    connections = Connections(settings)
    connections.remember(PROJECT, *setup, sender=sender)
    return ImageLoader(settings, connections).fetch(uri, task_id=4, project=PROJECT)


def fetch_from(label_studio, uri, **settings):
    key = label_studio.tokens.legacy
    return fetch(uri, label_studio_url=label_studio.url, label_studio_api_key=key, **settings)


# Addresses

NEVER = {
    "aws-google-azure": "169.254.169.254",
    "ecs": "169.254.170.2",
    "aws-ipv6": "[fd00:ec2::254]",
    "aws-ipv6-spelled-out": "[fd00:0ec2:0:0:0:0:0:254]",
    "google-ipv6": "[fd20:ce::254]",
    "alibaba": "100.100.100.200",
    "azure-wireserver": "168.63.129.16",
    "oracle": "192.0.0.192",
    "link-local": "169.254.0.1",
    "link-local-ipv6": "[fe80::1]",
    "mapped": "[::ffff:169.254.169.254]",
    "mapped-in-hex": "[::ffff:a9fe:a9fe]",
    "compatible": "[::169.254.169.254]",
    "6to4": "[2002:a9fe:a9fe::1]",
    "nat64": "[64:ff9b::169.254.169.254]",
    "local-nat64": "[64:ff9b:1::a9fe:a9fe]",
    "teredo": "[2001:0:a9fe:a9fe::1]",
    "one-number": "2852039166",
    "hexadecimal": "0xa9fea9fe",
    "hexadecimal-parts": "0xa9.0xfe.0xa9.0xfe",
    "octal-parts": "0251.0376.0251.0376",
    "two-parts": "169.16689662",
    "unspecified": "0.0.0.0",  # noqa: S104 - nothing is bound
    "zero": "0",
    "this-network": "0.1.2.3",
    "unspecified-ipv6": "[::]",
    "mapped-unspecified": "[::ffff:0.0.0.0]",
    "multicast": "224.0.0.1",
    "multicast-ipv6": "[ff02::1]",
    "broadcast": "255.255.255.255",
    "reserved": "240.0.0.1",
    "reserved-ipv6": "[4000::1]",
    "discard-ipv6": "[100::1]",
}

PRIVATE = {
    "loopback": "127.0.0.1",
    "loopback-net": "127.8.9.10",
    "loopback-ipv6": "[::1]",
    "localhost": "localhost",
    "short": "127.1",
    "hexadecimal-short": "0x7f.1",
    "one-number": "2130706433",
    "octal": "017700000001",
    "mapped": "[::ffff:127.0.0.1]",
    "mapped-in-hex": "[0:0:0:0:0:ffff:7f00:1]",
    "6to4": "[2002:7f00:1::]",
    "nat64": "[64:ff9b::7f00:1]",
    "ten": "10.0.0.5",
    "172": "172.31.255.1",
    "192": "192.168.1.1",
    "carrier-grade-nat": "100.64.0.1",
    "unique-local": "[fd12:3456::1]",
    "site-local": "[fec0::1]",
    "documentation": "192.0.2.1",
    "benchmarking": "198.18.0.1",
}


@pytest.mark.parametrize("host", NEVER.values(), ids=NEVER.keys())
@pytest.mark.parametrize("allow", ["", EVERYTHING], ids=["not-listed", "everything-listed"])
def test_metadata_and_link_local_addresses_are_never_asked(connected, host, allow):
    with pytest.raises(ImageUnreachableError) as caught:
        fetch(f"http://{host}/latest/meta-data/", allow=allow)
    assert connected == []
    assert "is never asked" in caught.value.message
    assert caught.value.reason.startswith("Image not reachable: ")
    assert "MOBILESAM_ALLOW_HOSTS" not in str(caught.value)


@pytest.mark.parametrize("host", PRIVATE.values(), ids=PRIVATE.keys())
def test_private_address_that_is_not_listed_is_named_with_its_remedy(connected, host):
    with pytest.raises(ImageUnreachableError) as caught:
        fetch(f"http://{host}:8000/a.jpg?token=sesame")
    assert connected == []
    assert "is not in MOBILESAM_ALLOW_HOSTS" in caught.value.message
    assert ":8000 to MOBILESAM_ALLOW_HOSTS" in caught.value.remedy
    assert caught.value.reason.endswith(":8000 to MOBILESAM_ALLOW_HOSTS")
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("host", PRIVATE.values(), ids=PRIVATE.keys())
def test_private_address_that_is_listed_is_asked(connected, host):
    with pytest.raises(ImageUnreachableError, match="refused the connection"):
        fetch(f"http://{host}:8000/a.jpg", allow=EVERYTHING)
    assert connected


@pytest.mark.parametrize("host", [PUBLIC, "[2606:2800:21f::1]", "[64:ff9b::5db8:d70e]"])
def test_public_address_is_asked(connected, host):
    with pytest.raises(ImageUnreachableError, match="refused the connection"):
        fetch(f"http://{host}/a.jpg")
    assert connected == [host.strip("[]")]


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("%31%32%37.0.0.1", id="percent-encoded"),
        pytest.param("127.0.0.1.", id="dot-at-the-end"),
        pytest.param("１２７.0.0.１", id="full-width-digits"),
        pytest.param("127．0。0｡1", id="full-width-dots"),
        pytest.param("①②⑦.0.0.①", id="circled-digits"),
        pytest.param("93.184.215.14@127.0.0.1", id="behind-a-user"),
        pytest.param("user:93.184.215.14@127.0.0.1", id="behind-a-password"),
        pytest.param("127.0.0.1\\@93.184.215.14", id="backslash"),
        pytest.param("127.0.0.1\t", id="tab"),
        pytest.param("127.0.0.1 .example.test", id="space"),
        pytest.param("127.0.0.1%00.example.test", id="nul-encoded"),
        pytest.param("127.0.0.1\0.example.test", id="nul"),
        pytest.param("[127.0.0.1]", id="ipv4-in-brackets"),
        pytest.param("[fe80::1%251]", id="link-local-with-a-scope"),
        pytest.param("0x7f.0x0.0x0.0x1.", id="hexadecimal-with-a-dot"),
    ],
)
def test_trick_with_a_hosts_spelling_reaches_nobody(connected, host):
    with pytest.raises(ImageUnreachableError):
        fetch(f"http://{host}/a.jpg")
    assert connected == []


@given(address=st.ip_addresses())
def test_every_address_that_is_reached_unlisted_is_a_global_one(address):
    try:
        permitted = Reach()._permitted("http", "h.test", 80, [address])
    except ForbiddenAddressError:
        return
    assert permitted == [address]
    if address.version == 6:
        wrapped = address.sixtofour or address.ipv4_mapped
        address = wrapped or address
    assert address.is_global
    assert not address.is_multicast


@given(
    address=st.ip_addresses(v=4),
    wrap=st.sampled_from(["::ffff:{}", "64:ff9b::{}", "2002:{1:02x}{2:02x}:{3:02x}{4:02x}::1"]),
)
def test_ipv6_address_is_judged_as_the_ipv4_address_in_it(address, wrap):
    wrapped = ip_address(wrap.format(address, *address.packed))
    for hosts in ((), parse_allowed_hosts("10.0.0.0/8,127.0.0.1")):
        judged = [outcome(Reach(hosts), each) for each in (address, wrapped)]
        assert judged[0] == judged[1]


def outcome(reach, address):
    try:
        return bool(reach._permitted("http", "h.test", 80, [address]))
    except ForbiddenAddressError as error:
        return error.can_be_listed


# Names


def test_name_that_rebinds_is_resolved_once_and_its_checked_address_is_connected_to(
    names, connected
):
    names.answers["evil.test"] = [[PUBLIC], ["127.0.0.1"], ["169.254.169.254"]]
    with pytest.raises(ImageUnreachableError, match="refused the connection"):
        fetch("http://evil.test/a.jpg")
    assert names.asked == ["evil.test"]
    assert connected == [PUBLIC]


@pytest.mark.parametrize("second", ["127.0.0.1", "10.0.0.5", "169.254.169.254", "::1"])
def test_name_with_a_public_and_a_private_address_is_refused(names, connected, second):
    for addresses in ([PUBLIC, second], [second, PUBLIC]):
        names.answers["evil.test"] = [addresses]
        with pytest.raises(ImageUnreachableError, match=f"is at {second}, "):
            fetch("http://evil.test/a.jpg")
    assert connected == []


@pytest.mark.parametrize("name", ["metadata.google.internal", "evil.test", "EVIL.test."])
def test_name_of_a_metadata_address_is_refused_although_it_is_listed(names, connected, name):
    names.answers[name.lower()] = names.answers[name.lower().rstrip(".")] = [["169.254.169.254"]]
    with pytest.raises(ImageUnreachableError, match="is never asked for an image") as caught:
        fetch(f"http://{name}/", allow=name)
    assert connected == []
    assert caught.value.reason.endswith("is never asked")


def test_all_addresses_of_a_name_are_tried(names, monkeypatch, image_host):
    names.answers["images.test"] = [["127.0.0.9", "127.0.0.1"]]
    url = image_host.url.replace("127.0.0.1", "images.test")
    assert fetch(f"{url}/a.jpg", allow="images.test") == IMAGE


def test_host_header_has_the_name_and_not_the_address(names, image_host):
    names.answers["images.test"] = [["127.0.0.1"]]
    url = image_host.url.replace("127.0.0.1", "images.test")
    assert fetch(f"{url}/a.jpg", allow="images.test") == IMAGE
    assert image_host.requests[0].headers["host"] == urlsplit(url).netloc


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_tls_is_spoken_and_checked_with_the_name(names, image_host, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=images.test"]
    options = ["-addext", "subjectAltName=DNS:images.test", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", *request, *options], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    asked_for = []
    tls.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    image_host.server.socket = tls.wrap_socket(image_host.server.socket, server_side=True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    names.answers["images.test"] = names.answers["other.test"] = [["127.0.0.1"]]
    port = image_host.server.server_port
    assert fetch(f"https://images.test:{port}/a.jpg", allow="images.test") == IMAGE
    with pytest.raises(ImageUnreachableError, match="no TLS certificate that is trusted"):
        fetch(f"https://other.test:{port}/a.jpg", allow="other.test")
    assert asked_for == ["images.test", "other.test"]


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


# Redirects


@pytest.mark.parametrize("way", ["upload", "cloud", "external"])
@pytest.mark.parametrize(
    "location",
    [
        pytest.param("http://169.254.169.254/latest/meta-data/", id="metadata"),
        pytest.param("http://[::ffff:169.254.169.254]/", id="mapped"),
        pytest.param("http://2852039166/", id="one-number"),
        pytest.param("//169.254.169.254/", id="without-scheme"),
        pytest.param("http://127.0.0.1:1/", id="another-port"),
        pytest.param("https://127.0.0.1:{port}/", id="another-scheme"),
        pytest.param("http://10.0.0.5/", id="private"),
    ],
)
def test_every_hop_is_judged(label_studio, image_host, location, way):
    port = image_host.server.server_port
    target = {"Location": location.format(port=port)}
    label_studio.pages["/data/upload/1/a.jpg"] = image_host.pages["/b"] = (302, target, b"")
    label_studio.bucket["s3://photos/a.jpg"] = (303, target, b"")
    uris = {
        "upload": "/data/upload/1/a.jpg",
        "cloud": "s3://photos/a.jpg",
        "external": f"{image_host.url}/b",
    }
    with pytest.raises(ImageUnreachableError) as caught:
        fetch_from(label_studio, uris[way], allow="127.0.0.1" if "https" in location else "")
    if way != "external" and "https" not in location:
        assert "is never asked" in str(caught.value) or "ALLOW_HOSTS" in str(caught.value)
    assert len(image_host.requests) + len(label_studio.requests) <= 1


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("http://{evil}\\@{good}/a.jpg", id="backslash"),
        pytest.param("http://{evil}\\.{good}/a.jpg", id="backslash-and-dot"),
        pytest.param("http:\\\\{evil}/a.jpg", id="backslashes"),
        pytest.param("http://{good}@{evil}/a.jpg", id="user"),
        pytest.param("http://{good}\t@{evil}/a.jpg", id="tab"),
        pytest.param("//{evil}/a.jpg", id="without-scheme"),
        pytest.param("/\\{evil}/a.jpg", id="slash-backslash"),
    ],
)
def test_redirect_that_looks_like_label_studio_gets_no_token(label_studio, image_host, location):
    evil, good = (urlsplit(server.url).netloc for server in (image_host, label_studio))
    target = {"Location": location.format(evil=evil, good=good)}
    label_studio.pages["/data/upload/1/b.jpg"] = (302, target, b"")
    with suppress(ImageUnreachableError):
        fetch_from(label_studio, "/data/upload/1/b.jpg", allow="127.0.0.1")
    assert {request.authorization for request in image_host.requests} <= {None}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_api_follows_label_studio_nowhere_else(label_studio, image_host, status):
    target = {"Location": f"{image_host.url}/a.jpg"}
    label_studio.pages["/api/projects/1/"] = (status, target, b"")
    settings = Settings(
        label_studio_url=label_studio.url, label_studio_api_key=label_studio.tokens.legacy
    )
    connections = Connections(settings)
    with pytest.raises(LabelStudioError, match=r"redirects to .* set LABEL_STUDIO_URL to it"):
        connections.find(PROJECT).post_json("/api/projects/1/", {"secret": "sesame"})
    connections.close()
    assert image_host.requests == []


# Proxies of the environment: they resolve names, and connect


@pytest.fixture
def proxy(monkeypatch):
    with Host().running() as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, server.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server


def test_name_that_only_the_proxy_knows_is_left_to_it(names, proxy):
    names.answers["images.test"] = [[]]
    proxy.pages["http://images.test/a.jpg"] = IMAGE
    assert fetch("http://images.test/a.jpg") == IMAGE


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "127.0.0.1", "2852039166", "[::ffff:10.0.0.5]", "inside.test"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_is_not_asked_for_what_is_refused(names, proxy, host, scheme):
    names.answers["inside.test"] = [["10.0.0.5"]]
    with pytest.raises(ImageUnreachableError, match=r"is never asked|ALLOW_HOSTS"):
        fetch(f"{scheme}://{host}/a.jpg")
    assert proxy.requests == []


def test_proxy_is_asked_for_what_is_listed(names, proxy):
    names.answers["inside.test"] = [["10.0.0.5"]]
    proxy.pages["http://inside.test/a.jpg"] = IMAGE
    assert fetch("http://inside.test/a.jpg", allow="inside.test") == IMAGE


def test_host_without_a_proxy_is_judged_as_ever(names, proxy, connected, monkeypatch):
    monkeypatch.setenv("no_proxy", "inside.test")
    names.answers["inside.test"] = [["10.0.0.5"]]
    with pytest.raises(ImageUnreachableError, match="is not in MOBILESAM_ALLOW_HOSTS"):
        fetch("http://inside.test/a.jpg")
    assert connected == []
    assert proxy.requests == []


def test_address_in_a_message_is_short_and_on_one_line(names):
    long = "a." * 100 + "test"
    names.answers[long] = [[str(IPv4Address("10.0.0.5"))]]
    with pytest.raises(ImageUnreachableError) as caught:
        fetch(f"http://{long}/a.jpg")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700
    assert len(caught.value.reason) < 100
