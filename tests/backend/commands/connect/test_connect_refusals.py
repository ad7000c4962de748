"""What connect may not do or does not reach, it names with a remedy."""

import pytest
from fake_label_studio import Host, token
from fake_ml_project import NOWHERE, json_answer


def refuse_private(label_studio):
    label_studio.refuses_private = True


def forbid_changes(label_studio):
    label_studio.forbids_changes = True


@pytest.mark.parametrize(
    ("fault", "message", "remedy"),
    [
        pytest.param(
            refuse_private,
            "reserved network address",
            "LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS=false",
            id="private address",
        ),
        pytest.param(
            forbid_changes, "You do not have permission", "a user who may", id="no permission"
        ),
    ],
)
def test_refusal_is_explained(connect, label_studio, fault, message, remedy):
    fault(label_studio)
    status, said = connect("--yes")
    assert status == 1
    assert message in said
    assert remedy in said


def test_private_address_is_no_reason_to_try_others(connect, label_studio, backend, monkeypatch):
    label_studio.refuses_private = True
    monkeypatch.setenv("PORT", str(backend.server.server_port))
    status, said = connect("--yes", url=())
    assert status == 1
    assert "reserved network address" in said
    assert "although it answers" not in said
    assert label_studio.changes.count(("POST", "/api/ml/")) == 1


def test_legacy_tokens_that_are_off_are_explained(connect, label_studio, monkeypatch):
    label_studio.tokens.legacy_enabled = False
    status, said = connect("--token", label_studio.tokens.legacy)
    assert status == 1
    assert "legacy token authentication has been disabled" in said
    assert "set LABEL_STUDIO_API_KEY to a personal access token" in said


def test_access_token_is_refused_because_it_ends_soon(connect, label_studio):
    access = token("access", name="by hand")
    label_studio.tokens.given.append(access)
    status, said = connect("--token", access)
    assert status == 1
    assert "short-lived access token" in said


def test_wrong_host_is_named(connect):
    with Host().running() as other:
        status, said = connect("--url", other.url)
    assert status == 1
    assert "is no Label Studio (404 to /api/version/)" in said
    assert connect("--url", NOWHERE)[1].startswith(
        f"error: Label Studio at {NOWHERE} refused the connection"
    )


def test_address_of_a_page_is_told_from_label_studios(connect, label_studio, monkeypatch):
    """The real one tells its version at the end of any path."""
    monkeypatch.setattr(label_studio, "base_path", "/projects/7")
    answer = label_studio.answer

    def answer_anywhere(request):
        if request.path.endswith("/api/version/"):
            return json_answer({"release": "1.23.2"})
        return (404, {}, b"") if request.path.startswith("/projects") else answer(request)

    monkeypatch.setattr(label_studio, "answer", answer_anywhere)
    status, said = connect("--url", label_studio.url)
    assert status == 1
    assert "is no Label Studio (404 to /api/current-user/whoami)" in said
    assert "up to where /projects begins" in said


def test_redirect_in_place_of_label_studio_is_named(connect):
    with Host().running() as other:
        other.pages["/api/version/"] = 301, {"Location": "https://labels.example.org/"}, b""
        _, said = connect("--url", other.url)
    assert "(301 to /api/version/, a redirect to https://labels.example.org/)" in said


def test_wrong_project_is_answered_with_those_that_are_there(connect):
    status, said = connect(project=("--project", "8"))
    assert status == 1
    assert "404" in said
    assert "its projects are: 7 (seven)" in said


def test_backend_that_does_not_run_stops_before_any_change(connect, label_studio, monkeypatch):
    monkeypatch.setenv("PORT", "9")
    status, said = connect("--yes", url=())
    assert status == 1
    assert "the backend at http://localhost:9 refused the connection" in said
    assert "python -m backend serve" in said
    assert label_studio.changes == []


def test_other_program_at_the_backends_address_is_told(connect, label_studio, monkeypatch):
    monkeypatch.setenv("PORT", label_studio.url.rpartition(":")[2])
    status, said = connect("--yes", url=())
    assert status == 1
    assert "is no MobileSAM backend" in said


def test_backend_that_only_label_studio_does_not_reach_is_told_apart(
    connect, label_studio, backend, monkeypatch
):
    port = backend.server.server_port
    for name in ("localhost", "host.docker.internal", "backend"):
        label_studio.unreachable.add(f"http://{name}:{port}")
    monkeypatch.setenv("PORT", str(port))
    status, said = connect("--yes", url=())
    assert status == 1
    assert f"although it answers at {backend.url} from here" in said
    assert "--backend-url" in said
    assert "<a href" not in said


def test_address_that_only_label_studio_reaches_is_tried(connect, backend):
    """A backend that is not seen from here may be seen from there."""
    status, said = connect("--yes", url=("--backend-url", NOWHERE))
    assert status == 1
    assert f"Note: from here, the backend at {NOWHERE} refused" in said
    assert "health check failed" in said
