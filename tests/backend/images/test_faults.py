"""What is said of an image that cannot be had: reason, message and remedy, and no secret."""

import shutil
import socket
import ssl
import subprocess
import traceback
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
from fake_label_studio import LEGACY_OFF, PERSONAL, Host, error
from image_sources import IMAGE, fetch, fetch_from, reason_of

from backend.core.errors import ImageUndecodableError, ImageUnreachableError


def test_path_without_a_label_studio_names_the_settings():
    with pytest.raises(ImageUnreachableError) as caught:
        fetch("/data/upload/1/a.jpg")
    assert str(caught.value) == (
        "cannot read image of task 4: '/data/upload/1/a.jpg' has no host and LABEL_STUDIO_URL "
        "is not set; set it and LABEL_STUDIO_API_KEY"
    )
    assert reason_of(caught) == (
        "Image not reachable: set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"
    )


def test_cloud_image_without_a_label_studio_names_the_settings():
    with pytest.raises(ImageUnreachableError, match="set it and LABEL_STUDIO_API_KEY"):
        fetch("s3://photos/a.jpg")


def gone():
    return error(500, "'NoneType' object has no attribute 'has_permission'")


def outside():
    return error(500, "The joined path (/etc/passwd) is located outside of the base path component")


SERVING_OFF = b"... You can enable it with LOCAL_FILES_SERVING_ENABLED environment variable ..."
UPLOAD, LOCAL, CLOUD = "/data/upload/1/a.jpg", "/data/local-files/?d=b/a.jpg", "s3://photos/a.jpg"


@pytest.mark.parametrize(
    ("uri", "answer", "words", "reason"),
    [
        pytest.param(
            UPLOAD,
            gone(),
            ["answered 500 ('NoneType' object", "gone from Label Studio; import the image again"],
            "500 from Label Studio, the uploaded file is gone from Label Studio",
            id="upload-deleted",
        ),
        pytest.param(
            UPLOAD,
            (404, {}, b""),
            ["answered 404 to '/data/upload/1/a.jpg': the uploaded file is gone"],
            "404 from Label Studio, the uploaded file is gone from Label Studio",
            id="upload-file-missing",
        ),
        pytest.param(
            LOCAL,
            (404, {}, b""),
            ["'/data/local-files/?d=b/a.jpg'", "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"],
            "404 from Label Studio, no such file, or no Local Files storage for its folder",
            id="local-file-missing",
        ),
        pytest.param(
            LOCAL,
            (403, {}, SERVING_OFF),
            ["LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true"],
            "403 from Label Studio, local files serving is off",
            id="local-files-off",
        ),
        pytest.param(
            LOCAL,
            outside(),
            ["keep it below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"],
            "500 from Label Studio, the path leads out of the served folder",
            id="local-file-outside",
        ),
        pytest.param(
            CLOUD,
            (404, {}, b""),
            ["to 's3://photos/a.jpg'", "add a storage with its bucket"],
            "404 from Label Studio, the project has no cloud storage for it",
            id="cloud-no-storage",
        ),
        pytest.param(
            CLOUD,
            error(424, "An error occurred (NoSuchKey)"),
            ["answered 424 (An error occurred (NoSuchKey))", "check that the object exists"],
            "424 from Label Studio, the cloud storage did not give it",
            id="cloud-no-key",
        ),
        pytest.param(
            UPLOAD,
            (403, {}, b""),
            ["the token's user may not see it"],
            "403 from Label Studio, the token's user may not see it",
            id="forbidden",
        ),
        pytest.param(
            UPLOAD,
            error(503, "database is starting" + "." * 1000),
            ["answered 503 (database is starting...", "look into Label Studio's log"],
            "503 from Label Studio, not explained",
            id="other",
        ),
    ],
)
def test_refusal_of_label_studio_is_explained(label_studio, uri, answer, words, reason):
    label_studio.pages[uri] = label_studio.bucket[uri] = answer
    with pytest.raises(ImageUnreachableError, match=r"^cannot read image of task 4: ") as caught:
        fetch_from(label_studio, uri)
    assert [word for word in words if word not in str(caught.value)] == []
    assert reason_of(caught) == f"Image not reachable: {reason}"
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("uri", [UPLOAD, LOCAL, CLOUD])
def test_disabled_legacy_token_of_setup_is_explained(label_studio, uri):
    label_studio.tokens.legacy_enabled = False
    with pytest.raises(ImageUnreachableError) as caught:
        fetch(uri, setup=(label_studio.url, label_studio.tokens.legacy))
    assert LEGACY_OFF[-40:] in caught.value.message
    assert "to the legacy token from /setup" in caught.value.message
    assert "LABEL_STUDIO_API_KEY to a personal access token" in caught.value.remedy
    assert "turn legacy tokens on" in caught.value.remedy
    assert reason_of(caught) == (
        "Image not reachable: 401 from Label Studio, set LABEL_STUDIO_API_KEY"
    )


def test_wrong_personal_token_is_explained(label_studio):
    label_studio.tokens.personal = "another"
    with pytest.raises(ImageUnreachableError, match="Token is invalid") as caught:
        fetch_from(label_studio, UPLOAD, key=PERSONAL)
    assert str(caught.value).startswith("cannot read image of task 4: Label Studio at ")
    assert reason_of(caught) == (
        "Image not reachable: 401 from Label Studio, check LABEL_STUDIO_API_KEY"
    )


@pytest.mark.parametrize(
    ("is_set", "words"),
    [
        pytest.param(True, "check that it runs and that LABEL_STUDIO_URL is", id="set"),
        pytest.param(False, "set LABEL_STUDIO_URL to its address as seen from", id="setup"),
    ],
)
def test_label_studio_that_is_not_there_is_explained(is_set, words):
    with Host().running() as host:
        url = host.url
    settings = {"label_studio_url": url, "label_studio_api_key": "abc"} if is_set else {}
    with pytest.raises(ImageUnreachableError, match=f"{url} refused the connection") as caught:
        fetch(UPLOAD, setup=(url, "abc"), **settings)
    assert words in caught.value.remedy
    assert reason_of(caught) == (
        "Image not reachable: Label Studio refused the connection, "
        f"{'check' if is_set else 'set'} LABEL_STUDIO_URL"
    )


def test_name_that_does_not_resolve_is_explained(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=socket.gaierror))
    with pytest.raises(ImageUnreachableError, match="does not resolve") as caught:
        fetch("http://nowhere.test/a.jpg")
    assert reason_of(caught) == (
        "Image not reachable: nowhere.test has a name that does not resolve"
    )


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_certificate_has_to_be_trusted(image_host, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    options = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", *request, *options], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    image_host.server.socket = tls.wrap_socket(image_host.server.socket, server_side=True)
    image_host.pages["/a.jpg"] = IMAGE
    url = image_host.url.replace("http:", "https:") + "/a.jpg"
    with pytest.raises(ImageUnreachableError, match="no TLS certificate that is trusted here"):
        fetch(url)
    with pytest.raises(ImageUnreachableError, match="cut the connection"):
        fetch(url.replace("https:", "http:"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert fetch(url) == IMAGE


S3_ERROR = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>...</Message></Error>"


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("\ud800", id="no-address"),
        pytest.param("/data/upload/1/\ud800\n\0.jpg", id="path"),
        pytest.param("s3://photos/\ud800\n\0.jpg", id="cloud"),
        pytest.param("http://127.0.0.1:1/\ud800\n\0.jpg", id="url"),
        pytest.param("http://\ud800\n\0.test/a.jpg", id="host"),
        pytest.param("http://\ud800\0@127.0.0.1:1/a.jpg", id="user"),
        pytest.param("data:\ud800\n\0", id="data"),
        pytest.param(f"http://[fe80::1%{'a' * 300}]/a.jpg", id="long-host"),
    ],
)
def test_address_of_odd_characters_is_named_on_one_line(label_studio, uri):
    label_studio.answer = lambda _: error(500, "No\0\nsuch file \ud800")
    with pytest.raises((ImageUnreachableError, ImageUndecodableError)) as caught:
        fetch_from(label_studio, uri)
    assert str(caught.value).isprintable()
    assert reason_of(caught).startswith("Image not ")


@pytest.mark.parametrize("access_token", ["\ud800", "abc\n123"])
def test_damaged_token_of_setup_is_explained(label_studio, access_token):
    with pytest.raises(ImageUnreachableError, match="from /setup holds characters") as caught:
        fetch(UPLOAD, setup=(label_studio.url, access_token))
    assert reason_of(caught) == (
        "Image not reachable: damaged token from /setup, set LABEL_STUDIO_API_KEY"
    )


def test_hostname_of_odd_characters_is_explained():
    with pytest.raises(ImageUnreachableError, match=r"ho\\ud800\\x00st is not a valid") as caught:
        fetch(UPLOAD, setup=("http://ho\ud800\0st", "abc"))
    assert str(caught.value).isprintable()


def test_refusal_of_a_storage_is_explained(label_studio, image_host):
    signed = f"{image_host.url}/photos/a.jpg?X-Amz-Signature=secret"
    label_studio.bucket[CLOUD] = (303, {"Location": signed}, b"")
    image_host.pages["/photos/a.jpg?X-Amz-Signature=secret"] = (404, {}, S3_ERROR)
    with pytest.raises(ImageUnreachableError, match=r"which answered 404 \(NoSuchKey\)") as caught:
        fetch_from(label_studio, CLOUD)
    assert "secret" not in str(caught.value)
    assert reason_of(caught) == "Image not reachable: 404 (NoSuchKey) from the cloud storage"


def test_refusal_of_an_image_host_is_explained(image_host):
    with pytest.raises(ImageUnreachableError, match="answered 404") as caught:
        fetch(f"{image_host.url}/a.jpg")
    host = urlsplit(image_host.url).netloc
    assert reason_of(caught) == f"Image not reachable: 404 from {host}"
    assert "LABEL_STUDIO_URL" not in caught.value.remedy


def test_label_studio_in_place_of_an_image_host_is_recognized(label_studio):
    with pytest.raises(ImageUnreachableError, match="answered 401") as caught:
        fetch(f"{label_studio.url}/data/upload/1/a.jpg")
    assert "if it is Label Studio's, set LABEL_STUDIO_URL" in caught.value.remedy


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("{host}/a?X-Amz-Signature=hunter2&b=c", id="signature"),
        pytest.param("http://user:hunter2@{netloc}/a", id="user"),
        pytest.param("http://user:hunter2@127.0.0.1:1/a?token=hunter2", id="nobody-there"),
        pytest.param("http://user:hunter2@127.0.0.1:99999/a", id="port"),
        pytest.param("http://hunter2.invalid[/a", id="malformed"),
        pytest.param("data:image/png;base64," + "A" * 40 + "hunter2*" * 1000, id="data"),
    ],
)
def test_message_and_log_hold_no_secret(image_host, caplog, uri):
    caplog.set_level("DEBUG")
    uri = uri.format(host=image_host.url, netloc=urlsplit(image_host.url).netloc)
    with pytest.raises((ImageUnreachableError, ImageUndecodableError)) as caught:
        fetch(uri)
    logged = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in f"{caught.value} {reason_of(caught)} {logged} {caplog.text}"
