"""What keeps a task's image from being fetched, in words that say what to do about it."""

import re
from dataclasses import dataclass

from backend.core.errors import ImageTooLargeError, ImageUndecodableError, ImageUnreachableError
from backend.core.text import on_one_line, without_secrets
from backend.transport.addresses import ForbiddenAddressError
from backend.transport.transport import Answer, TransportError

# Where Label Studio keeps files of its own, below its base path.
LABEL_STUDIO_PATH = re.compile(r"/data/(upload|local-files)/")


@dataclass(frozen=True)
class _Refusal:
    """An answer of Label Studio's, and what it means."""

    path: str
    status: int | None
    meaning: str
    remedy: str
    mark: bytes = b""  # words in the body


_UPLOAD_GONE = (
    "the uploaded file is gone from Label Studio",
    "import the image again, or delete the task",
)
_REFUSALS = (
    _Refusal("/data/upload/", 404, *_UPLOAD_GONE),
    _Refusal("/data/upload/", 500, *_UPLOAD_GONE, mark=b"NoneType"),
    _Refusal(
        "/data/local-files/",
        403,
        "local files serving is off",
        "start Label Studio with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true",
        mark=b"LOCAL_FILES_SERVING_ENABLED",
    ),
    _Refusal(
        "/data/local-files/",
        404,
        "no such file, or no Local Files storage for its folder",
        "check the path below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT, and that the project has a "
        "Local Files storage for its folder (Settings > Cloud Storage)",
    ),
    _Refusal(
        "/data/local-files/",
        500,
        "the path leads out of the served folder",
        "keep it below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT",
        mark=b"outside",
    ),
    _Refusal(
        "/resolve/",
        404,
        "the project has no cloud storage for it",
        "add a storage with its bucket to the project (Settings > Cloud Storage)",
    ),
    _Refusal(
        "/resolve/",
        424,
        "the cloud storage did not give it",
        "check that the object exists, and the storage's credentials (Settings > Cloud Storage)",
    ),
    _Refusal(
        "/",
        403,
        "the token's user may not see it",
        "use the token of a user who may open the project",
    ),
    _Refusal("/", None, "not explained", "look into Label Studio's log"),
)


@dataclass(frozen=True)
class WantedImage:
    """An image that is asked for, and the errors about it.

    Args:
        uri: as it stands in the task's data.
        task_id: of the task.
    """

    uri: str
    task_id: int

    def __str__(self) -> str:
        """For messages: short, and without what may be a secret."""
        if self.is_data:
            return f"'{on_one_line(self.uri[:30])}...' ({len(self.uri)} characters)"
        # The query of a local file is its path; that of any other URL may hold a signature.
        _, local, path = self.uri.partition("/data/local-files/?d=")
        if local:
            return repr((local + path.partition("&")[0])[:200])
        if self.uri.startswith("/"):
            path, query, _ = self.uri.partition("?")
            return repr(path[:200] + ("?..." if query else ""))
        return f"'{without_secrets(self.uri)}'"

    @property
    def is_data(self) -> bool:
        """Whether it is a `data:` URI."""
        return self.uri[:5].lower() == "data:"

    @property
    def is_in_cloud(self) -> bool:
        """Whether it is an object in a cloud storage, such as `s3://bucket/key`."""
        return re.match(r"(?i)(?!https?:|file:|ftp:)[a-z][a-z0-9.+-]+://", self.uri) is not None

    def unreachable(self, why: str, remedy: str, short: str) -> ImageUnreachableError:
        """It cannot be fetched.

        Args:
            why: the whole reason.
            remedy: what to do.
            short: the reason in a few words, for the status line.
        """
        reason = f"Image not reachable: {short}".encode("ascii", "replace").decode()
        return ImageUnreachableError(
            f"cannot read image of task {self.task_id}: {why}", remedy=remedy, reason=reason[:99]
        )

    def needs_label_studio(self, why: str) -> ImageUnreachableError:
        """Only Label Studio can give it, and none is known."""
        return self.unreachable(
            f"{self} {why} and LABEL_STUDIO_URL is not set",
            "set it and LABEL_STUDIO_API_KEY",
            "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY",
        )

    def no_address(self, url: str) -> ImageUnreachableError:
        """Neither the task's value nor a redirect may be any text."""
        return self.unreachable(
            f"{url} is no address of an image",
            "put an http(s) URL, a path of Label Studio's such as /data/upload/1/a.jpg, a data: "
            "URI or a cloud storage's s3://bucket/key into the task",
            "not an address of an image",
        )

    def too_long(self, most: int) -> ImageUnreachableError:
        """An address that no server would take, and that takes long to look through."""
        return self.unreachable(
            f"its address, or one that it redirects to, has more than {most} characters",
            "put the image's address into the task, or the image as a data: URI",
            f"address of more than {most} characters",
        )

    def redirected_too_often(self, times: int) -> ImageUnreachableError:
        """It leads from address to address."""
        return self.unreachable(
            f"{self} was redirected more than {times} times",
            "open it in a browser, and put the address where it ends into the task",
            f"more than {times} redirects",
        )

    def not_answered(self, url: str, error: TransportError) -> ImageUnreachableError:
        """A host that is not Label Studio's did not answer."""
        return self.unreachable(
            f"{without_secrets(url)} {error}",
            error.remedy
            or f"check the address from the machine of this service{_perhaps_label_studio(url)}",
            f"{_host(url)} {error}",
        )

    def forbidden(self, url: str, error: ForbiddenAddressError) -> ImageUnreachableError:
        """A host whose address is none that images are fetched from."""
        if error.can_be_listed:
            remedy = (
                f"if it is an image host of yours, add {error.host} to MOBILESAM_ALLOW_HOSTS"
                + _perhaps_label_studio(url)
            )
            short = f"add {error.host} to MOBILESAM_ALLOW_HOSTS"
        else:
            remedy = "put the image where it has another address, and that into the task"
            short = f"{error.host} is never asked"
        return self.unreachable(f"{without_secrets(url)} {error}", remedy, short)

    def refused_by_label_studio(
        self, url: str, answer: Answer, *, may_quote: bool = True
    ) -> ImageUnreachableError:
        """Label Studio answered neither the image nor a redirect nor a 401."""
        detail = answer.field("detail") if may_quote else None
        said = f"{answer.status} ({on_one_line(detail[:200])})" if detail else f"{answer.status}"
        refusal = next(
            known
            for known in _REFUSALS
            if known.path in url
            and known.status in (answer.status, None)
            and known.mark in answer.body
        )
        return self.unreachable(
            f"Label Studio answered {said} to {self}: {refusal.meaning}",
            refusal.remedy,
            f"{answer.status} from Label Studio, {refusal.meaning}",
        )

    def refused_elsewhere(
        self, url: str, answer: Answer, *, by_label_studio: bool
    ) -> ImageUnreachableError:
        """Another host than Label Studio answered neither the image nor a redirect.

        Args:
            url: that was asked.
            answer: to it.
            by_label_studio: whether Label Studio redirected there.
        """
        code = re.search(rb"<Code>(\w+)</Code>", answer.body)  # S3 and its like explain so
        said = f"{answer.status} ({code[1].decode()})" if code else f"{answer.status}"
        place, host = without_secrets(url), _host(url)
        if not by_label_studio:
            return self.unreachable(
                f"{place} answered {said}",
                "check that the address opens in a browser without a login"
                + _perhaps_label_studio(url),
                f"{said} from {host}",
            )
        why = f"Label Studio sent {self} on to {place}, which answered {said}"
        if self.is_in_cloud:
            remedy = "check that the object exists, and the storage's credentials in the project"
            return self.unreachable(why, remedy, f"{said} from the cloud storage")
        return self.unreachable(
            f"{why} without being sent the token",
            "if that is Label Studio's right address, set LABEL_STUDIO_URL to it",
            f"Label Studio redirects to {host}, set LABEL_STUDIO_URL",
        )

    def too_large(self, max_mb: int) -> ImageTooLargeError:
        """The file has too many bytes."""
        return ImageTooLargeError(
            f"cannot read image of task {self.task_id}: {self} has more than {max_mb} MB",
            remedy="make the file smaller, or raise MOBILESAM_MAX_IMAGE_MB",
            reason=f"Image too large: more than {max_mb} MB",
        )

    def malformed_data(self, fault: str) -> ImageUndecodableError:
        """A `data:` URI that holds no file."""
        return ImageUndecodableError(
            f"cannot decode image of task {self.task_id}: {self} {fault}",
            remedy="write data:image/png;base64, and the whole file in base64",
            reason=f"Image not decodable: data: URI {fault}",
        )


def _host(url: str) -> str:
    """Host and port for messages, by hand: what `without_secrets` cuts off may be no URL."""
    return re.split("[/?]", without_secrets(url).partition("//")[2])[0]


def _perhaps_label_studio(url: str) -> str:
    if not LABEL_STUDIO_PATH.search(url):
        return ""
    return "; if it is Label Studio's, set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"
