"""The settings of the service: one frozen dataclass, read once from environment variables."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from backend.core.errors import SettingsError
from backend.core.outputs import OUTPUTS
from backend.settings.values import (
    folder,
    host_names,
    ip_address,
    number,
    one_of,
    redis_url,
    switch,
    text,
    url,
    user_name,
    whole_number,
)
from backend.transport.addresses import AllowedHost, parse_allowed_hosts
from mobilesam.runtimes.options import PRECISIONS, RUNTIMES

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def _variable(
    name: str, default: Any, read: Callable[[str], Any], meaning: str, *, secret: bool = False
) -> Any:
    metadata = {"variable": name, "read": read, "meaning": meaning}
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
        url,
        "Address of Label Studio as this service reaches it; without it, the address that "
        "Label Studio sends when it connects",
    )
    label_studio_api_key: str | None = _variable(
        "LABEL_STUDIO_API_KEY",
        None,
        text,
        "Legacy token or personal access token, to fetch the tasks' images",
        secret=True,
    )
    basic_auth_user: str | None = _variable(
        "BASIC_AUTH_USER", None, user_name, "User name that Label Studio must send"
    )
    basic_auth_pass: str | None = _variable(
        "BASIC_AUTH_PASS", None, text, "Password that Label Studio must send", secret=True
    )
    log_level: str = _variable(
        "LOG_LEVEL", "INFO", one_of(*LOG_LEVELS), "DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )
    host: str = _variable(
        "MOBILESAM_HOST",
        "0.0.0.0",  # noqa: S104 - Label Studio is often on another machine or in a container
        ip_address,
        "Address to listen on; the default is every IPv4 address of this machine, "
        "127.0.0.1 is for programs on this machine only",
    )
    port: int = _variable("PORT", 9090, whole_number("ports", 1, 65535), "Port to listen on")
    trusted_hosts: tuple[str, ...] = _variable(
        "MOBILESAM_TRUSTED_HOSTS",
        (),
        host_names,
        "Names, separated by commas, by which browsers may use the page without https, besides "
        "addresses, names without a dot, .local, .lan and .internal; any other could be a hostile "
        "site's that leads here. Not needed with https or a password",
    )
    threads: int = _variable(
        "THREADS",
        64,
        whole_number("threads", 2, 512),
        "Requests served at once; more than the annotators that click at the same moment",
    )
    checkpoint: str = _variable(
        "MOBILESAM_CHECKPOINT",
        "official",
        text,
        "official, demo, or the path of a .pt file",
    )
    weights_url: str | None = _variable(
        "MOBILESAM_WEIGHTS_URL",
        None,
        url,
        "Mirror of the official weights: the address of mobile_sam.pt; without it, GitHub",
    )
    device: str = _variable("MOBILESAM_DEVICE", "auto", text, "auto, cpu, cuda or cuda:N")
    runtime: str = _variable(
        "MOBILESAM_RUNTIME",
        "auto",
        one_of(*RUNTIMES),
        "auto, torch or openvino; auto is torch on CUDA and OpenVINO on a CPU",
    )
    precision: str = _variable(
        "MOBILESAM_PRECISION",
        "auto",
        one_of(*PRECISIONS),
        "auto, float32 or float16 (torch only); auto is the fastest that gives as good masks",
    )
    cache_mb: int = _variable(
        "MOBILESAM_CACHE_MB",
        512,
        whole_number("megabytes", 16, 1_000_000),
        "Memory for image embeddings, with a GPU of both the GPU and the machine; "
        "2 MB an image with the official weights",
    )
    zoom: str = _variable(
        "MOBILESAM_ZOOM",
        "auto",
        one_of("auto", "on", "off"),
        "auto, on or off: whether small objects are segmented in a window of the image, at the "
        "cost of an encode; auto is on where an encode takes under 400 ms",
    )
    pixels_mb: int = _variable(
        "MOBILESAM_PIXELS_MB",
        256,
        whole_number("megabytes", 16, 1_000_000),
        "Memory for the images in work, from which zoom cuts its windows",
    )
    cache_dir: str | None = _variable(
        "MOBILESAM_CACHE_DIR",
        None,
        folder,
        "Folder that keeps embeddings over restarts; several services may share it",
    )
    cache_dir_mb: int = _variable(
        "MOBILESAM_CACHE_DIR_MB",
        20_000,
        whole_number("megabytes", 16, 100_000_000),
        "Room in that folder; what was not used for longest goes first",
    )
    redis_url: str | None = _variable(
        "MOBILESAM_REDIS_URL",
        None,
        redis_url,
        "Redis (6.2 or newer) in which several services share their embeddings, such as "
        "redis://localhost:6379/0",
        secret=True,  # it may hold a password
    )
    redis_hours: int = _variable(
        "MOBILESAM_REDIS_HOURS",
        168,
        whole_number("hours", 1, 100_000),
        "Time that an embedding stays in Redis after its last use",
    )
    prefetch_tasks: int = _variable(
        "MOBILESAM_PREFETCH_TASKS",
        3,
        whole_number("tasks", 0, 100),
        "Tasks of a project that are embedded ahead of the one that is open; 0 turns it off",
    )
    max_image_mb: int = _variable(
        "MOBILESAM_MAX_IMAGE_MB",
        100,
        whole_number("megabytes", 1, 10_000),
        "Largest image file that is fetched",
    )
    max_pixels: int = _variable(
        "MOBILESAM_MAX_PIXELS",
        100_000_000,
        whole_number("pixels", 1, 10_000_000_000),
        "Largest image, width times height, that is decoded",
    )
    fetch_timeout_s: float = _variable(
        "MOBILESAM_FETCH_TIMEOUT_S",
        20.0,
        number("seconds", 600, may_be_zero=False),
        "Time to fetch one image, in seconds",
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
        whole_number("megabytes", 1, 10_000),
        "Largest request that is read; a draft of 100 brush regions is some megabytes",
    )
    max_tasks: int = _variable(
        "MOBILESAM_MAX_TASKS",
        100_000,
        whole_number("tasks", 1, 10_000_000),
        "Most tasks of one request; Retrieve Predictions sends all that are selected in one",
    )
    max_regions: int = _variable(
        "MOBILESAM_MAX_REGIONS",
        1000,
        whole_number("regions", 1, 1_000_000),
        "Most regions that come with one click",
    )
    max_waiting: int | None = _variable(
        "MOBILESAM_MAX_WAITING",
        None,
        whole_number("clicks", 1, 511),
        "Clicks that may wait for their images at once, others are answered 503; without it, "
        "seven eighths of THREADS",
    )
    output: str = _variable(
        "MOBILESAM_OUTPUT",
        "auto",
        one_of("auto", *OUTPUTS),
        "What a mask is answered as where the project has controls for several: brush, bitmask, "
        "polygon or rectangle; auto takes the first of them",
    )
    polygon_tolerance_px: float = _variable(
        "MOBILESAM_POLYGON_TOLERANCE_PX",
        1.0,
        number("pixels", 100, may_be_zero=True),
        "How far a polygon's outline may be from the mask's, in pixels of the image; more gives "
        "fewer points",
    )
    min_island_px: int = _variable(
        "MOBILESAM_MIN_ISLAND_PX",
        0,
        whole_number("pixels", 0, 10_000_000_000),
        "Parts of a mask with fewer pixels are dropped, but never the largest",
    )
    min_hole_px: int = _variable(
        "MOBILESAM_MIN_HOLE_PX",
        0,
        whole_number("pixels", 0, 10_000_000_000),
        "Holes in a mask with fewer pixels are filled",
    )
    keep_clicked_parts: bool = _variable(
        "MOBILESAM_KEEP_CLICKED_PARTS",
        False,
        switch,
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
            given = environment.get(name, "").strip()
            if not given:
                continue
            try:
                values[item.name] = item.metadata["read"](given)
            except ValueError as error:
                shown = repr(given) if item.repr else "***"
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
