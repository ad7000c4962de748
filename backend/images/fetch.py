"""A task's image: from the string in its data to the bytes of the file."""

import base64
import binascii
import re
from urllib.parse import unquote, unquote_to_bytes

from backend.core.errors import ImageUnreachableError, LabelStudioError
from backend.core.text import without_secrets
from backend.core.units import MEGABYTE
from backend.images.faults import LABEL_STUDIO_PATH, WantedImage
from backend.label_studio.client import LabelStudio
from backend.label_studio.connections import Connections
from backend.settings.settings import Settings
from backend.transport.addresses import ForbiddenAddressError, NetworkPolicy
from backend.transport.transport import (
    Answer,
    BodyTooLargeError,
    Deadline,
    TransportError,
    exchange,
    origin,
)
from backend.transport.urls import (
    MAX_REDIRECTS,
    REDIRECTS,
    path_below,
    percent_encoded,
    redirect_target,
)

LONGEST_ADDRESS = 16_384  # characters; servers take 8 kB, and a signed one may have 4


class ImageLoader:
    """Fetches the images of tasks from wherever Label Studio and the settings let them be.

    Safe under threads. Private and loopback addresses are Label Studio's or listed in
    MOBILESAM_ALLOW_HOSTS; `NetworkPolicy` judges each hop as it is connected to.

    Label Studio's token goes to Label Studio's address and nowhere else: not to the host of an
    external image, not to a storage that Label Studio redirects to.

    Args:
        settings: the bounds of a fetch.
        connections: tell which Label Studio a project belongs to.
    """

    def __init__(self, settings: Settings, connections: Connections) -> None:
        self._timeout_s = settings.fetch_timeout_s
        self._max_mb = settings.max_image_mb
        self._connections = connections

    def fetch(self, uri: str, *, task_id: int, project: str) -> bytes:
        """Fetch the file of a task's image.

        Args:
            uri: as it stands in the task's data: a path of Label Studio's (`/data/upload/...`,
                `/data/local-files/?d=...`) with or without its address in front, an http(s) URL,
                a `data:` URI, or the address of an object in a cloud storage (`s3://...`).
            task_id: of the task; Label Studio resolves cloud addresses for it, errors name it.
            project: "<id>.<unix time of creation>", as in the request.

        Returns:
            The bytes as they came; whether they are a picture is seen when they are decoded.

        Raises:
            ImageUnreachableError: they cannot be fetched; says why and what to do.
            ImageTooLargeError: more than MOBILESAM_MAX_IMAGE_MB.
            ImageUndecodableError: a `data:` URI that is malformed.
        """
        wanted = WantedImage(uri.strip(), task_id)
        try:
            if wanted.is_data:
                return _data_uri(wanted, self._max_mb * MEGABYTE)
            if len(wanted.uri) > LONGEST_ADDRESS:
                raise wanted.too_long(LONGEST_ADDRESS)
            deadline = Deadline(self._timeout_s)
            url, server = self._locate(wanted, project)
            try:
                data = self._download(wanted, url, server, project, deadline)
            except ImageUnreachableError:
                # Label Studio's file under another of its names, such as its public one.
                found = LABEL_STUDIO_PATH.search(url)
                known = self._connections.find(project)
                if server or not found or not known:
                    raise
                server, url = known, known.url + _label_studio_path(wanted, url)
                data = self._download(wanted, url, server, project, deadline)
        except BodyTooLargeError:
            raise wanted.too_large(self._max_mb) from None
        except LabelStudioError as error:
            raise wanted.unreachable(error.message, error.remedy, error.reason) from None
        if server:
            self._connections.confirm(project)
        return data

    def _locate(self, wanted: WantedImage, project: str) -> tuple[str, LabelStudio | None]:
        """The address to ask first, and the Label Studio whose address that is."""
        uri, server = wanted.uri, self._connections.find(project)
        if uri.startswith("/") and not uri.startswith("//"):
            if server is None:
                raise wanted.needs_label_studio("has no host")
            return server.url + _label_studio_path(wanted, uri), server
        if re.match(r"https?://", uri, re.IGNORECASE):
            for base in (server and server.url, self._connections.hostname(project)):
                path = path_below(base, uri) if base else None
                if server and path:
                    return server.url + _label_studio_path(wanted, path), server
            return percent_encoded(uri), None
        if wanted.is_in_cloud:
            if server is None:
                raise wanted.needs_label_studio("is resolved by Label Studio")
            code = base64.urlsafe_b64encode(uri.encode(errors="replace")).decode()
            return f"{server.url}/tasks/{wanted.task_id}/resolve/?fileuri={code}", server
        raise wanted.no_address(str(wanted))

    def _download(
        self,
        wanted: WantedImage,
        url: str,
        server: LabelStudio | None,
        project: str,
        deadline: Deadline,
    ) -> bytes:
        reach = self._connections.reach(project)
        for _ in range(1 + MAX_REDIRECTS):
            _check_address(wanted, url)
            of_label_studio = server is not None and path_below(server.url, url) is not None
            if server and not of_label_studio and url.startswith(f"{server.url}/"):
                raise wanted.no_address(f"'{without_secrets(url)}', which may lead upwards,")
            if server and of_label_studio:
                answer = self._ask_label_studio(url, server, deadline)
            else:
                answer = self._ask(wanted, url, reach, deadline)
            if answer.status == 200:
                return answer.body
            location = answer.headers.get("Location")
            if answer.status in REDIRECTS and location:
                url = _redirected(wanted, url, location)
            elif of_label_studio:
                raise wanted.refused_by_label_studio(
                    url, answer, may_quote=server is not None and server.faults.may_quote
                )
            else:
                raise wanted.refused_elsewhere(url, answer, by_label_studio=server is not None)
        raise wanted.redirected_too_often(MAX_REDIRECTS)

    def _ask(
        self, wanted: WantedImage, url: str, reach: NetworkPolicy, deadline: Deadline
    ) -> Answer:
        try:
            max_bytes = self._max_mb * MEGABYTE
            return exchange("GET", url, deadline=deadline, max_bytes=max_bytes, reach=reach)
        except ForbiddenAddressError as error:
            raise wanted.forbidden(url, error) from None
        except TransportError as error:
            raise wanted.not_answered(url, error) from None

    def _ask_label_studio(self, url: str, server: LabelStudio, deadline: Deadline) -> Answer:
        try:
            return server.ask("GET", url, deadline=deadline, max_bytes=self._max_mb * MEGABYTE)
        except TransportError as error:
            raise server.faults.unreachable(error) from None


def _redirected(wanted: WantedImage, url: str, location: str) -> str:
    try:
        return redirect_target(url, location)
    except ValueError:
        raise wanted.no_address(f"'{without_secrets(location)}'") from None


def _check_address(wanted: WantedImage, url: str) -> None:
    """Refuse an address before it is asked. Every hop passes here, redirects too."""
    try:
        scheme, host, _ = origin(url)
    except ValueError:
        scheme, host = "", ""
    if scheme not in ("http", "https") or not host:
        raise wanted.no_address(f"'{without_secrets(url)}'")


def _label_studio_path(wanted: WantedImage, path: str) -> str:
    """A path below Label Studio's address, which may have its own base path in front here.

    Label Studio knows no fragments: a `#` belongs to a file's name.
    """
    known = LABEL_STUDIO_PATH.search(path)
    if ".." in unquote(path.partition("?")[0]).replace("\\", "/").split("/"):
        raise wanted.no_address(f"{wanted}, which leads upwards,")  # out of the base path, say
    return percent_encoded(path[known.start() :] if known else path).replace("#", "%23")


def _data_uri(wanted: WantedImage, max_bytes: int) -> bytes:
    head, comma, text = wanted.uri.partition(",")
    if not comma:
        raise wanted.malformed_data("has no comma")
    data = unquote_to_bytes(text.encode(errors="replace"))
    if head.rstrip().lower().endswith(";base64"):
        digits = re.sub(rb"[\s=]", b"", data)  # browsers take it with spaces and without padding
        try:
            data = base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
        except binascii.Error:
            raise wanted.malformed_data("is not base64") from None
    if len(data) > max_bytes:
        raise BodyTooLargeError
    return data
