"""From the string in a task's data to bytes: where they are asked for, with which credentials."""

import base64
import threading

import pytest
from fake_label_studio import PERSONAL, FakeLabelStudio
from image_sources import IMAGE, PROJECT, fetch, fetch_from, reason_of

from backend.core.errors import ImageUndecodableError, ImageUnreachableError
from backend.images.fetch import ImageLoader
from backend.label_studio.connections import Connections
from backend.settings.settings import Settings

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


# What is no address


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


def test_label_studios_file_under_its_public_name_is_asked_for_at_its_address(label_studio):
    """LABEL_STUDIO_HOST stands in front of local files; here it is reached by another name."""
    label_studio.pages["/data/local-files/?d=set/a.png"] = IMAGE
    public = label_studio.url.replace("127.0.0.1", "localhost")
    assert fetch_from(label_studio, f"{public}/data/local-files/?d=set/a.png") == IMAGE
    sent = [request.headers["host"].partition(":")[0] for request in label_studio.requests]
    assert sent == ["localhost", "127.0.0.1"]
    assert label_studio.authorizations == [None, f"Token {label_studio.tokens.legacy}"]


def test_label_studios_file_under_a_name_that_is_not_reached_from_here_comes_too(label_studio):
    label_studio.pages["/data/upload/1/a.jpg"] = IMAGE
    for public in ("http://10.1.2.3:8080", "http://studio.invalid"):
        assert fetch_from(label_studio, f"{public}/data/upload/1/a.jpg", allow="") == IMAGE


def test_file_elsewhere_that_answers_is_not_asked_for_at_label_studio(label_studio, image_host):
    image_host.pages["/data/upload/1/a.jpg"] = IMAGE
    assert fetch_from(label_studio, f"{image_host.url}/data/upload/1/a.jpg") == IMAGE
    assert label_studio.requests == []
