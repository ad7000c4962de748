"""Addresses in every spelling, and names that lie."""
# ruff: noqa: RUF001 - digits that only look like digits are what some of these tests are about

import shutil
import ssl
import subprocess
from ipaddress import IPv4Address, ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_sources import IMAGE
from reaching import EVERYTHING, PUBLIC, fetch

from backend.core.errors import ImageUnreachableError
from backend.transport.addresses import ForbiddenAddressError, NetworkPolicy, parse_allowed_hosts

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


# Addresses


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
        permitted = NetworkPolicy()._permitted("http", "h.test", 80, [address])
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
        judged = [outcome(NetworkPolicy(hosts), each) for each in (address, wrapped)]
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


# Messages


def test_address_in_a_message_is_short_and_on_one_line(names):
    long = "a." * 100 + "test"
    names.answers[long] = [[str(IPv4Address("10.0.0.5"))]]
    with pytest.raises(ImageUnreachableError) as caught:
        fetch(f"http://{long}/a.jpg")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700
    assert len(caught.value.reason) < 100
