"""What another site's page can have a browser send, and what it cannot."""

import socket

import pytest
from fake_click_service import FakeClickService, predict_body

from backend.core.errors import SettingsError
from backend.service.app import create_app
from backend.settings.settings import Settings

ROUTES = ["/setup", "/predict", "/webhook", "/train", "/versions", "/playground/masks"]
FORMS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]


def app_client(**settings):
    service = FakeClickService()
    service.playground = None
    client = create_app(Settings(**settings), click_service=service).test_client()
    client.service = service
    return client


def post(client, route="/predict", host="sam:9090", **headers):
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(route, json=predict_body(), headers={"Host": host, **sent})


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec_Fetch_Site": "cross-site"}, id="says-so"),
        pytest.param({"Sec_Fetch_Site": "same-site"}, id="another-port"),
        pytest.param({"Origin": "https://evil.example"}, id="origin"),
        pytest.param({"Origin": "null"}, id="sandbox"),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", *FORMS])
def test_post_of_another_site_is_refused_on_every_route(route, headers, kind):
    client = app_client()
    response = post(client, route, Content_Type=kind, **headers)
    assert response.status == "403 Request from another site"
    assert response.json["error"]["code"] == "cross_site"
    assert client.service.asked == []


@pytest.mark.parametrize("password", [None, "p"])
def test_password_does_not_open_the_routes_to_another_site(password):
    """Browsers send Basic auth along by themselves."""
    client = app_client(basic_auth_user=password and "u", basic_auth_pass=password)
    assert post(client, Origin="https://evil.example").status_code == 403


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9090", "Evil.Example.", "127.0.0.1.evil.example:9090"]
)
def test_page_at_a_name_that_anybody_could_lead_here_is_refused(route, host):
    client = app_client()
    response = post(client, route, host, Origin=f"http://{host}")
    assert response.status == "403 Host not trusted, set MOBILESAM_TRUSTED_HOSTS"
    assert client.service.asked == []


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        pytest.param("sam.example.org", {}, id="label-studio-or-curl"),
        pytest.param("backend:9090", {}, id="docker"),
        pytest.param("backend:9090", {"Origin": "http://backend:9090"}, id="page-docker"),
        pytest.param("localhost:9090", {"Origin": "http://localhost:9090"}, id="page-localhost"),
        pytest.param("10.0.0.5:9090", {"Origin": "http://10.0.0.5:9090"}, id="page-ipv4"),
        pytest.param("[fd00::5]:9090", {"Origin": "http://[fd00::5]:9090"}, id="page-ipv6"),
        pytest.param("sam.lan", {"Origin": "http://sam.lan"}, id="page-private-name"),
        pytest.param("sam.example.org", {"Origin": "https://sam.example.org"}, id="page-https"),
        pytest.param(
            "backend:9090",
            {"Origin": "https://sam.example.org", "Sec_Fetch_Site": "same-origin"},
            id="page-behind-a-proxy-that-drops-host",
        ),
        pytest.param("sam.example.org", {"Sec_Fetch_Site": "same-origin"}, id="page-https-modern"),
    ],
)
def test_requests_that_no_hostile_page_can_have_sent_pass(host, headers):
    assert post(app_client(), host=host, **headers).status_code == 200


def test_trusted_name_passes_and_the_machines_own(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu7.example.org")
    client = app_client(trusted_hosts=("sam.example.org",))
    for name in ("sam.example.org", "SAM.example.org:81", "gpu7.example.org:9090"):
        assert post(client, host=name, Origin=f"http://{name}").status_code == 200
    assert post(client, host="a.example.org", Origin="http://a.example.org").status_code == 403


def test_with_a_password_any_name_may_be_the_services():
    client = app_client(basic_auth_user="u", basic_auth_pass="p")
    response = client.post(
        "/predict",
        json=predict_body(),
        headers={"Host": "sam.example.org", "Origin": "http://sam.example.org"},
        auth=("u", "p"),
    )
    assert response.status_code == 200


def test_reading_is_not_affected():
    headers = {"Host": "evil.example", "Sec-Fetch-Site": "cross-site"}
    assert app_client().get("/health", headers=headers).status_code == 200


@pytest.mark.parametrize("value", ["http://a.example", "a b", "a.example:9090", "*"])
def test_trusted_hosts_that_are_no_names_stop_the_start(value):
    with pytest.raises(SettingsError, match=r"MOBILESAM_TRUSTED_HOSTS=.* is not a list of names"):
        Settings.from_environment({"MOBILESAM_TRUSTED_HOSTS": value})
