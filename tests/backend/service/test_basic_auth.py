import base64

import pytest
from fake_click_service import FakeClickService

from backend.service.app import create_app
from backend.settings.settings import Settings


@pytest.fixture
def click_service():
    return FakeClickService()


def basic(pair):
    return f"Basic {base64.b64encode(pair).decode()}"


class TestBasicAuth:
    @pytest.fixture
    def client(self, click_service):
        settings = Settings(basic_auth_user="anna", basic_auth_pass="pässword")
        return create_app(settings, click_service=click_service).test_client()

    @pytest.mark.parametrize(
        "path",
        [
            *("/setup", "/predict", "/webhook", "/train", "/versions", "/", "/nothing"),
            *("/health/", "/HEALTH", "//health", "/health/../predict", "/predict?/health"),
        ],
    )
    def test_routes_need_the_credentials(self, client, click_service, path):
        for method in ("GET", "POST"):
            response = client.open(path, method=method, json={})
            assert response.status == "401 Basic auth required"
            assert response.headers["WWW-Authenticate"].startswith("Basic ")
            response = client.open(path, method=method, json={}, auth=("anna", "wrong"))
            assert response.status_code == 401
        assert click_service.asked == []

    @pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
    def test_password_beyond_ascii_is_taken_in_both_encodings(self, client, encoding):
        """`requests` sends Latin-1, and Label Studio sends through it."""
        header = basic("anna:pässword".encode(encoding))
        assert client.get("/versions", headers={"Authorization": header}).status_code == 200

    def test_password_that_latin_1_cannot_hold_is_taken(self, click_service):
        settings = Settings(basic_auth_user="anna", basic_auth_pass="пароль")
        client = create_app(settings, click_service=click_service).test_client()
        header = basic("anna:пароль".encode())
        assert client.get("/versions", headers={"Authorization": header}).status_code == 200
        assert client.get("/versions", auth=("anna", "??????")).status_code == 401

    @pytest.mark.parametrize(
        "header",
        [
            pytest.param("", id="empty"),
            pytest.param("Basic", id="scheme-alone"),
            pytest.param("Basic ", id="nothing"),
            pytest.param("Basic !!!", id="not-base64"),
            pytest.param("Basic YW5uYQ", id="base64-cut"),
            pytest.param("Basic \xe4\xff", id="beyond-ascii"),
            pytest.param("Basic Og==", id="empty-user-and-password"),
            pytest.param("Basic YW5uYTo=", id="empty-password"),
            pytest.param("Basic YW5uYQ==", id="no-colon"),
            pytest.param("Basic AAAA", id="zeros"),
            pytest.param("Bearer YW5uYTpww6Rzc3dvcmQ=", id="another-scheme"),
            pytest.param("YW5uYTpww6Rzc3dvcmQ=", id="no-scheme"),
            pytest.param("Basic " + "YW5u" * 10_000, id="long"),
        ],
    )
    def test_malformed_credentials_are_refused(self, client, header):
        response = client.get("/versions", headers={"Authorization": header})
        assert response.status == "401 Basic auth required"

    def test_credentials_are_compared_in_constant_time(self, client, monkeypatch):
        compared = []
        monkeypatch.setattr(
            "backend.service.app.hmac.compare_digest", lambda *pair: compared.append(pair) or False
        )
        assert client.get("/versions", auth=("anna", "pässword")).status_code == 401
        assert len(compared) == 2  # both encodings, always

    def test_refused_password_is_not_logged(self, client, caplog):
        caplog.set_level("DEBUG")
        header = basic(b"anna:sesame")
        for path in ("/predict", "/webhook"):
            response = client.post(path, headers={"Authorization": header}, json={})
            assert response.status_code == 401
            assert "sesame" not in response.text
        assert "sesame" not in caplog.text
        assert header.split()[1] not in caplog.text

    def test_credentials_open_the_routes(self, client):
        assert client.get("/versions", auth=("anna", "pässword")).status_code == 200

    def test_setup_with_the_password_is_label_studios_wherever_it_comes_from(
        self, client, click_service
    ):
        client.post("/setup", json={"project": "1", "schema": "<View/>"}, auth=("anna", "pässword"))
        assert click_service.asked[0]["sender"] is None

    def test_health_needs_none(self, client):
        assert client.get("/health").status_code == 200
