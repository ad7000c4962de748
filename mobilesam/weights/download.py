"""The official weights: where they are, where they are kept, and how they get there undamaged."""

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Never

import requests
from filelock import FileLock, Timeout
from tqdm import tqdm
from urllib3.exceptions import MaxRetryError

from mobilesam.errors import DownloadError

ATTEMPTS = 4  # connections in a row that bring nothing new
BACKOFF_S = 0.25  # doubles with each of them
CHUNK_BYTES = 1 << 14  # the most that is fetched again when a connection breaks

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


class _InterruptedError(Exception):
    """This connection will bring no more; another one may."""


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


def download(
    file: WeightsFile = OFFICIAL,
    to: Path | None = None,
    *,
    progress: bool | None = None,
    timeout_s: float = 20.0,
) -> Path:
    """Fetch a weights file, unless it is already there.

    A broken transfer continues where it stopped, in this call and in the next one. The file
    appears in one step, and only with the right size and SHA-256. Of several processes that call
    this at once, one fetches and the others wait for it. Proxies are taken from `http_proxy`,
    `https_proxy` and `no_proxy`.

    Args:
        file: what to fetch.
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
    path = default_checkpoint_path() if to is None else to
    try:
        if is_complete(path, file):
            return path
        if path.is_dir():
            raise DownloadError(f"{path} is a folder; give the path of a file, {path / file.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _one_process_at_a_time(path):
            if not is_complete(path, file):  # else the process that was waited for has brought it
                _replace(path, file, progress=progress, timeout_s=timeout_s)
    except OSError as error:
        raise DownloadError(
            f"cannot store {path}: {error}; that folder must be writable and have room for "
            f"{file.size_bytes:,} bytes: see to it, or set XDG_CACHE_HOME to another folder"
        ) from error
    return path


@contextmanager
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


def _replace(path: Path, file: WeightsFile, *, progress: bool | None, timeout_s: float) -> None:
    if path.exists():
        log.warning("%s is not %s and will be replaced: it is %s", path, file.name, _describe(path))
    part = path.with_name(f"{path.name}.part")
    if _size_bytes(part) > file.size_bytes:
        part.unlink()
    bar: tqdm[Never] = tqdm(
        desc=file.name,
        total=file.size_bytes,
        unit="B",
        unit_scale=True,
        disable=None if progress is None else not progress,
    )
    try:
        with bar, requests.Session() as session:
            _fetch(session, file, part, bar, timeout_s)
        _verify(part, file)
    except DownloadError as error:
        raise DownloadError(
            f"cannot download {file.name} ({file.size_bytes:,} bytes) from {file.url}: {error}; "
            f"try again, or fetch it by hand and put it at {path}, or use the bundled demo weights "
            f"with MOBILESAM_CHECKPOINT=demo"
        ) from error.__cause__
    with part.open("ab") as written:
        os.fsync(written.fileno())
    part.replace(path)


def _fetch(
    session: requests.Session, file: WeightsFile, part: Path, bar: "tqdm[Never]", timeout_s: float
) -> None:
    """Bring `part` to its full size, over as many connections as that takes."""
    most = at_start = _size_bytes(part)
    failures = 0
    while _size_bytes(part) < file.size_bytes:
        try:
            _receive(session, file, part, bar, timeout_s)
        except (_InterruptedError, requests.RequestException) as error:
            got = _size_bytes(part)
            failures = 0 if got > most else failures + 1
            most = max(most, got)
            reason = _reason(error)
            # Who has no network at all should learn it at once.
            offline = isinstance(error.args[0], MaxRetryError) and most == at_start
            if offline or failures == ATTEMPTS:
                raise DownloadError(f"{reason}; {got:,} bytes came so far") from error
            log.warning("%s: %s; trying again at byte %d", file.name, reason, got)
            time.sleep(BACKOFF_S * 2**failures)


def _receive(
    session: requests.Session, file: WeightsFile, part: Path, bar: "tqdm[Never]", timeout_s: float
) -> None:
    """Append to `part` what one connection brings."""
    have = _size_bytes(part)
    headers = {"Accept-Encoding": "identity"}  # compressed bytes could not be counted
    if have:
        headers["Range"] = f"bytes={have}-"
    with session.get(file.url, headers=headers, stream=True, timeout=timeout_s) as answer:
        _check_answer(answer, file, part, have)
        if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
            have = 0  # a server that knows no ranges sends all of it again
        bar.update(have - bar.n)
        with part.open("ab" if have else "wb") as output:
            for chunk in answer.iter_content(CHUNK_BYTES):
                output.write(chunk)
                bar.update(len(chunk))
                if output.tell() > file.size_bytes:
                    return  # too long, so not the file; an endless answer must not fill the disk
    if _size_bytes(part) < file.size_bytes:
        raise _InterruptedError("the answer ended early")


def _check_answer(answer: requests.Response, file: WeightsFile, part: Path, have: int) -> None:
    """Let only an answer pass whose body may be `file`, from byte `have` or from its beginning.

    Raises:
        _InterruptedError: another request may be answered better.
        DownloadError: it will not.
    """
    status = f"the server answered {answer.status_code} {answer.reason}"
    if answer.status_code >= 500 or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        raise _InterruptedError(status)
    size = answer.headers.get("Content-Length", "")
    misplaced = answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    if answer.status_code == HTTPStatus.PARTIAL_CONTENT:
        span, _, size = answer.headers.get("Content-Range", "").partition("/")
        misplaced = not span.startswith(f"bytes {have}-")
    if misplaced:
        part.unlink(missing_ok=True)
        raise _InterruptedError(f"{status} to a request for the bytes from {have:,}")
    if not answer.ok:
        raise DownloadError(status)
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError("the answer is a web page, perhaps of a proxy that wants a login")
    if size not in ("", "*", str(file.size_bytes)):
        raise DownloadError(f"the server has a file of {size} bytes there")


def _verify(part: Path, file: WeightsFile) -> None:
    if not is_complete(part, file):
        description = _describe(part)
        part.unlink()
        raise DownloadError(
            f"what came is {description}, not SHA-256 {file.sha256}, and was deleted"
        )


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
