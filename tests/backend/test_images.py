"""From the string in a task's data to bytes: where they are asked for, with which credentials."""

import base64
import shutil
import socket
import ssl
import subprocess
import threading
import traceback
from contextlib import suppress
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
from fake_label_studio import LEGACY_OFF, PERSONAL, FakeLabelStudio, Host, error

from backend.addresses import parse_allowed_hosts
from backend.connections import Connections
from backend.errors import ImageTooLargeError, ImageUndecodableError, ImageUnreachableError
from backend.images import MEGABYTE, ImageLoader
from backend.settings import Settings

IMAGE = b"the bytes of a picture"
PROJECT = "1.1795350403"


@pytest.fixture
def label_studio():
    with FakeLabelStudio().running() as server:
        yield server


@pytest.fixture
def image_host():
    with Host().running() as server:
        yield server


def fetch(uri, *, setup=(None, None), task_id=4, **settings):
    """Fetch with these settings, after a /setup with this hostname and access token.

    The image host of these tests is on loopback.
    """
    settings = Settings(allow_hosts=parse_allowed_hosts("127.0.0.1,localhost"), **settings)
    connections = Connections(settings)
    connections.remember(PROJECT, *setup)
    return ImageLoader(settings, connections).fetch(uri, task_id=task_id, project=PROJECT)


def fetch_from(label_studio, uri, key=None, **settings):
    """Fetch with LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY set."""
    key = key or label_studio.tokens.legacy
    return fetch(uri, label_studio_url=label_studio.url, label_studio_api_key=key, **settings)


def send_endlessly(handler):
    """Send until the other side has had enough."""
    with suppress(OSError):
        while True:
            handler.wfile.write(b"a" * 65536)


def reason_of(caught):
    """The status line's words, which must fit there."""
    reason = caught.value.reason
    assert reason.isascii()
    assert reason.isprintable()
    assert len(reason) < 100
    return reason


# Label Studio's own files


@pytest.mark.parametrize("kind", ["legacy", "personal"])
@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("/data/upload/1/1a2b3c4d-cat.jpg", id="upload"),
        pytest.param("/data/local-files/?d=photos/cat.jpg", id="local-file"),
    ],
)
def test_file_of_label_studio_is_fetched_with_either_token(label_studio, uri, kind):
    label_studio.pages[uri] = IMAGE
    assert fetch_from(label_studio, uri, key=getattr(label_studio.tokens, kind)) == IMAGE
    scheme = {"legacy": "Token", "personal": "Bearer"}[kind]
    assert label_studio.authorizations[-1].startswith(f"{scheme} ")


def test_token_and_address_of_setup_serve_when_nothing_is_set(label_studio):
    label_studio.pages["/data/upload/1/a.jpg"] = IMAGE
    setup = (label_studio.url, label_studio.tokens.legacy)
    assert fetch("/data/upload/1/a.jpg", setup=setup) == IMAGE


def test_personal_token_is_exchanged_once_for_many_images(label_studio):
    for number in range(8):
        label_studio.pages[f"/data/upload/1/{number}.jpg"] = b"%d" % number
    url, key = label_studio.url, PERSONAL
    settings = Settings(label_studio_url=url, label_studio_api_key=key)
    loader = ImageLoader(settings, Connections(settings))
    together = threading.Barrier(8)
    found = {}

    def work(number):
        together.wait(10)
        found[number] = loader.fetch(f"/data/upload/1/{number}.jpg", task_id=1, project=PROJECT)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == {number: b"%d" % number for number in range(8)}
    assert label_studio.exchanges == 1


def test_revoked_access_token_is_exchanged_anew(label_studio):
    label_studio.pages["/data/upload/1/a.jpg"] = IMAGE
    settings = Settings(label_studio_url=label_studio.url, label_studio_api_key=PERSONAL)
    loader = ImageLoader(settings, Connections(settings))
    for _ in range(2):
        assert loader.fetch("/data/upload/1/a.jpg", task_id=4, project=PROJECT) == IMAGE
        label_studio.tokens.revoked.update(label_studio.tokens.given)
    assert label_studio.exchanges == 2


def test_token_that_stays_refused_is_given_up(label_studio):
    label_studio.tokens.given = label_studio.tokens.revoked = Forgotten()
    with pytest.raises(ImageUnreachableError, match="personal access token"):
        fetch_from(label_studio, "/data/upload/1/a.jpg", key=PERSONAL)
    assert label_studio.exchanges == 2


class Forgotten(list):
    """Access tokens that Label Studio gives and then does not know."""

    def __contains__(self, item):
        return False


def test_connection_is_kept_for_the_next_image(label_studio):
    label_studio.pages["/data/upload/1/a.jpg"] = IMAGE
    for _ in range(3):
        fetch_from(label_studio, "/data/upload/1/a.jpg")
    assert len(label_studio.connections) == 1


@pytest.mark.parametrize("base_path", ["", "/labels", "/a/b"])
@pytest.mark.parametrize("written_with", ["", "/labels", "/somewhere/else"])
def test_base_path_is_the_one_of_the_address(base_path, written_with):
    """Label Studio writes its base path into uploads' paths; a proxy may have taken it away."""
    with FakeLabelStudio(base_path).running() as label_studio:
        label_studio.pages["/data/upload/1/a.jpg"] = IMAGE
        assert fetch_from(label_studio, f"{written_with}/data/upload/1/a.jpg") == IMAGE


@pytest.mark.parametrize("in_front", ["own", "setup"])
@pytest.mark.parametrize(
    "path", ["/data/local-files/?d=photos/cat.jpg", "/data/upload/1/1a2b3c4d-cat.jpg"]
)
def test_address_in_front_of_a_path_of_label_studio_is_replaced(label_studio, path, in_front):
    """LABEL_STUDIO_HOST stands there, which this service may know under another name."""
    label_studio.pages[path] = IMAGE
    public = "https://Labels.test/studio"
    uri = f"{label_studio.url if in_front == 'own' else public}{path}"
    assert fetch_from(label_studio, uri, setup=(public, None)) == IMAGE
    assert label_studio.authorizations == [f"Token {label_studio.tokens.legacy}"]


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        pytest.param("/data/upload/1/my cat.jpg", "/data/upload/1/my%20cat.jpg", id="space"),
        pytest.param("/data/upload/1/my%20cat.jpg", "/data/upload/1/my%20cat.jpg", id="encoded"),
        pytest.param("/data/upload/1/cat#1.jpg", "/data/upload/1/cat%231.jpg", id="hash"),
        pytest.param("/data/upload/1/100%.jpg", "/data/upload/1/100%25.jpg", id="percent"),
        pytest.param("/data/upload/1/кіт.jpg", "/data/upload/1/%D0%BA%D1%96%D1%82.jpg", id="utf-8"),
        pytest.param('/data/upload/1/"a|b".jpg', "/data/upload/1/%22a%7Cb%22.jpg", id="quotes"),
        pytest.param(
            "/data/local-files/?d=my photos/кіт #1.jpg",
            "/data/local-files/?d=my%20photos/%D0%BA%D1%96%D1%82%20%231.jpg",
            id="local-file",
        ),
        pytest.param(
            "/data/local-files/?d=a%26b/c.jpg", "/data/local-files/?d=a%26b/c.jpg", id="local-and"
        ),
    ],
)
def test_name_of_a_file_is_percent_encoded_once(label_studio, uri, path):
    with pytest.raises(ImageUnreachableError):
        fetch_from(label_studio, uri)
    assert label_studio.paths == [path]


# External images, data: URIs


def test_external_image_is_fetched_without_a_token(label_studio, image_host):
    image_host.pages["/a%20b.jpg?size=2"] = IMAGE
    assert fetch_from(label_studio, f" {image_host.url}/a b.jpg?size=2\n") == IMAGE
    assert image_host.authorizations == [None]
    assert label_studio.requests == []


def test_other_path_of_label_studios_host_is_external():
    """With a base path in the address, what lies beside it is not Label Studio."""
    with FakeLabelStudio("/labels").running() as label_studio:
        with pytest.raises(ImageUnreachableError, match="answered 404"):
            fetch_from(label_studio, label_studio.url.replace("/labels", "/photos/a.jpg"))
        assert label_studio.authorizations == [None]


def test_credentials_of_netrc_and_cookies_do_not_travel(
    label_studio, image_host, tmp_path, monkeypatch
):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    label_studio.pages["/data/upload/1/a.jpg"] = (
        200,
        {"Set-Cookie": "sessionid=secret; Path=/"},
        IMAGE,
    )
    image_host.pages["/a.jpg"] = IMAGE
    fetch_from(label_studio, "/data/upload/1/a.jpg")
    fetch_from(label_studio, f"{image_host.url}/a.jpg")
    assert label_studio.authorizations == [f"Token {label_studio.tokens.legacy}"]
    assert image_host.authorizations == [None]
    assert "cookie" not in image_host.requests[0].headers


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param(f"data:image/png;base64,{base64.b64encode(IMAGE).decode()}", id="base64"),
        pytest.param(
            f"data:;charset=utf-8;BASE64,{base64.b64encode(IMAGE).decode().rstrip('=')}",
            id="base64-without-padding",
        ),
        pytest.param(
            f"DATA:image/png;base64,{base64.encodebytes(IMAGE).decode()} ", id="base64-in-lines"
        ),
        pytest.param("data:image/png;base64,dGhlIGJ5dGVzIG9mIGEgcGljdHVyZQ%3D%3D", id="both"),
        pytest.param("data:image/svg+xml,the%20bytes of%20a%20picture", id="percent-encoded"),
    ],
)
def test_data_uri_holds_its_bytes(uri):
    assert fetch(uri) == IMAGE


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        pytest.param("data:image/png;base64,a*b=", "is not base64", id="not-base64"),
        pytest.param("data:image/png;base64,abcde", "is not base64", id="cut"),
        pytest.param("data:image/png;base64", "has no comma", id="no-comma"),
        pytest.param("data:image/png;base64,\ud800", "is not base64", id="half-a-character"),
    ],
)
def test_malformed_data_uri_is_named(uri, words):
    with pytest.raises(ImageUndecodableError, match=f"image of task 4: 'data:image.*{words}"):
        fetch(uri)


# Cloud storage


def test_cloud_image_that_label_studio_hands_out(label_studio):
    label_studio.bucket["s3://photos/set/car 1.jpg"] = IMAGE
    assert fetch_from(label_studio, "s3://photos/set/car 1.jpg", task_id=17) == IMAGE
    assert label_studio.paths[0].startswith("/tasks/17/resolve/?fileuri=")


@pytest.mark.parametrize("scheme", ["s3", "gs", "azure-blob", "gcswif"])
@pytest.mark.parametrize("kind", ["legacy", "personal"])
def test_cloud_image_is_fetched_from_its_storage_without_the_token(
    label_studio, image_host, scheme, kind
):
    signed = f"{image_host.url}/photos/car?X-Amz-Signature=abc&X-Amz-Date=1"
    label_studio.bucket[f"{scheme}://photos/car 1.jpg"] = (303, {"Location": signed}, b"")
    image_host.pages["/photos/car?X-Amz-Signature=abc&X-Amz-Date=1"] = IMAGE
    key = getattr(label_studio.tokens, kind)
    assert fetch_from(label_studio, f"{scheme}://photos/car 1.jpg", key=key) == IMAGE
    assert image_host.authorizations == [None]


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_followed(image_host, status):
    image_host.pages["/a"] = (status, {"Location": "/b%20c?d=1"}, b"elsewhere")
    image_host.pages["/b%20c?d=1"] = IMAGE
    assert fetch(f"{image_host.url}/a") == IMAGE


def test_redirect_within_label_studio_keeps_the_token(label_studio):
    label_studio.pages["/data/upload/1/a.jpg"] = (302, {"Location": "/data/upload/1/b.jpg"}, b"")
    label_studio.pages["/data/upload/1/b.jpg"] = IMAGE
    assert fetch_from(label_studio, "/data/upload/1/a.jpg") == IMAGE
    assert label_studio.authorizations == [f"Token {label_studio.tokens.legacy}"] * 2


def test_body_of_a_redirect_is_not_read(image_host):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", "/b")
        handler.end_headers()
        send_endlessly(handler)

    image_host.pages.update({"/a": answer, "/b": IMAGE})
    assert fetch(f"{image_host.url}/a") == IMAGE


@pytest.mark.parametrize("kind", ["legacy", "personal"])
@pytest.mark.parametrize("way", ["other-port", "other-name"])
def test_redirect_to_another_origin_loses_the_token(label_studio, image_host, kind, way):
    """The same machine on another port, or under another name, is another origin."""
    elsewhere = label_studio.url.replace("127.0.0.1", "localhost")
    place = image_host.url if way == "other-port" else elsewhere
    label_studio.pages["/data/upload/1/a.jpg"] = (302, {"Location": f"{place}/b.jpg"}, b"")
    key = getattr(label_studio.tokens, kind)
    with pytest.raises(ImageUnreachableError, match="without being sent the token") as caught:
        fetch_from(label_studio, "/data/upload/1/a.jpg", key=key)
    last = (image_host if way == "other-port" else label_studio).requests[-1]
    assert (last.path, last.authorization) == ("/b.jpg", None)
    assert reason_of(caught).endswith("set LABEL_STUDIO_URL")


def test_redirect_from_elsewhere_to_label_studio_brings_no_token(label_studio, image_host):
    target = f"{label_studio.url}/data/upload/1/a.jpg"
    image_host.pages["/a.jpg"] = (302, {"Location": target}, b"")
    label_studio.pages["/data/upload/1/a.jpg"] = IMAGE
    with pytest.raises(ImageUnreachableError, match="401"):
        fetch_from(label_studio, f"{image_host.url}/a.jpg")
    assert label_studio.authorizations == [None]


def test_redirects_end(image_host):
    image_host.pages["/a"] = (302, {"Location": "/a"}, b"")
    with pytest.raises(ImageUnreachableError, match="redirected more than 5 times") as caught:
        fetch(f"{image_host.url}/a")
    assert len(image_host.requests) == 6
    assert reason_of(caught) == "Image not reachable: more than 5 redirects"


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://[", "http://:80/a", "data:,a"]
)
def test_redirect_to_what_is_not_http_is_refused(image_host, location):
    image_host.pages["/a"] = (302, {"Location": location}, b"")
    with pytest.raises(ImageUnreachableError, match="is no address of an image"):
        fetch(f"{image_host.url}/a")


# Bounds


def test_image_of_the_largest_size_is_fetched(image_host):
    image_host.pages["/a"] = b"a" * MEGABYTE
    assert len(fetch(f"{image_host.url}/a", max_image_mb=1)) == MEGABYTE


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    send_endlessly(handler)


@pytest.mark.parametrize("place", ["length", "endless", "data-uri"])
def test_image_of_too_many_bytes_is_refused(image_host, place):
    image_host.pages = {"/length": b"a" * (MEGABYTE + 1), "/endless": endless}
    uri = f"{image_host.url}/{place}"
    if place == "data-uri":
        uri = "data:," + "a" * (MEGABYTE + 1)
    with pytest.raises(ImageTooLargeError, match=r"task 4: .* has more than 1 MB") as caught:
        fetch(uri, max_image_mb=1)
    assert reason_of(caught) == "Image too large: more than 1 MB"
    assert len(str(caught.value)) < 300


def slowly(*pieces, forever):
    """Send the pieces, then a byte of the last one now and then."""

    def answer(handler):
        with suppress(OSError):
            for piece in pieces:
                handler.wfile.write(piece)
            while not forever.wait(0.02):
                handler.wfile.write(pieces[-1][-1:])

    return answer


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("way", ["upload", "external", "cloud"])
@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([HEAD, b"X-Slow: a"], id="headers"),
        pytest.param([HEAD, b"Content-Length: 100000\r\n\r\n", b"a"], id="body"),
        pytest.param([HEAD, b"\r\n", b"a"], id="body-without-length"),
        pytest.param([HEAD, b"Transfer-Encoding: chunked\r\n\r\n", b"0"], id="chunk-size"),
    ],
)
def test_slow_answer_ends_at_the_deadline(label_studio, image_host, pieces, way):
    over = threading.Event()
    page = slowly(*pieces, forever=over)
    signed = {"Location": f"{image_host.url}/a.jpg"}
    label_studio.bucket["s3://photos/a.jpg"] = (303, signed, b"")
    label_studio.pages["/data/upload/1/a.jpg"] = image_host.pages["/a.jpg"] = page
    uris = {"upload": "/data/upload/1/a.jpg", "cloud": "s3://photos/a.jpg"}
    try:
        with pytest.raises(ImageUnreachableError, match=r"did not answer within 0\.3 s") as caught:
            fetch_from(label_studio, uris.get(way, signed["Location"]), fetch_timeout_s=0.3)
        assert "did not answer within 0.3 s" in reason_of(caught)
    finally:
        over.set()


def test_deadline_covers_redirects_together(image_host, monkeypatch):
    """Each hop is quick enough by itself."""
    now = 1000.0
    monkeypatch.setattr("backend.transport.time.monotonic", lambda: now)

    def answer(handler):
        nonlocal now
        now += 15.0
        handler.send_response(302)
        handler.send_header("Location", "/a")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    image_host.pages["/a"] = answer
    with pytest.raises(ImageUnreachableError, match="did not answer within 20 s"):
        fetch(f"{image_host.url}/a", fetch_timeout_s=20.0)
    assert len(image_host.requests) == 2


def test_deadline_covers_the_exchange_of_the_token(label_studio):
    over = threading.Event()
    label_studio.answer = lambda _: lambda _: over.wait(20)
    try:
        with pytest.raises(ImageUnreachableError, match=r"did not answer within 0\.3 s"):
            fetch_from(label_studio, "/data/upload/1/a.jpg", key=PERSONAL, fetch_timeout_s=0.3)
    finally:
        over.set()


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="before-the-status"),
        pytest.param([HEAD, b"Content-Length: 10\r\n\r\nabc"], id="in-the-body"),
        pytest.param([HEAD, b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"], id="in-a-chunk"),
        pytest.param([b"SSH-2.0-OpenSSH_9.2\r\n"], id="not-http"),
    ],
)
def test_connection_that_is_cut_is_named(image_host, pieces):
    image_host.pages["/a"] = lambda handler: handler.wfile.write(b"".join(pieces))
    with pytest.raises(ImageUnreachableError, match="cut the connection") as caught:
        fetch(f"{image_host.url}/a")
    assert reason_of(caught).endswith(f"{urlsplit(image_host.url).netloc} cut the connection")


# What the messages say


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


@pytest.mark.parametrize(
    "uri",
    ["", "a.jpg", "//example.test/a.jpg", "C:\\photos\\a.jpg", "file:///etc/passwd", "ftp://h/a"],
)
def test_text_that_is_no_address_is_named(label_studio, uri):
    with pytest.raises(ImageUnreachableError, match="is no address of an image") as caught:
        fetch_from(label_studio, uri)
    assert reason_of(caught) == "Image not reachable: not an address of an image"
    assert label_studio.requests == []


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("file://{path}", id="file"),
        pytest.param("FILE://localhost{path}", id="file-of-a-host"),
        pytest.param("{path}", id="path"),
        pytest.param("//{path}", id="two-slashes"),
        pytest.param("/../../..{path}", id="dots"),
        pytest.param("/data/upload/..%2f..%2f..{path}", id="encoded-slashes"),
        pytest.param("/data/upload/%2e%2e/%2E%2E{path}", id="encoded-dots"),
        pytest.param("/data/upload/..\\..\\..{path}", id="backslashes"),
        pytest.param("/data/local-files/?d=../../..{path}", id="local-files-dots"),
        pytest.param("/data/local-files/?d={path}", id="local-files-path"),
        pytest.param("{path}\0.jpg", id="nul"),
        pytest.param("data:,{path}", id="data"),
        pytest.param("local:{path}", id="another-scheme"),
        pytest.param("jar:file://{path}", id="jar"),
        pytest.param("s3://{path}", id="cloud"),
        pytest.param("http://127.0.0.1:{port}/local?{path}", id="redirect"),
    ],
)
def test_no_address_reaches_a_file_of_this_machine(label_studio, image_host, tmp_path, uri):
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"sesame")
    local = (302, {"Location": f"file://{path}"}, b"")
    image_host.answer = lambda _: local
    try:
        found = fetch_from(label_studio, uri.format(path=path, port=image_host.server.server_port))
    except ImageUnreachableError:
        found = b""
    assert found in (b"", str(path).encode())  # data: holds the path itself


@pytest.mark.parametrize(
    "path", ["/data/upload/../../admin", "/labels/data/upload/%2e%2e/x", "/data/upload/..%5cx"]
)
def test_path_that_leads_upwards_is_no_address(path):
    """Beside Label Studio's base path other programs may answer, and would get the token."""
    with FakeLabelStudio("/labels").running() as label_studio:
        with pytest.raises(ImageUnreachableError, match="which leads upwards, is no address"):
            fetch_from(label_studio, path)
        assert label_studio.requests == []


def test_redirect_beside_the_base_path_loses_the_token():
    with FakeLabelStudio("/labels").running() as label_studio:
        beside = {"Location": label_studio.url.replace("/labels", "/others/a.jpg")}
        label_studio.pages["/data/upload/1/a.jpg"] = (302, beside, b"")
        with pytest.raises(ImageUnreachableError, match="without being sent the token"):
            fetch_from(label_studio, "/data/upload/1/a.jpg")
        assert label_studio.authorizations[1:] == [None]


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
