"""Certificates of an authority of one's own, for images and for Label Studio's API alike."""

import ssl
import subprocess

import pytest
from fake_label_studio import FakeLabelStudio
from image_sources import IMAGE, fetch_from

from backend.core.errors import ImageUnreachableError, LabelStudioError
from backend.label_studio.client import LabelStudio
from backend.transport.certificates import VARIABLES


class SecureLabelStudio(FakeLabelStudio):
    @property
    def url(self):
        return super().url.replace("http:", "https:")


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """A certificate that nobody trusts but those who are told to."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    options = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", *request, *options], check=True, capture_output=True)
    return key, certificate


@pytest.fixture
def label_studio(authority):
    key, certificate = authority
    studio = SecureLabelStudio()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    studio.server.socket = tls.wrap_socket(studio.server.socket, server_side=True)
    studio.pages |= {"/api/a/": b"1", "/data/upload/1/a.jpg": IMAGE}
    with studio.running():
        yield studio


def ask(label_studio):
    return LabelStudio(label_studio.url, label_studio.tokens.personal).get_json("/api/a/")


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_exchange_trusts_the_same_authorities(label_studio, authority, variable, monkeypatch):
    monkeypatch.setenv(variable, str(authority[1]))
    assert ask(label_studio) == 1
    assert fetch_from(label_studio, "/data/upload/1/a.jpg") == IMAGE


def test_certificate_that_is_not_trusted_names_the_variable(label_studio):
    with pytest.raises(LabelStudioError, match="no TLS certificate that is trusted") as caught:
        ask(label_studio)
    assert "set REQUESTS_CA_BUNDLE to the file" in caught.value.remedy
    with pytest.raises(ImageUnreachableError) as caught:
        fetch_from(label_studio, "/data/upload/1/a.jpg")
    assert "set REQUESTS_CA_BUNDLE to the file" in caught.value.remedy


def test_image_host_that_is_not_trusted_names_the_variable(label_studio):
    with FakeLabelStudio().running() as other, pytest.raises(ImageUnreachableError) as caught:
        fetch_from(other, f"{label_studio.url}/a.jpg")
    assert "set REQUESTS_CA_BUNDLE to the file" in caught.value.remedy


@pytest.mark.parametrize("variable", VARIABLES)
def test_authorities_that_are_not_there_are_named(label_studio, variable, monkeypatch):
    monkeypatch.setenv(variable, "/nowhere/ca.pem")
    with pytest.raises(LabelStudioError, match=f"{variable} names '/nowhere/ca.pem'"):
        ask(label_studio)
