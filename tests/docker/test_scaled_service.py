"""Several backends behind nginx: compose.scale.yml and nginx.conf, the latter in a real nginx."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from gateway import Replica, running_nginx
from test_docker_files import DOCKER, environment_example, filled_in, read_compose

from backend.commands.demo.child_process import free_port
from backend.commands.demo.label_studio_server import SETTINGS as LABEL_STUDIO_SETTINGS
from backend.settings.settings import Settings

CONFIG = (DOCKER / "nginx.conf").read_text()
PREDICT_TIMEOUT_S = 100  # Label Studio's


def scale_services() -> dict:
    return filled_in(read_compose("compose.scale.yml")["services"], environment_example())


def seconds_of(directive: str) -> list[int]:
    return [int(value) for value in re.findall(rf"\b{directive} (\d+)s;", CONFIG)]


@pytest.fixture
def replicas() -> Iterator[list[Replica]]:
    made = [Replica(), Replica()]
    yield made
    for replica in made:
        with suppress(OSError):
            replica.stop()


@pytest.fixture
def gateway(replicas: list[Replica], tmp_path: Path) -> Iterator[str]:
    """A real nginx with docker/nginx.conf, where an upstream stands in for Docker's name server."""
    port = free_port(29090)
    servers = " ".join(f"server 127.0.0.1:{r.server.port} max_fails=0;" for r in replicas)
    config = CONFIG.replace("listen 9090;", f"listen 127.0.0.1:{port};")
    config = config.replace("set $backend backend:9090;", "set $backend backend;")
    config = config.replace("http {", f"http {{ upstream backend {{ {servers} }}", 1)
    with running_nginx(tmp_path, config, port):
        yield f"http://127.0.0.1:{port}"


def test_scaled_backends_are_reached_through_the_gateway_only():
    services = read_compose("compose.scale.yml")["services"]
    assert services["backend"]["ports"] == []
    assert "ports" not in services["redis"]
    base = read_compose("compose.yml")["services"]["backend"]
    assert services["gateway"]["ports"] == base["ports"]


def test_scaled_services_wait_for_each_other_and_share_one_redis():
    services = scale_services()
    settings = Settings.from_environment(services["backend"]["environment"])
    assert settings.redis_url == "redis://redis:6379/0"
    assert services["backend"]["deploy"]["replicas"] == "2"
    for service in services.values():
        for name, wait in service.get("depends_on", {}).items():
            assert wait == {"condition": "service_healthy"}
            assert "healthcheck" in services[name] or name == "backend"  # its image has one


def test_redis_of_the_scaled_service_forgets_the_least_used_and_writes_nothing():
    command = scale_services()["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options == {"--save": "", "--maxmemory": "4gb", "--maxmemory-policy": "allkeys-lru"}


def test_gateway_takes_its_config_from_where_it_is():
    [mount] = scale_services()["gateway"]["volumes"]
    source, target, mode = mount.split(":")
    assert (DOCKER / source).resolve() == DOCKER / "nginx.conf"
    assert (target, mode) == ("/etc/nginx/nginx.conf", "ro")


def test_gateway_is_more_patient_than_label_studio_but_not_with_a_dead_backend():
    assert "ML_TIMEOUT_PREDICT" not in LABEL_STUDIO_SETTINGS  # so it is the default
    assert max(seconds_of("proxy_read_timeout")) > PREDICT_TIMEOUT_S
    assert min(seconds_of("proxy_send_timeout")) > PREDICT_TIMEOUT_S
    assert seconds_of("proxy_connect_timeout") == [1]


def test_gateway_shares_clicks_among_the_backends(gateway: str, replicas: list[Replica]):
    for _ in range(10):
        assert requests.post(f"{gateway}/predict", data=b"{}", timeout=10).status_code == 200
    taken = [len(replica.asked) for replica in replicas]
    assert sum(taken) == 10
    assert min(taken) >= 3  # each of nginx's processes takes turns by itself


def test_gateway_passes_bodies_logins_and_health_on(gateway: str, replicas: list[Replica]):
    body = b"[" + b"1," * 4_000_000 + b"1]"  # a draft full of masks
    requests.post(f"{gateway}/predict", data=body, auth=("ann", "secret"), timeout=10)
    assert requests.get(f"{gateway}/health", timeout=10).json() == {}
    asked = [each for replica in replicas for each in replica.asked]
    assert sorted(asked) == [("GET", "/health", b""), ("POST", "/predict", body)]
    logins = [each["HTTP_AUTHORIZATION"] for replica in replicas for each in replica.headers]
    assert sorted(logins) == ["", "Basic YW5uOnNlY3JldA=="]


def test_gateway_keeps_the_reason_in_the_status_line(gateway: str, replicas: list[Replica]):
    for replica in replicas:
        replica.status = "422 No smart KeyPointLabels in the labeling config"
    response = requests.post(f"{gateway}/setup", data=b"{}", timeout=10)
    assert (response.status_code, response.reason) == (
        422,
        "No smart KeyPointLabels in the labeling config",
    )


@pytest.mark.parametrize("fault", ["busy", "dead"])
def test_click_goes_to_another_backend_when_one_is(
    gateway: str, replicas: list[Replica], fault: str
):
    if fault == "busy":
        replicas[0].status = "503 Busy, click again in a moment"
    else:
        replicas[0].stop()
    statuses = [
        requests.post(f"{gateway}/predict", data=b"{}", timeout=10).status_code for _ in range(6)
    ]
    assert statuses == [200] * 6
    assert len(replicas[1].asked) == 6
