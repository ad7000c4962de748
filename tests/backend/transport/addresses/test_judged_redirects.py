"""Redirects: every hop is judged, and no token goes along."""

from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from image_sources import PROJECT
from reaching import fetch_from

from backend.core.errors import ImageUnreachableError, LabelStudioError
from backend.label_studio.connections import Connections
from backend.settings.settings import Settings


@pytest.mark.parametrize("way", ["upload", "cloud", "external"])
@pytest.mark.parametrize(
    "location",
    [
        pytest.param("http://169.254.169.254/latest/meta-data/", id="metadata"),
        pytest.param("http://[::ffff:169.254.169.254]/", id="mapped"),
        pytest.param("http://2852039166/", id="one-number"),
        pytest.param("//169.254.169.254/", id="without-scheme"),
        pytest.param("http://127.0.0.1:1/", id="another-port"),
        pytest.param("https://127.0.0.1:{port}/", id="another-scheme"),
        pytest.param("http://10.0.0.5/", id="private"),
    ],
)
def test_every_hop_is_judged(label_studio, image_host, location, way):
    port = image_host.server.server_port
    target = {"Location": location.format(port=port)}
    label_studio.pages["/data/upload/1/a.jpg"] = image_host.pages["/b"] = (302, target, b"")
    label_studio.bucket["s3://photos/a.jpg"] = (303, target, b"")
    uris = {
        "upload": "/data/upload/1/a.jpg",
        "cloud": "s3://photos/a.jpg",
        "external": f"{image_host.url}/b",
    }
    with pytest.raises(ImageUnreachableError) as caught:
        fetch_from(label_studio, uris[way], allow="127.0.0.1" if "https" in location else "")
    if way != "external" and "https" not in location:
        assert "is never asked" in str(caught.value) or "ALLOW_HOSTS" in str(caught.value)
    assert len(image_host.requests) + len(label_studio.requests) <= 1


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("http://{evil}\\@{good}/a.jpg", id="backslash"),
        pytest.param("http://{evil}\\.{good}/a.jpg", id="backslash-and-dot"),
        pytest.param("http:\\\\{evil}/a.jpg", id="backslashes"),
        pytest.param("http://{good}@{evil}/a.jpg", id="user"),
        pytest.param("http://{good}\t@{evil}/a.jpg", id="tab"),
        pytest.param("//{evil}/a.jpg", id="without-scheme"),
        pytest.param("/\\{evil}/a.jpg", id="slash-backslash"),
    ],
)
def test_redirect_that_looks_like_label_studio_gets_no_token(label_studio, image_host, location):
    evil, good = (urlsplit(server.url).netloc for server in (image_host, label_studio))
    target = {"Location": location.format(evil=evil, good=good)}
    label_studio.pages["/data/upload/1/b.jpg"] = (302, target, b"")
    with suppress(ImageUnreachableError):
        fetch_from(label_studio, "/data/upload/1/b.jpg", allow="127.0.0.1")
    assert {request.authorization for request in image_host.requests} <= {None}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_api_follows_label_studio_nowhere_else(label_studio, image_host, status):
    target = {"Location": f"{image_host.url}/a.jpg"}
    label_studio.pages["/api/projects/1/"] = (status, target, b"")
    settings = Settings(
        label_studio_url=label_studio.url, label_studio_api_key=label_studio.tokens.legacy
    )
    connections = Connections(settings)
    with pytest.raises(LabelStudioError, match=r"redirects to .* set LABEL_STUDIO_URL to it"):
        connections.find(PROJECT).post_json("/api/projects/1/", {"secret": "sesame"})
    connections.close()
    assert image_host.requests == []
