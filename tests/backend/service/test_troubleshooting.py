"""Every log line that docs/troubleshooting.md quotes is one that this service writes."""

import logging
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fake_label_studio import PERSONAL, Host
from fake_model import FakePredictor, png

from backend.images.fetch import ImageLoader
from backend.label_studio import projects
from backend.segmentation.click_service import ClickService
from backend.service.app import create_app
from backend.settings.settings import Settings
from backend.transport.addresses import parse_allowed_hosts
from benchmarks.key_points import key_point
from mobilesam.runtimes import oom_fallback

PAGE = (Path(__file__).parents[3] / "docs" / "troubleshooting.md").read_text()
LINES = re.findall(r"^ {4}(\S.*)$", PAGE, re.MULTILINE)
UPLOAD = "/data/upload/1/a.jpg"
ONLY_BRUSH = (
    '<View><Image name="image" value="$image"/><BrushLabels name="b" toName="image"/></View>'
)
ONLY_POINT = """<View><Image name="image" value="$image"/>
<KeyPointLabels name="point" toName="image" smart="true"><Label value="A"/></KeyPointLabels></View>
"""


def click(label="Object", *, positive=True):
    region = key_point((20, 10), (30, 40)) | {"is_positive": positive}
    region["value"] = region["value"] | {"keypointlabels": [label]}
    return region


class Service:
    """The app with a fake model; what it logs for one request."""

    def __init__(self, caplog, **settings):
        caplog.set_level(logging.INFO)
        self.caplog = caplog
        settings = Settings(prefetch_tasks=0, **settings)
        self.client = create_app(
            settings, click_service=ClickService(FakePredictor(), settings)
        ).test_client()

    def set_up(self, labeling_config, **more):
        self.client.post("/setup", json={"project": "1.0", "schema": labeling_config, **more})
        return self.caplog.messages

    def click(self, *context, image=UPLOAD):
        body = {
            "tasks": [{"id": 4, "data": {"image": image}}],
            "project": "1.0",
            "label_config": projects.LABELING_CONFIG,
            "params": {"context": {"result": list(context) or [click()]}},
        }
        self.client.post("/predict", json=body)
        return self.caplog.messages


def answered(caplog, label_studio, monkeypatch):
    label_studio.pages[UPLOAD] = png(30, 40)
    return Service(caplog, **login(label_studio)).click()


def login(label_studio, token=PERSONAL):
    return {"label_studio_url": label_studio.url, "label_studio_api_key": token}


def not_smart(caplog, label_studio, monkeypatch):
    return Service(caplog).set_up(ONLY_BRUSH)


def no_mask_control(caplog, label_studio, monkeypatch):
    return Service(caplog).set_up(ONLY_POINT)


def no_image_tag(caplog, label_studio, monkeypatch):
    return Service(caplog).set_up("<View/>")


def no_login(caplog, label_studio, monkeypatch):
    return Service(caplog, basic_auth_user="a", basic_auth_pass="b").set_up("<View/>")


def legacy_off(caplog, label_studio, monkeypatch):
    label_studio.tokens.legacy_enabled = False
    return Service(caplog, **login(label_studio, label_studio.tokens.legacy)).click()


def wrong_address(caplog, label_studio, monkeypatch):
    return Service(caplog, label_studio_url="http://127.0.0.1:9", label_studio_api_key="a").click()


def no_address(caplog, label_studio, monkeypatch):
    return Service(caplog).click()


def address_of_setup(caplog, label_studio, monkeypatch):
    """/setup comes from 127.0.0.1 and names another private address."""
    service = Service(caplog)
    service.set_up(projects.LABELING_CONFIG, hostname="http://192.168.1.5:8080", access_token="a")
    return service.click()


def upload_gone(caplog, label_studio, monkeypatch):
    return Service(caplog, **login(label_studio)).click()


def no_storage(caplog, label_studio, monkeypatch):
    return Service(caplog, **login(label_studio)).click(image="s3://photos/a.jpg")


def refusing_host(caplog, label_studio, monkeypatch):
    with Host().running() as host:
        host.pages["/a.jpg"] = 403, {}, b""
        service = Service(caplog, allow_hosts=parse_allowed_hosts("127.0.0.1"))
        return service.click(image=f"{host.url}/a.jpg")


def unlisted_host(caplog, label_studio, monkeypatch):
    return Service(caplog).click(image="http://127.0.0.1:8000/a.jpg")


def login_page(caplog, label_studio, monkeypatch):
    label_studio.pages[UPLOAD] = b"<!doctype html><html>Log in</html>"
    return Service(caplog, **login(label_studio)).click()


def too_many_pixels(caplog, label_studio, monkeypatch):
    label_studio.pages[UPLOAD] = png(300, 400)
    return Service(caplog, max_pixels=10_000, **login(label_studio)).click()


def unknown_label(caplog, label_studio, monkeypatch):
    return Service(caplog).click(click("Cat"))


def only_negative(caplog, label_studio, monkeypatch):
    return Service(caplog).click(click(positive=False))


def busy(caplog, label_studio, monkeypatch):
    """Of two threads, one may wait for an image."""
    asked, go_on = threading.Event(), threading.Event()

    def fetch(*_, **__):
        asked.set()
        assert go_on.wait(10)
        return png(30, 40)

    monkeypatch.setattr(ImageLoader, "fetch", fetch)
    service = Service(caplog, threads=2)
    first = threading.Thread(target=service.click)
    first.start()
    assert asked.wait(10)
    service.click()
    go_on.set()
    first.join()
    return caplog.messages


def run_service(**environment):
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "backend", "serve"],
        env=kept | {"MOBILESAM_HOST": "127.0.0.1"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr.splitlines()


def port_in_use(caplog, label_studio, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        return run_service(PORT=port, MOBILESAM_CHECKPOINT="demo")


def no_download(caplog, label_studio, monkeypatch, tmp_path_factory):
    nowhere = "http://127.0.0.1:9"
    cache = str(tmp_path_factory.mktemp("cache"))
    return run_service(XDG_CACHE_HOME=cache, https_proxy=nowhere, http_proxy=nowhere)


def wrong_setting(caplog, label_studio, monkeypatch):
    return run_service(MOBILESAM_CACHE_MB="lots")


def full_gpu(caplog, label_studio, monkeypatch):
    """The format of the line; tests/mobilesam/runtimes/test_oom_fallback.py lets it be written."""
    source = Path(oom_fallback.__file__).read_text()
    return re.findall(r'log\.warning\("(the GPU\'s .*?)"', source)


SETUP = 'path=/setup status=... message="'
PREDICT = 'path=/predict status=... message="'

# The beginning of the quoted lines -> what makes the service write them.
CAUSES = {
    "path=/predict status=200": answered,
    f"{SETUP}the labeling config has no key point": not_smart,
    f"{SETUP}no control": no_mask_control,
    f"{SETUP}the labeling config has no Image": no_image_tag,
    f"{SETUP}user name": no_login,
    f"{PREDICT}cannot read image of task 4: Label Studio at ... answered 401": legacy_off,
    f"{PREDICT}cannot read image of task 4: Label Studio at ... refused": wrong_address,
    f"{PREDICT}cannot read image of task 4: '/data": no_address,
    f"{PREDICT}cannot read image of task 4: Label Studio at ... is": address_of_setup,
    f"{PREDICT}cannot read image of task 4: Label Studio answered 500": upload_gone,
    f"{PREDICT}cannot read image of task 4: Label Studio answered 404": no_storage,
    f"{PREDICT}cannot read image of task 4: ... answered 403": refusing_host,
    f"{PREDICT}cannot read image of task 4: ... is a loopback": unlisted_host,
    f"{PREDICT}cannot decode image of task 4: an HTML": login_page,
    f"{PREDICT}cannot decode image of task 4: 400": too_many_pixels,
    "*** DEMO WEIGHTS": port_in_use,
    f"{PREDICT}the prompt's label": unknown_label,
    f"{PREDICT}task 4 has only negative": only_negative,
    f"{PREDICT}... clicks wait": busy,
    "Connection in use": port_in_use,
    "error: the official weights": no_download,
    "Put mobile_sam.pt": no_download,
    "MOBILESAM_CACHE_MB='lots'": wrong_setting,
    "the GPU's memory is full": full_gpu,
}


def cause_of(line):
    return CAUSES[max((start for start in CAUSES if line.startswith(start)), key=len)]


def test_every_cause_has_its_line():
    assert len(LINES) >= 20
    assert [start for start in CAUSES if not any(line.startswith(start) for line in LINES)] == []


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:70])
def test_line_is_written(line, caplog, label_studio, monkeypatch, tmp_path_factory):
    """What stands for `...` differs."""
    cause = cause_of(line)
    more = [tmp_path_factory] if cause is no_download else []
    written = cause(caplog, label_studio, monkeypatch, *more)
    expected = ".*".join(map(re.escape, line.split("...")))
    assert any(re.search(rf"{expected}$", found) for found in written), "\n".join(written)
