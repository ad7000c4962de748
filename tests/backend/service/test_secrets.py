"""No token, password, image or body in any log at any level, nor in any answer."""

import base64
import io
import json
import logging
import os

import pytest
import requests
from fake_label_studio import PERSONAL, Host
from fake_model import FakePredictor, png
from fake_project import FakeProject
from PIL import Image, TiffImagePlugin

from backend.label_studio.projects import LABELING_CONFIG
from backend.segmentation.click_service import ClickService
from backend.service.app import create_app
from backend.settings.settings import Settings
from backend.transport.addresses import parse_allowed_hosts
from benchmarks import service_load
from benchmarks.key_points import key_point

PASSWORD = "basic-sesame"
REDIS_PASSWORD = "redis-sesame"
SIGNATURE = "signature-sesame"
COOKIE = "cookie-sesame"
USER_INFO = "userinfo-sesame"
BODY = "body-sesame"
DESCRIPTION = "description-sesame"  # in an image
SETUP_TOKEN = "setup-sesame"
SECRETS = (PASSWORD, REDIS_PASSWORD, SIGNATURE, COOKIE, USER_INFO, BODY, DESCRIPTION, SETUP_TOKEN)


def tiff_that_says(text):
    buffer = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270] = text
    Image.new("RGB", (60, 40)).save(buffer, "TIFF", tiffinfo=tags)
    return buffer.getvalue()


def data_uri(content):
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def images(images_url):
    """Addresses of images, some good and some not, with a secret wherever one may be."""
    netloc = images_url.partition("//")[2]
    return {
        "upload": "/data/upload/7/101.png",
        "upload-gone": f"/data/upload/7/gone.png?token={SIGNATURE}",
        "local-gone": f"/data/local-files/?d=gone.png&token={SIGNATURE}",
        "cloud": "s3://photos/a.png",
        "cloud-gone": f"s3://photos/gone.png?versionId={SIGNATURE}",
        "cloud-expired": "s3://photos/expired.png",
        "external": f"{images_url}/a.png?X-Amz-Signature={SIGNATURE}",
        "external-gone": f"{images_url}/gone.png?X-Amz-Signature={SIGNATURE}",
        "external-user": f"http://me:{USER_INFO}@{netloc}/gone.png#{SIGNATURE}",
        "forbidden": f"http://me:{USER_INFO}@169.254.169.254/{''}?token={SIGNATURE}",
        "private": f"http://10.0.0.5/a.png?token={SIGNATURE}",
        "nobody-there": f"http://me:{USER_INFO}@127.0.0.1:1/a.png?token={SIGNATURE}",
        "malformed": f"http://{USER_INFO}@[/a.png?token={SIGNATURE}",
        "no-picture": f"{images_url}/page.html?X-Amz-Signature={SIGNATURE}",
        "tiff": f"{images_url}/a.tif?X-Amz-Signature={SIGNATURE}",
        "data": data_uri(png(40, 60)),
        "data-broken": data_uri(b"no picture: " + DESCRIPTION.encode()),
        "data-not-base64": f"data:image/png;base64,{'A' * 40}*{DESCRIPTION}",
    }


@pytest.fixture
def image_host():
    with Host().running() as host:
        cookie = {"Set-Cookie": f"session={COOKIE}"}
        signed = f"?X-Amz-Signature={SIGNATURE}"
        host.pages[f"/a.png{signed}"] = (200, cookie, png(40, 60))
        host.pages[f"/a.tif{signed}"] = (200, cookie, tiff_that_says(DESCRIPTION))
        host.pages[f"/page.html{signed}"] = (200, cookie, f"<html>{BODY}</html>".encode())
        host.pages[f"/expired{signed}"] = (403, cookie, f"<Error>{BODY}</Error>".encode())
        yield host


class CookieProject(FakeProject):
    """Each of its answers has a cookie, as Label Studio's have."""

    def answer(self, request):
        answer = super().answer(request)
        status, headers, body = answer if isinstance(answer, tuple) else (200, {}, answer)
        return status, headers | {"Set-Cookie": f"sessionid={COOKIE}"}, body


@pytest.fixture
def label_studio(image_host):
    server = CookieProject()
    signed = f"?X-Amz-Signature={SIGNATURE}"
    server.bucket["s3://photos/a.png"] = (
        303,
        {"Location": f"{image_host.url}/a.png{signed}"},
        b"",
    )
    server.bucket["s3://photos/expired.png"] = (
        303,
        {"Location": f"{image_host.url}/expired{signed}", "Set-Cookie": f"session={COOKIE}"},
        b"",
    )
    with server.running():
        yield server


def clicks(images_url):
    """A click on each image, with a draft, and what opens a task."""
    draft = {
        "id": BODY,
        "type": "brushlabels",
        "from_name": "mask",
        "to_name": "image",
        "value": {"format": "rle", "rle": [171] * 500, "brushlabels": ["Object"]},
        "meta": {"text": [BODY]},
    }
    for number, uri in enumerate(images(images_url).values(), 200):
        task = {"id": number, "data": {"image": uri, "note": BODY}, "drafts": [{"result": [draft]}]}
        for context in ({"result": [key_point((30, 20), (40, 60)), draft]}, None):
            yield {
                "tasks": [task],
                "project": "7.1795350403",
                "label_config": LABELING_CONFIG,
                "params": {"login": BODY, "password": BODY, "context": context},
            }


def setup_body(label_studio):
    return {
        "project": "7.1795350403",
        "schema": LABELING_CONFIG,
        "hostname": label_studio.url,
        "access_token": SETUP_TOKEN,
    }


def leaks(text, label_studio):
    tokens = (PERSONAL, label_studio.tokens.legacy, *label_studio.tokens.given)
    encoded = [base64.b64encode(secret.encode()).decode().rstrip("=") for secret in SECRETS]
    password = base64.b64encode(f"anna:{PASSWORD}".encode()).decode()
    found = [s for s in (*SECRETS, *encoded, *tokens, password, "171, 171") if s in text]
    return found + [data_uri(png(40, 60))[30:60]] * (data_uri(png(40, 60))[30:60] in text)


def test_no_secret_of_a_click_is_logged_or_answered(label_studio, image_host, caplog):
    caplog.set_level(logging.DEBUG)
    settings = Settings(
        label_studio_url=label_studio.url,
        label_studio_api_key=PERSONAL,
        basic_auth_user="anna",
        basic_auth_pass=PASSWORD,
        redis_url=f"redis://:{REDIS_PASSWORD}@127.0.0.1:1/0",
        allow_hosts=parse_allowed_hosts("127.0.0.1"),
    )
    logging.getLogger("test").debug("%s", settings)
    click_service = ClickService(FakePredictor(), settings)
    client = create_app(settings, click_service=click_service).test_client()
    auth = ("anna", PASSWORD)
    answers = [client.post("/setup", json=setup_body(label_studio), auth=auth)]
    for body in clicks(image_host.url):
        answers.append(client.post("/predict", json=body, auth=auth))
        answers.append(client.post("/predict", json=body, auth=("anna", f"{PASSWORD}x")))
        answers.append(client.post("/webhook", data=json.dumps(body)[:-1], auth=auth))
    answers.append(client.get("/health"))
    assert label_studio.asked.acquire(timeout=10)  # the upcoming tasks were asked for too
    click_service.close()
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) >= 8
    assert {400, 401, 422} < set(statuses)
    assert len(label_studio.tokens.given) == 1
    answered = "".join(f"{answer.status} {answer.headers} {answer.text}" for answer in answers)
    assert leaks(caplog.text, label_studio) == []
    assert leaks(answered, label_studio) == []
    assert "Image not reachable: 404 from" in answered


@pytest.mark.parametrize("level", ["DEBUG"])
def test_no_secret_is_in_the_log_of_a_real_service(label_studio, image_host, tmp_path, level):
    log = tmp_path / "log"
    environment = {
        "LOG_LEVEL": level,
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": PERSONAL,
        "BASIC_AUTH_USER": "anna",
        "BASIC_AUTH_PASS": PASSWORD,
        "MOBILESAM_REDIS_URL": f"redis://:{REDIS_PASSWORD}@127.0.0.1:1/0",
    }
    backend, url = service_load.service("demo", log, environment=environment)
    with backend, requests.Session() as session:
        backend.wait_until_healthy(f"{url}/health", timeout_s=service_load.START_TIMEOUT_S)
        session.auth = ("anna", PASSWORD)
        answers = [session.post(f"{url}/setup", json=setup_body(label_studio), timeout=60)]
        answers += [
            session.post(f"{url}/predict", json=body, timeout=60) for body in clicks(image_host.url)
        ]
        session.get(f"{url}/nothing?token={SIGNATURE}", timeout=60)
    text = log.read_text()
    assert "POST /predict" in text
    assert f"{os.sep}nothing" in text
    assert leaks(text, label_studio) == []
    assert leaks("".join(answer.text for answer in answers), label_studio) == []
    assert [answer.status_code for answer in answers].count(200) >= 8
