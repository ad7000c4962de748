"""The settings of the service: one frozen dataclass, read once from environment variables."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis.connection import parse_url as parse_redis_url

from backend.errors import SettingsError
from backend.fetching.addresses import AllowedHost, parse_allowed_hosts
from backend.labeling_config import OUTPUTS

MEGABYTE = 2**20  # what MB means in every setting
RUNTIMES = ("auto", "torch", "openvino")
PRECISIONS = ("auto", "float32")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
SWITCHES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _text(value: str) -> str:
    return value


def _user(value: str) -> str:
    if ":" in value:
        raise ValueError("has a colon, which ends the name in Basic auth")
    return value


def _url(value: str) -> str:
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


def _redis_url(value: str) -> str:
    try:
        parse_redis_url(value)
    except ValueError:
        raise ValueError("is not a URL such as redis://localhost:6379/0") from None
    return value


def _folder(value: str) -> str:
    folder = Path(value).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ValueError("is a file, not a folder")
    return str(folder)


def _ip_address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError("is not an IP address such as 127.0.0.1 or ::1") from None


def _one_of(*names: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() not in names:
            raise ValueError(f"is not one of {', '.join(names)}")
        return value.lower()

    return parse


def _log_level(value: str) -> str:
    if value.upper() not in LOG_LEVELS:
        raise ValueError(f"is not one of {', '.join(LOG_LEVELS)}")
    return value.upper()


def _whole_number(unit: str, lowest: int, highest: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"is not a whole number of {unit}") from None
        if not lowest <= number <= highest:
            raise ValueError(f"is not between {lowest} and {highest} {unit}")
        return number

    return parse


def _output(value: str) -> str:
    if value.lower() not in ("auto", *OUTPUTS):
        raise ValueError(f"is not one of auto, {', '.join(OUTPUTS)}")
    return value.lower()


def _switch(value: str) -> bool:
    if value.lower() not in SWITCHES:
        raise ValueError("is not true or false")
    return SWITCHES[value.lower()]


def _tolerance_px(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise ValueError("is not a number of pixels") from None
    if not 0 <= number <= 100:  # also refuses nan
        raise ValueError("is not between 0 and 100 pixels")
    return number


def _seconds(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise ValueError("is not a number of seconds") from None
    if not 0 < number <= 600:  # also refuses nan
        raise ValueError("is not between 0 and 600 seconds")
    return number


def _variable(
    name: str, default: Any, parse: Callable[[str], Any], meaning: str, *, secret: bool = False
) -> Any:
    metadata = {"variable": name, "parse": parse, "meaning": meaning}
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """What a user can set. Each field names its environment variable, default and meaning.

    Raises:
        SettingsError: from `from_environment`, listing every wrong variable at once.
    """

    label_studio_url: str | None = _variable(
        "LABEL_STUDIO_URL",
        None,
        _url,
        "Address of Label Studio as this service reaches it; without it, the address that "
        "Label Studio sends when it connects",
    )
    label_studio_api_key: str | None = _variable(
        "LABEL_STUDIO_API_KEY",
        None,
        _text,
        "Legacy token or personal access token, to fetch the tasks' images",
        secret=True,
    )
    basic_auth_user: str | None = _variable(
        "BASIC_AUTH_USER", None, _user, "User name that Label Studio must send"
    )
    basic_auth_pass: str | None = _variable(
        "BASIC_AUTH_PASS", None, _text, "Password that Label Studio must send", secret=True
    )
    log_level: str = _variable(
        "LOG_LEVEL", "INFO", _log_level, "DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )
    host: str = _variable(
        "MOBILESAM_HOST",
        "0.0.0.0",  # noqa: S104 - Label Studio is often on another machine or in a container
        _ip_address,
        "Address to listen on; the default is every IPv4 address of this machine, "
        "127.0.0.1 is for programs on this machine only",
    )
    port: int = _variable("PORT", 9090, _whole_number("ports", 1, 65535), "Port to listen on")
    threads: int = _variable(
        "THREADS",
        64,
        _whole_number("threads", 2, 512),
        "Requests served at once; more than the annotators that click at the same moment",
    )
    checkpoint: str = _variable(
        "MOBILESAM_CHECKPOINT",
        "official",
        _text,
        "official, demo, or the path of a .pt file",
    )
    device: str = _variable("MOBILESAM_DEVICE", "auto", _text, "auto, cpu, cuda or cuda:N")
    runtime: str = _variable(
        "MOBILESAM_RUNTIME",
        "auto",
        _one_of(*RUNTIMES),
        "auto, torch or openvino; auto is torch on CUDA and OpenVINO on a CPU",
    )
    precision: str = _variable(
        "MOBILESAM_PRECISION",
        "auto",
        _one_of(*PRECISIONS),
        "auto or float32; auto is the fastest that gives as good masks",
    )
    cache_mb: int = _variable(
        "MOBILESAM_CACHE_MB",
        512,
        _whole_number("megabytes", 16, 1_000_000),
        "Memory for image embeddings, with a GPU of both the GPU and the machine; "
        "2 MB an image with the official weights",
    )
    cache_dir: str | None = _variable(
        "MOBILESAM_CACHE_DIR",
        None,
        _folder,
        "Folder that keeps embeddings over restarts; several services may share it",
    )
    cache_dir_mb: int = _variable(
        "MOBILESAM_CACHE_DIR_MB",
        20_000,
        _whole_number("megabytes", 16, 100_000_000),
        "Room in that folder; what was not used for longest goes first",
    )
    redis_url: str | None = _variable(
        "MOBILESAM_REDIS_URL",
        None,
        _redis_url,
        "Redis (6.2 or newer) in which several services share their embeddings, such as "
        "redis://localhost:6379/0",
        secret=True,  # it may hold a password
    )
    redis_hours: int = _variable(
        "MOBILESAM_REDIS_HOURS",
        168,
        _whole_number("hours", 1, 100_000),
        "Time that an embedding stays in Redis after its last use",
    )
    prefetch_tasks: int = _variable(
        "MOBILESAM_PREFETCH_TASKS",
        3,
        _whole_number("tasks", 0, 100),
        "Tasks of a project that are embedded ahead of the one that is open; 0 turns it off",
    )
    max_image_mb: int = _variable(
        "MOBILESAM_MAX_IMAGE_MB",
        100,
        _whole_number("megabytes", 1, 10_000),
        "Largest image file that is fetched",
    )
    max_pixels: int = _variable(
        "MOBILESAM_MAX_PIXELS",
        100_000_000,
        _whole_number("pixels", 1, 10_000_000_000),
        "Largest image, width times height, that is decoded",
    )
    fetch_timeout_s: float = _variable(
        "MOBILESAM_FETCH_TIMEOUT_S", 20.0, _seconds, "Time to fetch one image, in seconds"
    )
    allow_hosts: tuple[AllowedHost, ...] = _variable(
        "MOBILESAM_ALLOW_HOSTS",
        (),
        parse_allowed_hosts,
        "Hosts that images may come from although their addresses are private or loopback ones: "
        "names, addresses or networks, such as images.lan:8000,10.0.0.0/24",
    )
    max_request_mb: int = _variable(
        "MOBILESAM_MAX_REQUEST_MB",
        512,
        _whole_number("megabytes", 1, 10_000),
        "Largest request that is read; a draft of 100 brush regions is some megabytes",
    )
    max_tasks: int = _variable(
        "MOBILESAM_MAX_TASKS",
        100_000,
        _whole_number("tasks", 1, 10_000_000),
        "Most tasks of one request; Retrieve Predictions sends all that are selected in one",
    )
    max_regions: int = _variable(
        "MOBILESAM_MAX_REGIONS",
        1000,
        _whole_number("regions", 1, 1_000_000),
        "Most regions that come with one click",
    )
    max_waiting: int | None = _variable(
        "MOBILESAM_MAX_WAITING",
        None,
        _whole_number("clicks", 1, 511),
        "Clicks that may wait for their images at once, others are answered 503; without it, "
        "seven eighths of THREADS",
    )
    output: str = _variable(
        "MOBILESAM_OUTPUT",
        "auto",
        _output,
        "What a mask is answered as where the project has controls for several: brush, bitmask, "
        "polygon or rectangle; auto takes the first of them",
    )
    polygon_tolerance_px: float = _variable(
        "MOBILESAM_POLYGON_TOLERANCE_PX",
        1.0,
        _tolerance_px,
        "How far a polygon's outline may be from the mask's, in pixels of the image; more gives "
        "fewer points",
    )
    min_island_px: int = _variable(
        "MOBILESAM_MIN_ISLAND_PX",
        0,
        _whole_number("pixels", 0, 10_000_000_000),
        "Parts of a mask with fewer pixels are dropped, but never the largest",
    )
    min_hole_px: int = _variable(
        "MOBILESAM_MIN_HOLE_PX",
        0,
        _whole_number("pixels", 0, 10_000_000_000),
        "Holes in a mask with fewer pixels are filled",
    )
    keep_clicked_parts: bool = _variable(
        "MOBILESAM_KEEP_CLICKED_PARTS",
        False,
        _switch,
        "true drops the parts of a mask that hold no positive click, if one does",
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read all settings; an empty variable counts as not set.

        Args:
            environment: variable -> value; `os.environ` if not given.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        problems: list[str] = []
        for item in fields(cls):
            name = item.metadata["variable"]
            text = environment.get(name, "").strip()
            if not text:
                continue
            try:
                values[item.name] = item.metadata["parse"](text)
            except ValueError as error:
                shown = repr(text) if item.repr else "***"
                problems.append(f"{name}={shown} {error}")
        if ("basic_auth_user" in values) != ("basic_auth_pass" in values):
            problems.append("BASIC_AUTH_USER and BASIC_AUTH_PASS are not both set")
        threads = values.get("threads", cls.threads)
        if (values.get("max_waiting") or 0) >= threads:
            problems.append(
                f"MOBILESAM_MAX_WAITING={values['max_waiting']} is not less than "
                f"THREADS={threads}: none would be left for clicks that need not wait"
            )
        # The key would otherwise go to any address that a /setup request names.
        without_url = not environment.get("LABEL_STUDIO_URL", "").strip()
        if "label_studio_api_key" in values and without_url:
            problems.append("LABEL_STUDIO_API_KEY is set and LABEL_STUDIO_URL is not")
        if problems:
            raise SettingsError("\n".join(problems), remedy="correct them and start again")
        return cls(**values)
