"""Which Label Studio a project belongs to, and how far its images may lead."""

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from backend.label_studio.client import LabelStudio
from backend.settings.settings import Settings
from backend.transport.addresses import NetworkPolicy
from backend.transport.transport import close_kept_connections, origin

PROJECTS_REMEMBERED = 1000  # a few hundred bytes each
IDLE_S = 7 * 86400.0

log = logging.getLogger(__name__)


_Said = tuple[str | None, str | None, str | None]  # hostname, access token, sender


class Connections:
    """Which Label Studio a project belongs to, as the settings and its /setup requests say.

    Label Studio names its address and a token in /setup, and only the project in /predict. The
    rule that keeps credentials where they belong: LABEL_STUDIO_API_KEY goes to LABEL_STUDIO_URL
    and nowhere else, whatever address a request names. Without LABEL_STUDIO_URL, the address that
    /setup names is taken. /setup is unauthenticated unless Basic auth is on. To prevent SSRF, a
    private address is accepted only if the request came from it. Safe under threads.

    Args:
        settings: LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY come before what /setup says.
        capacity: how many projects are remembered, of those that are in use and of the others each.
            Of the others the least recently used goes first. One in use is never pushed out by a
            /setup; only another project that comes into use takes its place, once it was idle for
            `IDLE_S`.
    """

    def __init__(self, settings: Settings, *, capacity: int = PROJECTS_REMEMBERED) -> None:
        self._settings = settings
        self._reach = NetworkPolicy(settings.allow_hosts)
        self._configured: LabelStudio | None = None
        if settings.label_studio_url is not None:
            self._configured = self._at(settings.label_studio_url, settings.label_studio_api_key)
        self._capacity = capacity
        self._lock = threading.Lock()
        self._others: OrderedDict[str, _Setup] = OrderedDict()
        self._in_use: OrderedDict[str, _Setup] = OrderedDict()

    def remember(
        self,
        project: str,
        hostname: str | None,
        access_token: str | None,
        *,
        sender: str | None = None,
    ) -> None:
        """Take in what a /setup request says; it replaces what an earlier one said.

        Args:
            project: "<id>.<unix time of creation>", as in every request.
            hostname: Label Studio's address as it knows it; ignored unless it is an http(s) URL.
            access_token: legacy token of the project's creator.
            sender: IP address that the request came from; None if it is known to be Label Studio's.
        """
        said = (_http_url(hostname), access_token or None, sender)
        with self._lock:
            known = self._in_use.get(project) or self._others.get(project)
            if known and known.said == said:
                setup = known
            elif project in self._in_use and not self._may_replace(self._in_use[project], said):
                log.info(
                    "a /setup of project %s that names another Label Studio is ignored", project
                )
                return
            else:
                setup = _Setup(said, self._server(*said), known.used_at if known else 0.0)
            # Only Label Studio knows a token that works there: a new project of the same one.
            is_known = any(said == each.said for each in self._in_use.values())
            if project in self._in_use or (is_known and len(self._in_use) < self._capacity):
                setup.used_at = setup.used_at or time.monotonic()
                self._in_use[project] = setup
                return
            self._others.pop(project, None)
            self._others[project] = setup
            while len(self._others) > self._capacity:
                self._others.popitem(last=False)

    def confirm(self, project: str) -> None:
        """Note that the Label Studio of a project has answered well: the project is in use."""
        now = time.monotonic()
        with self._lock:
            setup = self._in_use.pop(project, None) or self._others.get(project)
            if setup is None:
                return
            setup.used_at = now
            if len(self._in_use) >= self._capacity:
                oldest, idle = next(iter(self._in_use.items()))
                if now - idle.used_at < IDLE_S:
                    return
                del self._in_use[oldest]
            self._others.pop(project, None)
            self._in_use[project] = setup

    def find(self, project: str) -> LabelStudio | None:
        """The Label Studio of a project; None if neither a setting nor a /setup names one."""
        setup = self._setup(project)
        return self._configured if setup is None else setup.server

    def hostname(self, project: str) -> str | None:
        """Label Studio's own name for its address, which may stand in front of its paths."""
        setup = self._setup(project)
        return None if setup is None else setup.said[0]

    def reach(self, project: str) -> NetworkPolicy:
        """How far the fetches of a project's images may reach."""
        server = self.find(project)
        return self._reach if server is None else server.reach

    def close(self) -> None:
        """Close the connections that are kept for the next call."""
        close_kept_connections()

    def _setup(self, project: str) -> "_Setup | None":
        with self._lock:
            if project in self._others:
                self._others.move_to_end(project)
            return self._in_use.get(project) or self._others.get(project)

    def _may_replace(self, known: "_Setup", said: "_Said") -> bool:
        """Whether a /setup of a project in use may come from its Label Studio.

        Anybody can send one. Label Studio has a password, the token that nobody else knows, or a
        new token at the same place.
        """
        (hostname, token, sender), (known_hostname, known_token, known_sender) = said, known.said
        return (
            sender is None
            or (token is not None and token == known_token)
            or (hostname, sender) == (known_hostname, known_sender)
            or time.monotonic() - known.used_at > IDLE_S
        )

    def _server(
        self, hostname: str | None, access_token: str | None, sender: str | None
    ) -> LabelStudio | None:
        url = self._settings.label_studio_url
        if url is None:
            if hostname is None:
                return None
            return self._at(
                hostname, access_token, url_is_set=False, token_is_set=False, seen_at=sender
            )
        if self._settings.label_studio_api_key is not None or access_token is None:
            return self._configured
        return self._at(url, access_token, token_is_set=False)

    def _at(
        self, url: str, token: str | None, *, seen_at: str | None = None, **kind: bool
    ) -> LabelStudio:
        reach = replace(self._reach, trusted=origin(url), seen_at=seen_at)
        return LabelStudio(url, token, reach=reach, **kind)


@dataclass(repr=False)  # no token in a log
class _Setup:
    said: "_Said"
    server: LabelStudio | None
    used_at: float = 0.0  # of time.monotonic()


def _http_url(text: str | None) -> str | None:
    url = (text or "").strip().rstrip("/")
    try:
        scheme, host, _ = origin(url)
    except ValueError:
        return None
    return url if scheme in ("http", "https") and host else None
