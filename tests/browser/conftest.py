"""A real Label Studio, the real backend with the demo weights, and a browser, one of each."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest
import requests
from labeling_page import LabelingPage, log_in
from playwright.sync_api import sync_playwright

from backend.commands.demo.child_process import free_port
from backend.commands.demo.label_studio_server import LabelStudioServer, install_label_studio
from backend.commands.demo.run import BackendServer
from backend.label_studio.client import LabelStudio

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "runs" / "screenshots"

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def label_studio_python():
    """Python of Label Studio's own environment, which the demo uses too."""
    return install_label_studio(ROOT / ".label-studio" / "venv")


@pytest.fixture(scope="session")
def label_studio(label_studio_python, tmp_path_factory):
    data = tmp_path_factory.mktemp("label_studio")
    with LabelStudioServer(label_studio_python, data, port=free_port(18080)) as server:
        server.wait_until_up()
        yield server


@pytest.fixture(scope="session")
def api(label_studio):
    """The client of backend/label_studio/client.py, as the user of `label_studio`."""
    with closing(LabelStudio(label_studio.url, label_studio.login.token)) as server:
        yield server


@pytest.fixture(scope="session")
def personal_token(label_studio):
    """A personal access token; Label Studio makes one, and shows it whole this once."""
    headers = {"Authorization": f"Token {label_studio.login.token}"}
    answer = requests.post(f"{label_studio.url}/api/token/", headers=headers, timeout=10)
    return answer.json()["token"]


@pytest.fixture(scope="session")
def backend(label_studio, tmp_path_factory):
    log = tmp_path_factory.mktemp("backend") / "backend.log"
    port = free_port(19090)
    with BackendServer(label_studio, checkpoint="demo", port=port, log=log) as server:
        server.wait_until_up()
        yield server


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("no chromium on this machine; install it: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def labeling_page(chromium, label_studio, request):
    """A logged-in browser window; its screenshots go to runs/screenshots."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    foreign_urls = []
    page.on("request", lambda sent: _note_foreign(sent.url, label_studio.url, foreign_urls))
    log_in(page, label_studio.url, label_studio.login)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    yield LabelingPage(page, label_studio.url, SCREENSHOTS / request.node.name)
    page.screenshot(path=SCREENSHOTS / f"{request.node.name}_end.png")
    context.close()
    assert foreign_urls == []


def _note_foreign(url, own_url, foreign_urls):
    if not url.startswith((own_url, "data:", "blob:")):
        foreign_urls.append(url)
