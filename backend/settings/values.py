"""What the text of an environment variable may be, and what it is read as.

Each of these raises ValueError with the words that go on after `NAME='text'`.
"""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from redis.connection import parse_url

SWITCHES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def text(value: str) -> str:
    """Take it as it is."""
    return value


def user_name(value: str) -> str:
    """Take a name that Basic auth can send."""
    if ":" in value:
        raise ValueError("has a colon, which ends the name in Basic auth")
    return value


def url(value: str) -> str:
    """Take a base address, without the slashes at its end."""
    example = "http://localhost:8080"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:  # the port, or brackets that hold no IPv6 address
        raise ValueError(f"is not a URL such as {example}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"is not a URL such as {example}")
    if "?" in value or "#" in value:
        raise ValueError(f"has a query or a fragment, unlike {example}")
    return value.rstrip("/")


def redis_url(value: str) -> str:
    """Take what redis-py can connect to."""
    try:
        parse_url(value)
    except ValueError:
        raise ValueError("is not a URL such as redis://localhost:6379/0") from None
    return value


def folder(value: str) -> str:
    """Take the path of a folder that is there or can be made; ~ is a home."""
    path = Path(value).expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError("is a file, not a folder")
    return str(path)


def ip_address(value: str) -> str:
    """Take an IPv4 or IPv6 address."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("is not an IP address such as 127.0.0.1 or ::1") from None


def switch(value: str) -> bool:
    """Take yes or no, in the usual spellings."""
    if value.lower() not in SWITCHES:
        raise ValueError("is not true or false")
    return SWITCHES[value.lower()]


def host_names(value: str) -> tuple[str, ...]:
    """Read names of hosts, without ports, separated by commas."""
    names = tuple(name.strip().lower() for name in value.split(",") if name.strip())
    if not all(re.fullmatch(r"[a-z0-9_.-]+", name) for name in names):
        raise ValueError("is not a list of names such as sam.example.com,labels.example.com")
    return names


def one_of(*names: str) -> Callable[[str], str]:
    """Take one of some names, however its letters are spelled."""
    spelled = {name.lower(): name for name in names}

    def read(value: str) -> str:
        if value.lower() not in spelled:
            raise ValueError(f"is not one of {', '.join(names)}")
        return spelled[value.lower()]

    return read


def whole_number(unit: str, lowest: int, highest: int) -> Callable[[str], int]:
    """Take a whole number within bounds that are included."""

    def read(value: str) -> int:
        try:
            found = int(value)
        except ValueError:
            raise ValueError(f"is not a whole number of {unit}") from None
        if not lowest <= found <= highest:
            raise ValueError(f"is not between {lowest} and {highest} {unit}")
        return found

    return read


def number(unit: str, highest: float, *, may_be_zero: bool) -> Callable[[str], float]:
    """Take a number up to a bound that is included."""

    def read(value: str) -> float:
        try:
            found = float(value)
        except ValueError:
            raise ValueError(f"is not a number of {unit}") from None
        if not 0 <= found <= highest or (found == 0 and not may_be_zero):  # also refuses nan
            raise ValueError(f"is not between 0 and {highest:g} {unit}")
        return found

    return read
