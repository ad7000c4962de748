"""The download from a good server, through proxies, and to disks that take nothing."""

import hashlib
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from weights_server import PAYLOAD, Answer, Server, assert_fails, redirect, weights_at

from mobilesam.errors import DownloadError
from mobilesam.weights import download as module
from mobilesam.weights.download import (
    OFFICIAL,
    WeightsFile,
    default_checkpoint_path,
    download,
    is_complete,
)

# Where the file is, and whether it is the right one


def test_official_file_is_the_published_one():
    assert OFFICIAL.url.startswith("https://github.com/ChaoningZhang/MobileSAM/")
    assert OFFICIAL.url.endswith(OFFICIAL.name)
    assert OFFICIAL.size_bytes == 40_728_226
    assert len(bytes.fromhex(OFFICIAL.sha256)) == 32


@pytest.mark.parametrize(
    ("cache_home", "expected"),
    [
        pytest.param("/var/cache", "/var/cache/mobilesam/mobile_sam.pt", id="set"),
        pytest.param("", "/home/ann/.cache/mobilesam/mobile_sam.pt", id="empty"),
        pytest.param("cache", "/home/ann/.cache/mobilesam/mobile_sam.pt", id="relative"),
    ],
)
def test_default_checkpoint_path_follows_xdg(
    monkeypatch: pytest.MonkeyPatch, cache_home: str, expected: str
):
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("XDG_CACHE_HOME", cache_home)
    assert default_checkpoint_path() == Path(expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(PAYLOAD, True, id="right"),
        pytest.param(PAYLOAD[:-1], False, id="truncated"),
        pytest.param(PAYLOAD[:-1] + b"?", False, id="one byte changed"),
        pytest.param(None, False, id="missing"),
    ],
)
def test_is_complete_checks_size_and_sha256(
    tmp_path: Path, file: WeightsFile, content: bytes | None, expected: bool
):
    path = tmp_path / "mobile_sam.pt"
    if content is not None:
        path.write_bytes(content)
    assert is_complete(path, file) is expected


# The good server


def test_download_fetches_once(server: Server, file: WeightsFile, target: Path):
    assert download(file, target) == target
    assert target.read_bytes() == PAYLOAD
    assert {path.name for path in target.parent.iterdir()} == {target.name, f"{target.name}.lock"}
    download(file, target)
    assert server.asked == ["GET /mobile_sam.pt -"]


def test_download_goes_to_the_cache_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: WeightsFile
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download(file) == tmp_path / "mobilesam" / "mobile_sam.pt"


def test_download_follows_redirects(server: Server, file: WeightsFile, target: Path):
    server.answers = [redirect(f"{server.url}/elsewhere"), Answer()]
    download(file, target)
    assert server.asked == ["GET /mobile_sam.pt -", "GET /elsewhere -"]


@pytest.mark.parametrize(
    ("progress", "is_drawn"),
    [
        pytest.param(True, True, id="asked for"),
        pytest.param(False, False, id="refused"),
        pytest.param(None, False, id="no terminal"),
    ],
)
def test_progress_bar_counts_bytes_on_stderr(
    capsys: pytest.CaptureFixture[str],
    file: WeightsFile,
    target: Path,
    progress: bool | None,
    is_drawn: bool,
):
    download(file, target, progress=progress)
    output = capsys.readouterr()
    assert output.out == ""
    assert ("300k/300k" in output.err and "mobile_sam.pt" in output.err) is is_drawn


# A mirror


def test_mirror_is_asked_in_place_of_the_official_address(
    monkeypatch: pytest.MonkeyPatch, server: Server, target: Path
):
    monkeypatch.setattr(module, "OFFICIAL", weights_at("http://official.invalid"))
    monkeypatch.setenv(module.MIRROR, f"{server.url}/mirror.pt")
    download(to=target)
    assert target.read_bytes() == PAYLOAD
    assert server.asked == ["GET /mirror.pt -"]


def test_mirror_is_checked_like_the_official_address(
    monkeypatch: pytest.MonkeyPatch, server: Server, target: Path
):
    monkeypatch.setattr(module, "OFFICIAL", weights_at("http://official.invalid"))
    monkeypatch.setenv(module.MIRROR, f"{server.url}/mirror.pt")
    server.answers = [Answer(body=b"?" * len(PAYLOAD))]
    with pytest.raises(DownloadError, match="does not match the known hash"):
        download(to=target)
    assert not target.exists()


# Certificates


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_download_trusts_the_authority_that_a_variable_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: Server, target: Path, variable: str
):
    for other in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(other, raising=False)
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    options = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", *request, *options], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    file = weights_at(server.url.replace("http:", "https:"))
    assert_fails(file, target, "certificate verify failed")
    monkeypatch.setenv(variable, str(certificate))
    assert download(file, target).read_bytes() == PAYLOAD


# Another file is in the place


def test_wrong_file_is_described_and_replaced(
    caplog: pytest.LogCaptureFixture, file: WeightsFile, target: Path
):
    target.parent.mkdir()
    target.write_bytes(b"my own weights, fine-tuned")
    download(file, target)
    assert target.read_bytes() == PAYLOAD
    sha256 = hashlib.sha256(b"my own weights, fine-tuned").hexdigest()
    assert "26 bytes beginning with b'my own weights, '" in caplog.text
    assert sha256 in caplog.text


def test_wrong_file_stays_until_the_right_one_came(server: Server, file: WeightsFile, target: Path):
    target.parent.mkdir()
    target.write_bytes(b"my own weights")
    server.answers = [Answer(status=404)]
    with pytest.raises(DownloadError):
        download(file, target)
    assert target.read_bytes() == b"my own weights"


# Disks


def test_full_disk_is_a_named_error(
    monkeypatch: pytest.MonkeyPatch, file: WeightsFile, target: Path
):
    """`/dev/full` takes nothing."""

    @contextmanager
    def on_a_full_disk(path: str | None = None) -> Iterator[str]:
        yield "/dev/full"

    monkeypatch.setattr("pooch.core.temporary_file", on_a_full_disk)
    assert_fails(file, target, "No space left on device", "300,000 bytes", "XDG_CACHE_HOME")


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param("/sys/mobilesam", id="read-only"),
        pytest.param("/dev/null/mobilesam", id="not a folder"),
    ],
)
def test_folder_that_cannot_be_written_is_a_named_error(file: WeightsFile, folder: str):
    assert_fails(file, Path(folder) / "mobile_sam.pt", "cannot store", "writable")


def test_target_that_is_a_folder_is_a_named_error(server: Server, file: WeightsFile, target: Path):
    target.mkdir(parents=True)
    assert_fails(file, target, "is a folder", str(target / "mobile_sam.pt"))
    assert server.asked == []


def test_file_that_is_there_needs_no_lock(
    monkeypatch: pytest.MonkeyPatch, file: WeightsFile, target: Path
):
    """The weights may lie on a read-only volume."""
    download(file, target)
    monkeypatch.setattr(module, "FileLock", lambda _: pytest.fail("writes a lock"))
    assert download(file, target) == target


# Proxies


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_download_goes_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch, server: Server, target: Path, variable: str
):
    monkeypatch.setenv(variable, server.url)
    download(weights_at("http://weights.invalid"), target)
    assert server.asked == ["GET http://weights.invalid/mobile_sam.pt -"]


def test_https_goes_through_the_proxy_and_its_refusal_is_named(
    monkeypatch: pytest.MonkeyPatch, server: Server, target: Path
):
    monkeypatch.setenv("https_proxy", server.url)
    assert_fails(weights_at("https://weights.invalid"), target, "403 Forbidden")
    assert server.asked == ["CONNECT weights.invalid:443 -"]


def test_no_proxy_is_honoured(
    monkeypatch: pytest.MonkeyPatch, file: WeightsFile, target: Path, closed_port: int
):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    download(file, target)
    assert target.read_bytes() == PAYLOAD
