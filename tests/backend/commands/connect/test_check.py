"""check names the link that fails, what to do about it, and what could not be tested then."""

import json

import pytest
from fake_ml_project import (
    NOWHERE,
    FakeMlProject,
    RunningBackend,
    running_backend,
    set_command_environment,
)

from backend import cli
from backend.commands.connect import service_links
from backend.label_studio import projects

HERE = ["settings", "port", "service", "weights", "device", "label_studio", "token"]
OF_PROJECT = [
    "project",
    "registration",
    "reachable",
    "interactive",
    "labeling_config",
    "image",
    "click",
    "click_through_label_studio",
]


@pytest.fixture
def label_studio():
    with FakeMlProject().running() as host:
        yield host


@pytest.fixture
def backend(label_studio):
    """A service that is registered in the project as it should be."""
    with running_backend(label_studio) as backend:
        label_studio.add_record(backend.url, title="MobileSAM")
        yield backend


@pytest.fixture
def run(label_studio, backend, monkeypatch, capsys):
    """Runs the command and returns (exit status, output)."""
    set_command_environment(monkeypatch, label_studio)
    monkeypatch.setenv("PORT", backend.url.rpartition(":")[2])

    def run(*arguments):
        return cli.main(["check", *arguments]), capsys.readouterr().out

    return run


@pytest.fixture
def check(run):
    """Runs the command and returns (exit status, {name: link}); the first of each name."""

    def check(*arguments):
        status, out = run("--json", *(arguments or ("--project", "7")))
        answer = json.loads(out)
        assert answer["ok"] is (status == 0)
        links = {}
        for link in answer["links"]:
            assert set(link) == {
                "name",
                "project",
                "status",
                "detail",
                "remedy",
                "ms",
                "steps_ms",
            }
            assert bool(link["remedy"]) is (link["status"] == "failed")
            links.setdefault(link["name"], link)
        return status, links

    return check


def failed(links):
    return [name for name, link in links.items() if link["status"] == "failed"]


def skipped(links):
    return [name for name, link in links.items() if link["status"] == "skipped"]


def test_chain_that_holds_is_all_ok_and_changes_nothing(check, label_studio):
    status, links = check()
    assert list(links) == HERE + OF_PROJECT
    assert {link["status"] for link in links.values()} == {"ok"}
    assert status == 0
    assert label_studio.changes == []
    assert links["token"]["detail"] == "personal access token of me@example.org"
    assert links["label_studio"]["detail"] == f"1.23.2 at {label_studio.url}"
    assert links["image"]["detail"].startswith("task 101: 60 x 40 pixels")
    assert set(links["image"]["steps_ms"]) == {"fetch", "decode"}
    assert links["click"]["ms"] > 0


def test_lines_say_ok_or_what_to_do(run, label_studio):
    status, out = run("--project", "7")
    assert status == 0
    assert {line.split()[0] for line in out.splitlines()} == {"ok"}
    label_studio.records.clear()
    status, out = run("--project", "7")
    assert status == 1
    assert "FAILED   registration" in out
    assert "-> python -m backend connect --project 7" in out
    assert "skipped  reachable" in out
    assert "needs registration" in out


def test_projects_with_the_backend_are_found_without_a_number(check, label_studio):
    status, links = check("--url", label_studio.url)
    assert status == 0
    assert links["projects"]["detail"] == "the backend is in 7, of the 1 newest"
    assert links["click"]["project"] == 7


def test_backend_in_no_project_is_said_with_the_command_that_helps(check, label_studio):
    label_studio.records.clear()
    status, links = check("--url", label_studio.url)
    assert status == 1
    assert failed(links) == ["projects"]
    assert links["projects"]["remedy"] == "python -m backend connect"


def test_no_model_is_loaded_while_a_service_runs(check, monkeypatch):
    monkeypatch.setattr(service_links, "load_predictor", None)  # a call would fail
    assert check()[0] == 0


def test_service_that_does_not_run_is_named_and_the_model_loaded_here(
    check, monkeypatch, label_studio
):
    monkeypatch.setenv("PORT", "9")
    monkeypatch.setenv("MOBILESAM_CHECKPOINT", "demo")
    status, links = check()
    assert status == 1
    assert failed(links) == ["port"]
    assert skipped(links) == ["service", "click"]
    assert "python -m backend serve" in links["port"]["remedy"]
    assert "mobilesam-demo-weights" in links["device"]["detail"]
    assert links["click_through_label_studio"]["status"] == "ok"


@pytest.mark.parametrize(
    ("variable", "value", "broken"),
    [
        pytest.param("MOBILESAM_CHECKPOINT", "/no/such.pt", "weights", id="weights"),
        pytest.param("MOBILESAM_DEVICE", "cuda:77", "device", id="device"),
    ],
)
def test_service_that_cannot_start_says_why(check, monkeypatch, variable, value, broken):
    monkeypatch.setenv("PORT", "9")
    monkeypatch.setenv("MOBILESAM_CHECKPOINT", "demo")
    monkeypatch.setenv(variable, value)
    _, links = check()
    assert failed(links) == ["port", broken]
    assert value in links[broken]["detail"]
    assert variable in links[broken]["remedy"]


@pytest.mark.parametrize(
    ("variable", "value", "broken"),
    [
        pytest.param("MOBILESAM_CHECKPOINT", "demo", "weights", id="weights"),
        pytest.param("MOBILESAM_DEVICE", "cuda", "device", id="device"),
        pytest.param("MOBILESAM_RUNTIME", "torch", "device", id="runtime"),
    ],
)
def test_service_with_other_settings_is_told(check, monkeypatch, variable, value, broken):
    monkeypatch.setenv(variable, value)
    _, links = check()
    assert failed(links) == [broken]
    assert f"{variable}={value}" in links[broken]["detail"]


def test_service_with_the_weights_that_the_settings_name_is_ok(check, monkeypatch):
    monkeypatch.setenv("MOBILESAM_CHECKPOINT", "fake")
    assert check()[0] == 0


def test_wrong_settings_are_a_line_too(check, monkeypatch):
    monkeypatch.setenv("MOBILESAM_CACHE_MB", "lots")
    status, links = check()
    assert status == 1
    assert failed(links) == ["settings"]
    assert "MOBILESAM_CACHE_MB='lots'" in links["settings"]["detail"]
    assert "label_studio" in skipped(links)


def test_other_program_on_the_port_is_no_service(check, label_studio):
    _, links = check("--project", "7", "--backend-url", label_studio.url)
    assert failed(links)[0] == "service"
    assert "is no MobileSAM backend" in links["service"]["detail"]


def no_address(label_studio, monkeypatch):
    monkeypatch.delenv("LABEL_STUDIO_URL")
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")


def no_token(label_studio, monkeypatch):
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")


def wrong_address(label_studio, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_URL", NOWHERE)


def legacy_off(label_studio, monkeypatch):
    label_studio.tokens.legacy_enabled = False
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.tokens.legacy)


def bad_personal_token(label_studio, monkeypatch):
    label_studio.tokens.personal = "another one"


@pytest.mark.parametrize(
    ("fault", "broken", "detail", "remedy"),
    [
        pytest.param(no_address, "label_studio", "is not set", "LABEL_STUDIO_URL", id="no-address"),
        pytest.param(wrong_address, "label_studio", "refused", "LABEL_STUDIO_URL", id="address"),
        pytest.param(no_token, "token", "no token", "personal access token", id="no-token"),
        pytest.param(legacy_off, "token", "disabled", "personal access token", id="legacy-off"),
        pytest.param(bad_personal_token, "token", "401", "LABEL_STUDIO_API_KEY", id="bad-token"),
    ],
)
def test_login_that_fails_is_named(check, label_studio, monkeypatch, fault, broken, detail, remedy):
    fault(label_studio, monkeypatch)
    status, links = check()
    assert status == 1
    assert failed(links) == [broken]
    assert detail in links[broken]["detail"]
    assert remedy in links[broken]["remedy"]
    assert "project" in skipped(links)


def test_project_that_is_not_there_is_named(check):
    _, links = check("--project", "8")
    assert failed(links) == ["project"]
    assert "404" in links["project"]["detail"]
    assert skipped(links) == OF_PROJECT[1:]


def test_backend_that_label_studio_does_not_reach_is_named(check, label_studio, backend):
    label_studio.unreachable.add(backend.url)
    _, links = check()
    assert failed(links) == ["reachable"]
    assert "Disconnected" in links["reachable"]["detail"]
    assert "although it answers from here" in links["reachable"]["detail"]
    assert links["click"]["status"] == "ok"
    assert skipped(links) == ["click_through_label_studio"]


def test_interactive_that_is_off_is_named(check, label_studio):
    label_studio.records[1]["is_interactive"] = False
    _, links = check()
    assert failed(links) == ["interactive"]
    assert "switch them on" in links["interactive"]["remedy"]


def test_older_interactive_backend_is_named(check, label_studio, backend):
    label_studio.records.clear()
    label_studio.add_record(NOWHERE)
    label_studio.add_record(backend.url, title="MobileSAM")
    _, links = check()
    assert failed(links) == ["interactive"]
    assert f"sends the clicks to the backend 'other' at {NOWHERE}" in links["interactive"]["detail"]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(
            projects.LABELING_CONFIG.replace('smart="true"', 'smart="false"'), id="not smart"
        ),
        pytest.param(
            '<View><Image name="image" value="$image"/><KeyPointLabels name="k" toName="image">'
            '<Label value="Cat"/></KeyPointLabels></View>',
            id="no masks",
        ),
        pytest.param("<View/>", id="no image"),
        pytest.param(
            projects.LABELING_CONFIG.replace(
                '<Label value="Other" background="#ff851b"/>\n      </BrushLabels>',
                "</BrushLabels>",
            ).replace("RectangleLabels", "EllipseLabels"),
            id="a label that masks cannot have",
        ),
    ],
)
def test_labeling_config_that_cannot_work_is_named(check, label_studio, config):
    label_studio.labeling_config = config
    status, links = check()
    assert status == 1
    assert "labeling_config" in failed(links)
    assert "connect --project 7 adds what is missing" in links["labeling_config"]["remedy"]
    assert "click" in skipped(links)


def test_project_without_a_task_is_named(check, label_studio):
    label_studio.tasks.clear()
    _, links = check()
    assert failed(links) == ["image"]
    assert "has no task" in links["image"]["detail"]


@pytest.mark.parametrize(
    ("page", "detail"),
    [
        pytest.param(b"no picture", "unknown format", id="no picture"),
        pytest.param((404, {}, b""), "404", id="gone"),
    ],
)
def test_image_that_cannot_be_had_is_named(check, label_studio, page, detail):
    label_studio.pages["/data/upload/7/101.png"] = page
    _, links = check()
    assert failed(links) == ["image"]
    assert detail in links["image"]["detail"]
    assert links["image"]["remedy"]


def test_service_that_cannot_fetch_says_so_with_its_own_remedy(check, label_studio, backend):
    """The image is reached from here, with the settings here, and not from the service."""
    with RunningBackend(prefetch_tasks=0).running() as alone:
        label_studio.records.clear()
        label_studio.add_record(alone.url, title="MobileSAM")
        _, links = check("--project", "7", "--backend-url", alone.url)
    assert failed(links) == ["click", "click_through_label_studio"]
    assert "LABEL_STUDIO_URL is not set" in links["click"]["detail"]
    assert "LABEL_STUDIO_API_KEY" in links["click"]["remedy"]


def test_basic_auth_that_label_studio_lacks_is_named(check, label_studio, monkeypatch):
    locked = {"basic_auth_user": "lab", "basic_auth_pass": "hunter2"}
    with running_backend(label_studio, **locked) as backend:
        label_studio.records.clear()
        label_studio.add_record(backend.url, title="MobileSAM")
        _, links = check("--project", "7", "--backend-url", backend.url)
        assert failed(links) == ["reachable", "click"]
        assert "401" in links["reachable"]["detail"]
        assert "BASIC_AUTH_USER and BASIC_AUTH_PASS" in links["click"]["remedy"]
        monkeypatch.setenv("BASIC_AUTH_USER", "lab")
        monkeypatch.setenv("BASIC_AUTH_PASS", "hunter2")
        label_studio.records[1] |= {"auth_method": "BASIC_AUTH", **locked}
        assert check("--project", "7", "--backend-url", backend.url)[0] == 0


SHARED_LABELS = """\
<View>
  <Image name="image" value="$image"/>
  <Labels name="label" toName="image"><Label value="Cat" alias="c"/></Labels>
  <{prompt} name="prompt" toName="image" smart="true"/>
  <Brush name="mask" toName="image" smart="false"/>
</View>
"""


@pytest.mark.parametrize(
    ("config", "prompt"),
    [
        pytest.param(SHARED_LABELS.format(prompt="KeyPoint"), "point", id="shared-labels"),
        pytest.param(SHARED_LABELS.format(prompt="Rectangle"), "box", id="shared-labels-box"),
        pytest.param(
            projects.LABELING_CONFIG.replace("KeyPointLabels", "EllipseLabels"), "box", id="box"
        ),
        pytest.param(
            projects.LABELING_CONFIG.replace('value="$image"', 'valueList="$image"'),
            "point",
            id="list-of-images",
        ),
        pytest.param(
            SHARED_LABELS.format(prompt="KeyPoint").replace(
                '<Labels name="label" toName="image"><Label value="Cat" alias="c"/></Labels>', ""
            ),
            "point",
            id="no-labels",
        ),
    ],
)
def test_click_fits_any_labeling_config(check, label_studio, backend, config, prompt):
    label_studio.labeling_config = config
    if "valueList" in config:
        for data in label_studio.tasks.values():
            data["image"] = [data["image"]]
    status, links = check()
    assert status == 0, links
    points, _, box = backend.predictor.prompts[0]
    assert (points, box) == (
        ([(30.0, 20.0)], None) if prompt == "point" else ([], (15.0, 10.0, 45.0, 30.0))
    )
