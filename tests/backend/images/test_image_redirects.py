"""Redirects of images: which are followed, and with which credentials."""

import pytest
from fake_label_studio import FakeLabelStudio
from image_sources import IMAGE, fetch, fetch_from, reason_of, send_endlessly

from backend.core.errors import ImageUnreachableError


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


def test_redirect_beside_the_base_path_loses_the_token():
    with FakeLabelStudio("/labels").running() as label_studio:
        beside = {"Location": label_studio.url.replace("/labels", "/others/a.jpg")}
        label_studio.pages["/data/upload/1/a.jpg"] = (302, beside, b"")
        with pytest.raises(ImageUnreachableError, match="without being sent the token"):
            fetch_from(label_studio, "/data/upload/1/a.jpg")
        assert label_studio.authorizations[1:] == [None]
