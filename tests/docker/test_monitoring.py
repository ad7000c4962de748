"""Prometheus, Grafana and the dashboard, as far as they can be checked without them."""

import base64
import itertools
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from clicks import click
from prometheus_client.parser import text_string_to_metric_families

from backend.service.app import create_app
from backend.settings.settings import Settings

DOCKER = Path(__file__).parents[2] / "docker"
DASHBOARD = json.loads((DOCKER / "grafana-dashboard.json").read_text())
COMPOSE = yaml.safe_load((DOCKER / "compose.monitoring.yml").read_text())
PROMETHEUS = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
QUERIES = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
ADDED_BY_PROMETHEUS = {"job", "instance"}


@pytest.fixture
def samples(client):
    """Those of /metrics after a first click, a warm one, an opened task and a request refused."""
    click(client)
    click(client)
    click(client, prompted=False)
    client.post("/predict", data="no JSON")
    families = list(text_string_to_metric_families(client.get("/metrics").text))
    return [sample for family in families for sample in family.samples]


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_dashboard_asks_for_metrics_and_labels_that_there_are(query, samples):
    bare = re.sub(r'"[^"]*"', '""', query)
    asked = re.findall(r"\b((?:mobilesam|process)_\w+)(?:\{([^}]*)\})?", bare)
    assert asked
    labels = {name for sample in samples for name in sample.labels} | ADDED_BY_PROMETHEUS
    for name, selectors in asked:
        found = [sample for sample in samples if sample.name == name]
        assert found, name
        assert set(re.findall(r"(\w+)\s*[!=]", selectors)) <= labels
    for grouping in re.findall(r"by \(([^)]*)\)", bare):
        assert set(grouping.replace(" ", "").split(",")) <= labels


def test_dashboard_selects_outcomes_and_paths_that_there_are(samples):
    chosen = {
        (label, value)
        for query in QUERIES.values()
        for label, values in re.findall(r'(path|outcome)=~?"([^"]*)"', query)
        for value in values.split("|")
    }
    there = {(name, value) for sample in samples for name, value in sample.labels.items()}
    assert chosen - there == {("outcome", "empty")}  # a click that met no object; rare


def test_dashboard_panels_say_what_they_show_and_do_not_overlap():
    places = {}
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        place = panel["gridPos"]
        for x, y in itertools.product(range(place["w"]), range(place["h"])):
            assert place["x"] + x < 24
            assert places.setdefault((place["x"] + x, place["y"] + y), panel) is panel
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_grafana_finds_its_dashboard_and_its_figures():
    mounts = dict(
        mount.split(":")[1::-1]
        for mount in COMPOSE["services"]["grafana"]["volumes"]
        if mount.startswith("./")
    )
    assert all((DOCKER / source).is_file() for source in mounts.values())
    provider = yaml.safe_load((DOCKER / "grafana-dashboards.yml").read_text())["providers"][0]
    home = COMPOSE["services"]["grafana"]["environment"][
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"
    ]
    assert mounts[home] == "./grafana-dashboard.json"
    assert str(Path(home).parent) == provider["options"]["path"]
    (source,) = yaml.safe_load((DOCKER / "grafana-datasource.yml").read_text())["datasources"]
    used = {target["datasource"]["uid"] for p in DASHBOARD["panels"] for target in p["targets"]}
    assert used == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == PROMETHEUS["global"]["scrape_interval"]


def test_prometheus_asks_the_backends_of_compose():
    (job,) = PROMETHEUS["scrape_configs"]
    (service,) = job["dns_sd_configs"]
    assert service["names"] == ["backend"]
    assert service["port"] == Settings().port
    assert {f'{{job="{job["job_name"]}"}}' in query for query in QUERIES.values()} == {True, False}


def test_prometheus_sends_the_credentials_that_the_backend_wants(click_service, tmp_path):
    """Runs the container's script itself, with a Prometheus that does nothing."""
    settings = Settings(basic_auth_user="anna", basic_auth_pass='it\'s $HOME\\n "%s"')
    service = COMPOSE["services"]["prometheus"]
    shell, options, script = service["entrypoint"]
    script = script.replace("$$", "$").replace("/tmp/", f"{tmp_path}/")  # noqa: S108 - the container's
    assert "exec /bin/prometheus --config.file=/etc/prometheus/prometheus.yml" in script
    subprocess.run(
        [shell, options, script.replace("/bin/prometheus", "true")],
        env={
            "PATH": "/usr/bin:/bin",
            "BASIC_AUTH_USER": settings.basic_auth_user,
            "BASIC_AUTH_PASS": settings.basic_auth_pass,
        },
        check=True,
    )
    files = PROMETHEUS["scrape_configs"][0]["basic_auth"]
    user, password = (
        (tmp_path / Path(files[name]).name).read_text()
        for name in ("username_file", "password_file")
    )
    sent = base64.b64encode(f"{user}:{password}".encode()).decode()
    client = create_app(settings, click_service=click_service).test_client()
    answer = client.get("/metrics", headers={"Authorization": f"Basic {sent}"})
    assert answer.status_code == 200


def test_images_are_pinned_and_nothing_is_published_beyond_this_machine():
    for service in COMPOSE["services"].values():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    named = {
        mount.split(":")[0]
        for service in COMPOSE["services"].values()
        for mount in service["volumes"]
        if not mount.startswith("./")
    }
    assert named == COMPOSE["volumes"].keys()


def test_documentation_names_every_metric_and_no_other(samples):
    page = (DOCKER.parent / "docs" / "monitoring.md").read_text()
    named = set(re.findall(r"`(mobilesam_\w+)`", page))
    there = {
        re.sub(r"_(bucket|sum|count|created)$", "", sample.name)
        for sample in samples
        if sample.name.startswith("mobilesam_")
    }
    counters = {name for name in named if name.endswith("_total")}
    there = {name for name in there if f"{name}_total" not in counters}  # their `_created`
    assert named == there
