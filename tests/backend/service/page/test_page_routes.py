import re
from pathlib import Path

import pytest

import backend.service.page

STATIC = Path(backend.service.page.__file__).with_name("static")
CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
ADDRESSES = [
    pytest.param("GET", "/", id="page"),
    pytest.param("GET", "/page/page.css", id="style"),
    pytest.param("GET", "/page/main.js", id="script"),
    pytest.param("GET", "/page/status", id="status"),
    pytest.param("GET", "/playground/samples/coins.png", id="sample"),
    pytest.param("POST", "/playground/images", id="image"),
    pytest.param("POST", "/playground/masks", id="click"),
    pytest.param("POST", "/playground/downloads/png", id="download"),
]


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        pytest.param(CHROMIUM, "text/html", id="browser"),
        pytest.param("text/html", "text/html", id="html-only"),
        pytest.param("*/*", "application/json", id="label-studio-and-curl"),
        pytest.param(None, "application/json", id="nothing-said"),
        pytest.param("application/json", "application/json", id="json"),
        pytest.param("application/json, text/html;q=0.5", "application/json", id="rather-json"),
        pytest.param("text/html;q=0, */*", "application/json", id="anything-but-html"),
        pytest.param("nonsense", "application/json", id="nonsense"),
    ],
)
def test_root_is_html_only_where_that_is_preferred(client, accept, mimetype):
    headers = {} if accept is None else {"Accept": accept}
    response = client.get("/", headers=headers)
    assert response.status_code == 200
    assert response.mimetype == mimetype
    assert response.headers["Vary"] == "Accept"


def test_root_as_json_is_what_health_says(client):
    assert client.get("/").json == client.get("/health").json
    assert client.get("/health", headers={"Accept": CHROMIUM}).mimetype == "application/json"


def test_status_adds_uptime_and_bounds_to_health(make_client):
    client = make_client(max_image_mb=7, max_pixels=1000)
    added = {"max_image_mb": 7, "max_pixels": 1000}
    status = client.get("/page/status").json
    assert status.pop("uptime_s") >= 0
    assert status == client.get("/health").json | added


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_every_answer_allows_only_the_page_itself(client, method, address):
    headers = client.open(address, method=method, headers={"Accept": "text/html"}).headers
    policy = headers["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_every_address_is_behind_basic_auth(make_client, method, address):
    client = make_client(basic_auth_user="ann", basic_auth_pass="sesame")
    headers = {"Accept": "text/html"}
    refused = client.open(address, method=method, headers=headers)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic")
    let_in = client.open(address, method=method, headers=headers, auth=("ann", "sesame"))
    assert let_in.status_code != 401


def test_page_holds_no_script_and_no_style_of_its_own_and_nothing_from_elsewhere():
    page = (STATIC / "page.html").read_text()
    assert re.findall(r"<script[^>]*>([^<]+)", page) == []
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", page)
    for file in STATIC.iterdir():
        addresses = re.findall(r"(?:https?:)?//[a-z][^\s\"')]*\.[a-z]+", file.read_text())
        assert set(addresses) <= {"http://www.w3.org"}, file.name  # the name of SVG, never asked


def test_scripts_put_nothing_into_the_page_as_markup():
    for script in STATIC.glob("*.js"):
        text = script.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


def test_files_that_page_and_scripts_name_are_there(client):
    page = (STATIC / "page.html").read_text()
    named = set(re.findall(r'(?:src|href)="page/([^"]+)"', page))
    for script in STATIC.glob("*.js"):
        named |= set(re.findall(r'from "\./([^"]+)"', script.read_text()))
    assert named == {file.name for file in STATIC.iterdir()} - {"page.html"}
    for name in named:
        assert client.get(f"/page/{name}").status_code == 200, name


def test_files_outside_the_page_are_not_served(client):
    assert client.get("/page/../routes.py").status_code == 404
    assert client.get("/page/%2e%2e/routes.py").status_code == 404
