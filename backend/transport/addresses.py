"""Which network addresses may be connected to: the protection from SSRF and DNS rebinding.

The addresses of images come from outside, and the owner of a name may point it at this machine, or
at another address for the second look-up (DNS rebinding). So `sessions.py` asks here each time it
connects: a name is resolved once, all its addresses are judged, and the connection goes to one of
these. Odd spellings (`127.1`, `0x7f.1`, full-width digits) need no rule of their own.
"""

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

import idna

from backend.core.text import on_one_line
from backend.transport.transport import TransportError, origin

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
Origin = tuple[str, str, int | None]  # scheme, host, port

_NEVER: dict[str, tuple[str, ...]] = {
    # AWS, Google and most others; then AWS and Google over IPv6, Alibaba, Azure, Oracle.
    "an address of a cloud's own services": (
        *("169.254.169.254/32", "fd00:ec2::254/128", "fd20:ce::254/128"),
        *("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),
    ),
    "a link-local address": ("169.254.0.0/16", "fe80::/10"),
    "a multicast address": ("224.0.0.0/4", "ff00::/8"),
    "an unspecified address": ("0.0.0.0/8", "::/128"),
    # Teredo and local NAT64 hide an IPv4 address at places that only their networks know.
    "a reserved address": ("192.0.0.0/24", "240.0.0.0/4", "2001::/32"),
}
_NEVER_NETWORKS = [
    (ip_network(network), words) for words, networks in _NEVER.items() for network in networks
]
_IPV6_IN_USE = tuple(IPv6Network(text) for text in ("2000::/3", "fc00::/7", "fec0::/10", "::1/128"))
_NAT64 = IPv6Network("64:ff9b::/96")
_EXAMPLES = "images.lan, images.lan:8000, 10.0.0.5 or 10.0.0.0/24"
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?")


class ForbiddenAddressError(TransportError):
    """Nobody was asked: the host's address is none that images are fetched from.

    `in_short` says the same in fewer words, `host` is the name or address with its port, for
    messages, and `can_be_listed` tells whether MOBILESAM_ALLOW_HOSTS would help.
    """

    def __init__(self, words: str, *, in_short: str, host: str, can_be_listed: bool) -> None:
        super().__init__(words)
        self.in_short = in_short
        self.host = host
        self.can_be_listed = can_be_listed


@dataclass(frozen=True)
class AllowedHost:
    """An entry of MOBILESAM_ALLOW_HOSTS: a name or a network, with one port or all of them."""

    name: str | None
    network: IPNetwork | None
    port: int | None

    def covers(self, host: str, address: IPAddress, port: int | None) -> bool:
        """Whether it lists what a host's name, without a dot at its end, resolved to."""
        if self.port not in (None, port):
            return False
        if self.network is None:
            return self.name == host
        return address.version == self.network.version and address in self.network


def parse_allowed_hosts(text: str) -> tuple[AllowedHost, ...]:
    """Read what MOBILESAM_ALLOW_HOSTS lists.

    Raises:
        ValueError: continues a sentence that starts with the setting's value.
    """
    return tuple(_allowed_host(item) for item in re.split(r"[,\s]+", text) if item)


def _allowed_host(text: str) -> AllowedHost:
    host, port_text = text, ""
    if found := re.fullmatch(r"(\[[^\]]*\]|[^:]*):(\d+)", text):
        host, port_text = found.groups()
    port = int(port_text) if port_text else None
    network = _network(host.strip("[]"))
    if network is not None:
        if words := next((w for never, w in _NEVER_NETWORKS if _lies_in(network, never)), None):
            raise ValueError(f"lists {text!r}, {words}, which is never allowed")
        name = None
    else:
        name = _normal(host)
        if not _NAME.fullmatch(name) or re.fullmatch(r"[\d.]+", name):
            raise ValueError(f"lists {text!r}, which is not a host such as {_EXAMPLES}")
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"lists {text!r}, whose port is not between 1 and 65535")
    return AllowedHost(name, network, port)


def _network(text: str) -> IPNetwork | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def _lies_in(network: IPNetwork, other: IPNetwork) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(other, IPv4Network) and network.subnet_of(other)
    return isinstance(other, IPv6Network) and network.subnet_of(other)


@dataclass(frozen=True)
class NetworkPolicy:
    """How far the fetches of a project may reach: all public addresses, and these besides.

    Args:
        hosts: of MOBILESAM_ALLOW_HOSTS.
        trusted: origin that may have any private address: the project's Label Studio's.
        seen_at: sender of the /setup request that named the server: only this private address (or
            loopback, if the sender was) is allowed. None if the address comes from settings.
    """

    hosts: tuple[AllowedHost, ...] = ()
    trusted: Origin | None = None
    seen_at: str | None = None

    @classmethod
    def to(cls, url: str) -> "NetworkPolicy":
        """Allow one address that a setting names; a malformed one is reported when it is used."""
        try:
            return cls(trusted=origin(url))
        except ValueError:
            return cls()

    def addresses(self, scheme: str, host: str, port: int | None) -> list[str]:
        """Resolve a host, once, into the addresses to connect to.

        Args:
            scheme: http or https.
            host: a name, or an address in any spelling that the resolver takes.
            port: to connect to.

        Raises:
            ForbiddenAddressError: one of its addresses must not be reached.
            socket.gaierror: it does not resolve.
        """
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        # A scope (`%eth0`) is for link-local addresses, which are refused.
        resolved = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        return [str(address) for address in self._permitted(scheme, host, port, resolved)]

    def _permitted(
        self, scheme: str, host: str, port: int | None, resolved: Iterable[IPAddress]
    ) -> list[IPAddress]:
        name = _normal(host)
        is_trusted = self.trusted is not None and (scheme, name, port) == (
            self.trusted[0],
            _normal(self.trusted[1]),
            self.trusted[2],
        )
        permitted: list[IPAddress] = []
        refused: ForbiddenAddressError | None = None
        for address in dict.fromkeys(resolved):
            never, private = _judge(address)
            listed = any(entry.covers(name, _plain(address), port) for entry in self.hosts)
            if never:
                raise _forbidden(host, port, address, never, can_be_listed=False)
            if not private or listed or (is_trusted and self._is_where_seen(address)):
                permitted.append(address)
            else:
                refused = _forbidden(host, port, address, private, can_be_listed=True)
        # A Label Studio that was seen at one of its addresses is reached at that one only. Any
        # other name that stands for a public and a private address is a trick.
        if refused and not (is_trusted and self.seen_at is not None and permitted):
            raise refused
        return permitted

    def _is_where_seen(self, address: IPAddress) -> bool:
        if self.seen_at is None:
            return True
        try:
            seen = _plain(ip_address(self.seen_at.partition("%")[0]))
        except ValueError:  # through a socket that has no addresses
            return False
        address = _plain(address)
        return address == seen or (address.is_loopback and seen.is_loopback)


def _forbidden(
    host: str, port: int | None, address: IPAddress, words: str, *, can_be_listed: bool
) -> ForbiddenAddressError:
    shown = on_one_line(host[:100])
    place = f"at {address}, " if shown.strip("[]") != str(address) else ""
    why = "is not in MOBILESAM_ALLOW_HOSTS" if can_be_listed else "is never asked for an image"
    return ForbiddenAddressError(
        f"is {place}{words}, and {why}",
        in_short=f"is at {words}",
        host=shown if port in (None, 80, 443) else f"{shown}:{port}",
        can_be_listed=can_be_listed,
    )


def _judge(address: IPAddress) -> tuple[str, str]:
    """What an address is, in words, if it is never reached; and if it needs to be listed."""
    address = _plain(address)
    for network, words in _NEVER_NETWORKS:
        if address.version == network.version and address in network:
            return words, ""
    if isinstance(address, IPv6Address) and not any(address in each for each in _IPV6_IN_USE):
        return "a reserved address", ""
    if address.is_loopback:
        return "", "a loopback address"
    if isinstance(address, IPv6Address) and address.is_site_local:
        return "", "a private address"
    return "", "" if address.is_global else "a private address"


def _plain(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 address only wraps, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _normal(host: str) -> str:
    """A host's name in the one spelling in which names are compared."""
    name = host.strip("[]").lower().removesuffix(".")
    try:
        return str(ip_address(name))
    except ValueError:
        pass
    try:
        return name if name.isascii() else idna.encode(name, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return name
