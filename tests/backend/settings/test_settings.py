from pathlib import Path
from types import SimpleNamespace

import pytest

from backend.commands.demo.run import BackendServer
from backend.core.errors import SettingsError
from backend.service import server
from backend.settings.settings import Settings
from backend.transport.addresses import parse_allowed_hosts
from mobilesam.runtimes.options import PRECISIONS


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_of_the_model_can_be_set(precision):
    settings = Settings.from_environment({"MOBILESAM_PRECISION": precision.upper()})
    assert settings.precision == precision


def test_settings_have_defaults_for_everything():
    settings = Settings.from_environment({})
    assert settings.port == 9090
    assert settings.checkpoint == "official"
    assert settings.label_studio_url is None


def test_settings_read_every_variable():
    settings = Settings.from_environment(
        {
            "LABEL_STUDIO_URL": "http://ls:8080/",
            "LABEL_STUDIO_API_KEY": "key",
            "BASIC_AUTH_USER": "user",
            "BASIC_AUTH_PASS": "pass",
            "LOG_LEVEL": "debug",
            "MOBILESAM_HOST": "::1",
            "PORT": "9999",
            "THREADS": "8",
            "MOBILESAM_CHECKPOINT": "demo",
            "MOBILESAM_DEVICE": "cpu",
            "MOBILESAM_RUNTIME": "OpenVINO",
            "MOBILESAM_PRECISION": "float32",
            "MOBILESAM_CACHE_MB": "64",
            "MOBILESAM_CACHE_DIR": "/cache/embeddings",
            "MOBILESAM_CACHE_DIR_MB": "100",
            "MOBILESAM_REDIS_URL": "redis://redis:6379/0",
            "MOBILESAM_REDIS_HOURS": "24",
            "MOBILESAM_PREFETCH_TASKS": "0",
            "MOBILESAM_MAX_IMAGE_MB": "5",
            "MOBILESAM_MAX_PIXELS": "1000",
            "MOBILESAM_FETCH_TIMEOUT_S": "2.5",
            "MOBILESAM_ALLOW_HOSTS": "images.lan",
            "MOBILESAM_MAX_REQUEST_MB": "7",
            "MOBILESAM_MAX_TASKS": "70",
            "MOBILESAM_MAX_REGIONS": "700",
            "MOBILESAM_MAX_WAITING": "6",
            "MOBILESAM_OUTPUT": "Polygon",
            "MOBILESAM_POLYGON_TOLERANCE_PX": "0.5",
            "MOBILESAM_MIN_ISLAND_PX": "20",
            "MOBILESAM_MIN_HOLE_PX": "30",
            "MOBILESAM_KEEP_CLICKED_PARTS": "TRUE",
        }
    )
    assert settings == Settings(
        label_studio_url="http://ls:8080",
        label_studio_api_key="key",
        basic_auth_user="user",
        basic_auth_pass="pass",
        log_level="DEBUG",
        host="::1",
        port=9999,
        threads=8,
        checkpoint="demo",
        device="cpu",
        runtime="openvino",
        precision="float32",
        cache_mb=64,
        cache_dir="/cache/embeddings",
        cache_dir_mb=100,
        redis_url="redis://redis:6379/0",
        redis_hours=24,
        prefetch_tasks=0,
        max_image_mb=5,
        max_pixels=1000,
        fetch_timeout_s=2.5,
        allow_hosts=parse_allowed_hosts("images.lan"),
        max_request_mb=7,
        max_tasks=70,
        max_regions=700,
        max_waiting=6,
        output="polygon",
        polygon_tolerance_px=0.5,
        min_island_px=20,
        min_hole_px=30,
        keep_clicked_parts=True,
    )


def test_settings_report_all_mistakes_together():
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(
            {
                "MOBILESAM_HOST": "localhost",
                "PORT": "70000",
                "MOBILESAM_CACHE_MB": "lots",
                "LABEL_STUDIO_URL": "localhost:8080",
                "MOBILESAM_FETCH_TIMEOUT_S": "nan",
                "MOBILESAM_OUTPUT": "ellipse",
                "MOBILESAM_POLYGON_TOLERANCE_PX": "nan",
                "MOBILESAM_MIN_ISLAND_PX": "-1",
                "MOBILESAM_KEEP_CLICKED_PARTS": "maybe",
                "LOG_LEVEL": "LOUD",
            }
        )
    assert caught.value.message.splitlines() == [
        "LABEL_STUDIO_URL='localhost:8080' is not a URL such as http://localhost:8080",
        "LOG_LEVEL='LOUD' is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
        "MOBILESAM_HOST='localhost' is not an IP address such as 127.0.0.1 or ::1",
        "PORT='70000' is not between 1 and 65535 ports",
        "MOBILESAM_CACHE_MB='lots' is not a whole number of megabytes",
        "MOBILESAM_FETCH_TIMEOUT_S='nan' is not between 0 and 600 seconds",
        "MOBILESAM_OUTPUT='ellipse' is not one of auto, brush, bitmask, polygon, rectangle",
        "MOBILESAM_POLYGON_TOLERANCE_PX='nan' is not between 0 and 100 pixels",
        "MOBILESAM_MIN_ISLAND_PX='-1' is not between 0 and 10000000000 pixels",
        "MOBILESAM_KEEP_CLICKED_PARTS='maybe' is not true or false",
    ]


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        pytest.param({"BASIC_AUTH_USER": "u"}, "BASIC_AUTH_USER and BASIC_AUTH_PASS", id="no-pass"),
        pytest.param({"BASIC_AUTH_USER": "a:b", "BASIC_AUTH_PASS": "p"}, "has a colon", id="colon"),
        pytest.param({"BASIC_AUTH_PASS": "p"}, "BASIC_AUTH_USER and BASIC_AUTH_PASS", id="no-user"),
        pytest.param(
            {"MOBILESAM_MAX_WAITING": "8", "THREADS": "8"},
            "MOBILESAM_MAX_WAITING=8 is not less than THREADS=8",
            id="no-thread-left",
        ),
        pytest.param({"LABEL_STUDIO_API_KEY": "k"}, "LABEL_STUDIO_URL is not", id="key-for-nobody"),
    ],
)
def test_settings_that_need_each_other_are_refused_alone(environment, problem):
    with pytest.raises(SettingsError, match=problem):
        Settings.from_environment(environment)


def test_empty_variables_count_as_not_set():
    assert Settings.from_environment({"PORT": "", "LABEL_STUDIO_URL": " "}) == Settings()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        pytest.param("http://localhost:80800", "Port out of range", id="port-too-high"),
        pytest.param("http://localhost:x", "Port could not be cast", id="port-no-number"),
        pytest.param("http://localhost:0", "is not a URL such as", id="port-0"),
        pytest.param("http://[::1", "Invalid IPv6 URL", id="open-bracket"),
        pytest.param("ftp://localhost", "is not a URL such as", id="other-scheme"),
        pytest.param("http://localhost:8080/projects?x=1", "has a query", id="query"),
        pytest.param("http://localhost:8080/#top", "or a fragment", id="fragment"),
    ],
)
def test_label_studio_urls_that_no_path_can_follow_are_refused(url, problem):
    with pytest.raises(SettingsError, match=problem):
        Settings.from_environment({"LABEL_STUDIO_URL": url})


def test_cache_holds_a_few_images_at_least():
    assert Settings.from_environment({"MOBILESAM_CACHE_MB": "16"}).cache_mb == 16
    with pytest.raises(SettingsError, match="MOBILESAM_CACHE_MB='15' is not between 16"):
        Settings.from_environment({"MOBILESAM_CACHE_MB": "15"})


@pytest.mark.parametrize(
    "url",
    ["sesame@localhost:6379", "http://:sesame@localhost", "redis://:sesame@localhost:port"],
)
def test_redis_url_of_another_kind_is_refused_without_its_password(url):
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"MOBILESAM_REDIS_URL": url})
    assert caught.value.message.startswith("MOBILESAM_REDIS_URL=*** is not a URL such as redis://")


def test_cache_folder_that_is_a_file_is_refused():
    with pytest.raises(SettingsError, match=r"MOBILESAM_CACHE_DIR='.*' is a file, not a folder"):
        Settings.from_environment({"MOBILESAM_CACHE_DIR": __file__})


def test_settings_are_printed_without_their_secrets():
    printed = repr(
        Settings(label_studio_api_key="key-1", basic_auth_user="ann", basic_auth_pass="pass-1")
    )
    assert "ann" in printed
    assert "key-1" not in printed
    assert "pass-1" not in printed


@pytest.mark.parametrize(
    ("host", "address"),
    [
        pytest.param("127.0.0.1", ("127.0.0.1", 9999), id="ipv4"),
        pytest.param("::1", ("::1", 9999), id="ipv6"),
    ],
)
def test_host_and_port_are_what_the_server_binds(host, address):
    assert server._Server(Settings(host=host, port=9999)).cfg.address == [address]


def test_gunicorn_writes_no_access_log_beside_ours():
    assert server._Server(Settings()).cfg.accesslog is None


@pytest.mark.parametrize(
    ("settings", "warnings"),
    [
        pytest.param({}, 1, id="open-to-all"),
        pytest.param({"host": "::"}, 1, id="open-to-all-ipv6"),
        pytest.param({"host": "127.0.0.1"}, 0, id="loopback"),
        pytest.param({"host": "::1"}, 0, id="loopback-ipv6"),
        pytest.param({"basic_auth_user": "u", "basic_auth_pass": "p"}, 0, id="basic-auth"),
    ],
)
def test_service_that_is_open_to_all_says_so(settings, warnings, monkeypatch, caplog):
    monkeypatch.setattr(server._Server, "run", lambda _: None)
    server.serve(Settings(port=9999, **settings))
    warning = (
        "anyone who reaches port 9999 can use this backend; "
        "set BASIC_AUTH_USER and BASIC_AUTH_PASS, or MOBILESAM_HOST=127.0.0.1"
    )
    assert caplog.messages == [warning] * warnings


def test_demo_is_for_its_own_machine_only(monkeypatch):
    monkeypatch.setenv("MOBILESAM_HOST", "0.0.0.0")  # noqa: S104 - must not be taken over
    label_studio = SimpleNamespace(url="http://127.0.0.1:8080", login=SimpleNamespace(token="t"))
    backend = BackendServer(label_studio, checkpoint="demo", port=9999, log=Path("log"))
    assert Settings.from_environment(backend.environment).host == "127.0.0.1"
