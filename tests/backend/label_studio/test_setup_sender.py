"""Which private address a /setup may name, where every request may come through a proxy."""

import json
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fake_label_studio import Host
from fake_model import FakePredictor
from werkzeug.serving import make_server

from backend.label_studio import setup_sender as module
from backend.label_studio.setup_sender import FORWARDED, UNKNOWN, setup_sender
from backend.segmentation.click_service import ClickService
from backend.service.app import create_app
from backend.settings.settings import Settings

VERSION = b'{"release": "1.23.2"}'
# Listens, prints its port, and sends nothing: another program on this machine.
LISTENER = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch):
    monkeypatch.setattr(module, "_proofs", module.TtlMap(10))
    monkeypatch.setattr(module, "SECONDS_PER_LOOK", 0.0)


@pytest.fixture
def host():
    with Host().running() as host:
        yield host


@pytest.fixture
def someone_elses(monkeypatch):
    """As where the process that sends /setup is another one than those that listen."""
    monkeypatch.setattr(module, "_is_listener", lambda *_: False)


def environ(address="127.0.0.1", **more):
    return {"REMOTE_ADDR": address, "REMOTE_PORT": "40000", "SERVER_PORT": "9090", **more}


@pytest.mark.parametrize("header", FORWARDED)
def test_sender_behind_a_proxy_that_says_so_is_unknown_and_nobody_is_asked(host, header):
    host.pages["/api/version/"] = VERSION
    assert setup_sender(environ(**{header: "203.0.113.5"}), host.url) == UNKNOWN
    assert setup_sender(environ("172.18.0.5", **{header: "203.0.113.5"}), host.url) == UNKNOWN
    assert host.requests == []


def test_sender_elsewhere_is_who_it_is(host):
    assert setup_sender(environ("192.168.1.7"), "http://192.168.1.7:8080") == "192.168.1.7"
    assert setup_sender({"REMOTE_ADDR": ""}, host.url) == UNKNOWN


@pytest.mark.usefixtures("someone_elses")
def test_loopback_port_proves_to_be_label_studio_by_its_version(host):
    host.pages["/api/version/"] = VERSION
    for _ in range(3):
        assert setup_sender(environ(), host.url) == "127.0.0.1"
    assert host.paths == ["/api/version/"]
    assert host.authorizations == [None]


@pytest.mark.usefixtures("someone_elses")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((404, {}, b""), id="404"),
        pytest.param(b"TOPSECRET", id="text"),
        pytest.param(b'{"release": "next"}', id="another-release"),
        pytest.param(b'{"release": 1}', id="number"),
        pytest.param(b"[" * 60_000, id="deep"),
        pytest.param((403, {}, VERSION), id="refused"),
        pytest.param((302, {"Location": "/elsewhere"}, b""), id="redirect"),
    ],
)
def test_other_loopback_port_is_asked_that_one_question_and_no_other(host, answer):
    host.pages["/api/version/"] = answer
    for _ in range(3):
        assert setup_sender(environ(), host.url) == UNKNOWN
    assert host.paths == ["/api/version/"]


@pytest.mark.usefixtures("someone_elses")
@pytest.mark.parametrize("hostname", [None, "", "nonsense", "http://[", "file:///etc", "http://"])
def test_setup_that_names_no_address_proves_nothing(hostname):
    assert setup_sender(environ(), hostname) == UNKNOWN


@pytest.mark.usefixtures("someone_elses")
def test_strangers_hold_a_bounded_number_of_threads(monkeypatch, host):
    monkeypatch.setattr(module, "_asking", threading.BoundedSemaphore(1))
    module._asking.acquire()
    assert setup_sender(environ(), host.url) == UNKNOWN
    assert host.requests == []


def test_process_that_sends_and_listens_proves_itself_without_a_question(host):
    with socket.create_server(("127.0.0.1", 0)) as service, socket.socket() as sender:
        sender.connect(service.getsockname())
        ports = {
            "REMOTE_PORT": str(sender.getsockname()[1]),
            "SERVER_PORT": str(service.getsockname()[1]),
        }
        assert setup_sender(environ(**ports), host.url) == "127.0.0.1"
    assert host.requests == []


def test_port_of_another_process_is_not_the_senders():
    with (
        subprocess.Popen(
            [sys.executable, "-c", LISTENER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as other,
        socket.create_server(("127.0.0.1", 0)) as service,
        socket.socket() as sender,
    ):
        port = int(other.stdout.readline())
        sender.connect(service.getsockname())
        own = service.getsockname()[1]
        assert not module._is_listener(sender.getsockname()[1], own, port)
        assert module._is_listener(sender.getsockname()[1], own, own)
        other.stdin.write("\n")


def test_connections_are_looked_at_once_a_second_at_most(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_PER_LOOK", 3600.0)
    monkeypatch.setattr(module, "_looked_at", float("-inf"))
    looks = []
    monkeypatch.setattr(module.psutil, "net_connections", lambda _: looks.append(1) or [])
    for _ in range(5):
        module._is_listener(1, 2, 3)
    assert len(looks) == 1


class Proxy(BaseHTTPRequestHandler):
    """A reverse proxy on the same machine, as careless as can be: it adds no header."""

    service_port = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        url = f"http://127.0.0.1:{self.service_port}{self.path}"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with closing(urllib.request.urlopen(request, timeout=10)) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.mark.usefixtures("someone_elses")
def test_stranger_behind_a_proxy_reaches_no_loopback_port(host, app_without_label_studio):
    """Neither an open port nor a closed one is told from another, and nothing is quoted."""
    host.answer = lambda _: (403, {}, b'{"detail": "hunter2"}')
    server = make_server("127.0.0.1", 0, app_without_label_studio, threaded=True)
    Proxy.service_port = server.server_port
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threads = [threading.Thread(target=one.serve_forever, args=(0.01,)) for one in (server, proxy)]
    for thread in threads:
        thread.start()
    said = []
    for number, hostname in enumerate((host.url, "http://127.0.0.1:9")):
        project = f"{number}.1795350403"
        post(proxy, "/setup", setup_body(project, hostname))
        for path in ("/raw", "/api/x?detail"):
            error = post(proxy, "/predict", predict_body(project, path))["error"]
            assert "hunter2" not in str(error)
            said.append(error["message"].replace(hostname, "").replace("127.0.0.1", ""))
    for one in (server, proxy):
        one.shutdown()
        one.server_close()
    for thread in threads:
        thread.join()
    assert len(set(said)) == 1
    assert host.paths == ["/api/version/"]


CONFIG = (
    '<View><Image name="image" value="$image"/><KeyPointLabels name="k" toName="image" '
    'smart="true"><Label value="A"/></KeyPointLabels><BrushLabels name="b" toName="image">'
    '<Label value="A"/></BrushLabels></View>'
)


def setup_body(project, hostname):
    return {"project": project, "schema": CONFIG, "hostname": hostname, "access_token": "t"}


def predict_body(project, path):
    click = {
        "id": "a",
        "type": "keypointlabels",
        "from_name": "k",
        "to_name": "image",
        "is_positive": True,
        "original_width": 60,
        "original_height": 40,
        "image_rotation": 0,
        "value": {"x": 50, "y": 50, "width": 0.3, "keypointlabels": ["A"]},
    }
    return {
        "tasks": [{"id": 1, "data": {"image": path}}],
        "project": project,
        "label_config": CONFIG,
        "params": {"context": {"result": [click]}},
    }


def post(server, path, body):
    url = f"http://127.0.0.1:{server.server_port}{path}"
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with closing(urllib.request.urlopen(request, timeout=10)) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return json.loads(error.read())


@pytest.fixture
def app_without_label_studio():
    settings = Settings(prefetch_tasks=0)
    service = ClickService(FakePredictor(), settings)
    yield create_app(settings, click_service=service)
    service.close()
