"""The official weights: where they are, where they are kept, and how they get there undamaged."""

import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Never

from filelock import FileLock, Timeout
from tqdm import tqdm

from mobilesam.errors import DownloadError

MIRROR = "MOBILESAM_WEIGHTS_URL"
RETRIES = 2  # of a transfer that broke off or brought something else; after 1 s and 2 s

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightsFile:
    """A published weights file: its name and address, and what tells it from any other file."""

    name: str
    url: str
    size_bytes: int
    sha256: str


OFFICIAL = WeightsFile(
    name="mobile_sam.pt",
    url="https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
    size_bytes=40_728_226,
    sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
)


def cache_folder() -> Path:
    """Where this package keeps files: in the user's cache folder, as XDG defines it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # not set, or relative, which XDG says to ignore
        cache = Path.home() / ".cache"
    return cache / "mobilesam"


def default_checkpoint_path() -> Path:
    """Where the official weights are kept."""
    return cache_folder() / OFFICIAL.name


def is_complete(path: Path, file: WeightsFile = OFFICIAL) -> bool:
    """Whether `path` holds exactly `file`, by size and SHA-256."""
    return _size_bytes(path) == file.size_bytes and _sha256(path) == file.sha256


def official() -> WeightsFile:
    """`OFFICIAL`, from the mirror that MOBILESAM_WEIGHTS_URL names if it is set."""
    return replace(OFFICIAL, url=os.environ.get(MIRROR, "").strip() or OFFICIAL.url)


def download(
    file: WeightsFile | None = None,
    to: Path | None = None,
    *,
    progress: bool | None = None,
    timeout_s: float = 20.0,
) -> Path:
    """Fetch a weights file, unless it is already there.

    The file appears in one step, and only with the right size and SHA-256. Of several processes
    that call this at once, one fetches and the others wait for it. Proxies are taken from
    `http_proxy`, `https_proxy` and `no_proxy`, certificate authorities from `REQUESTS_CA_BUNDLE`.

    Args:
        file: what to fetch; `official()` if not given.
        to: where to put it; `default_checkpoint_path()` if not given. A file that is there and is
            not `file` is described in the log, and replaced once `file` has come.
        progress: whether to draw a progress bar on stderr; None draws it on a terminal only.
        timeout_s: how long to wait for a connection, and for each next byte.

    Returns:
        The path of the verified file.

    Raises:
        DownloadError: the file could not be fetched, was not the right one, or could not be
            stored. The message says which, and what to do.
    """
    file = file or official()
    path = default_checkpoint_path() if to is None else to
    try:
        if is_complete(path, file):
            return path
        if path.is_dir():
            raise DownloadError(f"{path} is a folder; give the path of a file, {path / file.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _one_process_at_a_time(path):
            if not is_complete(path, file):  # else the process that was waited for has brought it
                _fetch(path, file, progress=progress, timeout_s=timeout_s)
    except OSError as error:
        raise DownloadError(
            f"cannot store {path}: {error}; that folder must be writable and have room for "
            f"{file.size_bytes:,} bytes: see to it, or set XDG_CACHE_HOME to another folder"
        ) from error
    return path


@contextlib.contextmanager
def _one_process_at_a_time(path: Path) -> Iterator[None]:
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.warning("another process is downloading %s: waiting for it", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch(path: Path, file: WeightsFile, *, progress: bool | None, timeout_s: float) -> None:
    """Have pooch bring the file: to a temporary one beside it, checked, and renamed."""
    # Imported only where something is fetched: most starts need none of them.
    import pooch  # noqa: PLC0415
    import requests  # noqa: PLC0415
    from urllib3.exceptions import MaxRetryError  # noqa: PLC0415

    pooch.get_logger().setLevel(logging.WARNING)  # its INFO lines quote the whole URL
    if path.exists():
        log.warning("%s is not %s and will be replaced: it is %s", path, file.name, _describe(path))
    bar: tqdm[Never] = tqdm(
        desc=file.name,
        total=file.size_bytes,
        unit="B",
        unit_scale=True,
        disable=None if progress is None else not progress,
    )
    answers = contextlib.ExitStack()

    def take(answer: requests.Response, **_: Any) -> None:
        answers.callback(answer.close)  # pooch leaves it open where it fails
        _check_answer(answer, file)

    http = pooch.HTTPDownloader(
        progressbar=bar,
        timeout=timeout_s,
        headers={"Accept-Encoding": "identity"},  # compressed bytes could not be counted
        hooks={"response": take},
        verify=_authorities(),
    )

    def transfer(url: str, output: str, keeper: Any) -> None:
        bar.reset()
        try:
            with answers:
                http(url, output, keeper)
        except requests.ConnectionError as error:
            # Who has no network at all should learn it at once.
            if isinstance(error.args[0], MaxRetryError):
                raise DownloadError(_reason(error)) from error
            raise

    keeper = pooch.create(
        path=path.parent.absolute(),
        base_url="",
        registry={path.name: f"sha256:{file.sha256}"},
        urls={path.name: file.url},
        retry_if_failed=RETRIES,
    )
    try:
        with bar:
            keeper.fetch(path.name, downloader=transfer)
    except (DownloadError, requests.RequestException, ValueError) as error:
        # A ValueError is pooch's word for another hash.
        reason = _reason(error) if isinstance(error, requests.RequestException) else error
        place = re.sub(r"//[^/@]*@", "//", file.url)  # no password
        raise DownloadError(
            f"cannot download {file.name} ({file.size_bytes:,} bytes) from {place}: {reason}; "
            f"try again, set {MIRROR} to a mirror of the file, fetch it by hand and put it at "
            f"{path}, or use the bundled demo weights with MOBILESAM_CHECKPOINT=demo"
        ) from error


def _authorities() -> str | bool:
    """What requests trusts; it does not know OpenSSL's variable by itself."""
    known = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    is_told = any(os.environ.get(variable) for variable in known)
    return True if is_told else os.environ.get("SSL_CERT_FILE") or True


def _check_answer(answer: Any, file: WeightsFile) -> None:
    """Let only a redirect, what may be better the next time, or what may be `file` pass.

    Raises:
        DownloadError: another request will be answered alike.
    """
    if answer.is_redirect:
        return
    size = answer.headers.get("Content-Length", "unknown")  # endless, it would fill the disk
    is_page = answer.headers.get("Content-Type", "").startswith("text/html")
    if answer.ok and not is_page and size == str(file.size_bytes):
        return
    if answer.status_code >= 500 or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        return  # pooch tries again
    if not answer.ok:
        raise DownloadError(f"the server answered {answer.status_code} {answer.reason}")
    if is_page:
        raise DownloadError("the answer is a web page, perhaps of a proxy that wants a login")
    raise DownloadError(f"the server has a file of {size} bytes there")


def _reason(error: Exception) -> str:
    # urllib3 tells what happened inside the error that tells how often it was tried.
    return str(getattr(error.args[0], "reason", error))


def _describe(path: Path) -> str:
    with path.open("rb") as file:
        beginning = file.read(16)
    return f"{_size_bytes(path):,} bytes beginning with {beginning!r}, SHA-256 {_sha256(path)}"


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
