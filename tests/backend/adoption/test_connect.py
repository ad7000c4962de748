"""connect makes every link that is missing, says what it cannot make, and repeats nothing."""

import pytest
from fake_label_studio import Host, token
from fake_ml_project import (
    FakeMlProject,
    RunningBackend,
    json_answer,
    running_backend,
    set_command_environment,
)

from backend import cli
from backend.adoption import terminal
from backend.label_studio import projects

OWN_CONFIG = """\
<View>
  <!-- the clinic's -->
  <Image name="photo" value="$image"/>
  <PolygonLabels name="shape" toName="photo"><Label value="Cat" background="red"/></PolygonLabels>
</View>
"""
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def label_studio():
    with FakeMlProject(OWN_CONFIG).running() as host:
        yield host


@pytest.fixture
def backend(label_studio):
    with running_backend(label_studio) as backend:
        yield backend


@pytest.fixture
def connect(label_studio, backend, monkeypatch, capsys):
    """Runs the command and returns (exit status, what it said)."""
    set_command_environment(monkeypatch, label_studio)

    def run(*arguments, project=("--project", "7"), url=("--backend-url", backend.url)):
        status = cli.main(["connect", *project, *url, *arguments])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


@pytest.fixture
def answers(monkeypatch):
    """What somebody at a terminal types, and the questions that were asked."""

    class Answers:
        typed = ()
        questions = ()

    answers = Answers()

    def answer(question=""):
        answers.questions += (question,)
        if not answers.typed:
            raise EOFError
        first, *rest = answers.typed
        answers.typed = tuple(rest)
        return first

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr(terminal.getpass, "getpass", answer)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    return answers


def test_connect_completes_registers_and_clicks(connect, label_studio, backend):
    status, said = connect("--yes")
    assert status == 0, said
    assert '+  <KeyPointLabels name="point" toName="photo" smart="true">' in said
    assert "a mask of" in said
    assert f"{label_studio.url}/projects/7/data" in said
    assert "press K, then 2 (Cat), and click an object; or press R, then 3 (Cat), and drag" in said
    [record] = label_studio.records.values()
    assert (record["url"], record["is_interactive"]) == (backend.url, True)
    assert "<!-- the clinic's -->" in label_studio.labeling_config
    [(points, labels, box)] = backend.predictor.prompts
    assert (points, labels, box) == ([(30.0, 20.0)], [1], None)
    assert ("POST", "/api/projects/7/import") not in label_studio.changes


def test_second_run_changes_nothing_and_says_so(connect, label_studio):
    connect("--yes")
    label_studio.changes.clear()
    status, said = connect("--yes")
    assert status == 0
    assert "nothing was changed" in said
    assert label_studio.changes == []


def test_backend_that_has_another_address_there_is_not_registered_twice(
    connect, label_studio, backend, monkeypatch
):
    """Label Studio in a container reaches the backend under a name that means nothing here."""
    connect("--yes", url=("--backend-url", backend.url.replace("localhost", "127.0.0.1")))
    monkeypatch.setenv("PORT", str(backend.server.server_port))
    status, said = connect("--yes", url=())
    assert status == 0, said
    assert "nothing was changed" in said
    assert len(label_studio.records) == 1


def test_new_project_is_taken_again_by_its_title(connect, label_studio):
    label_studio.title = "Cats"
    status, said = connect("--yes", project=("--new", "Cats"))
    assert status == 0, said
    assert "Project 7: Cats" in said
    assert ("POST", "/api/projects/") not in label_studio.changes


def test_questions_are_asked_where_nothing_was_given(
    connect, label_studio, backend, answers, monkeypatch
):
    monkeypatch.delenv("LABEL_STUDIO_URL")
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")
    answers.typed = (label_studio.url, label_studio.tokens.personal, "8", "7", "y")
    status, said = connect(project=())
    assert status == 0, said
    assert "'8' is none of them" in said
    assert label_studio.tokens.personal not in said
    assert [question.partition(" ")[0] for question in answers.questions] == [
        "Label",
        "Token",
        "Which",
        "Which",
        "Save",
    ]


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        pytest.param("LABEL_STUDIO_URL", "give it with --url or LABEL_STUDIO_URL", id="url"),
        pytest.param("LABEL_STUDIO_API_KEY", "--token or LABEL_STUDIO_API_KEY", id="token"),
        pytest.param(None, "add --yes", id="yes"),
    ],
)
def test_question_without_a_terminal_is_an_error(
    connect, label_studio, monkeypatch, missing, words
):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    if missing == "LABEL_STUDIO_URL":
        monkeypatch.delenv("LABEL_STUDIO_API_KEY")
    if missing:
        monkeypatch.delenv(missing)
    status, said = connect()
    assert status == 1
    assert words in said
    assert label_studio.changes == []


def test_ctrl_d_at_a_question_changes_nothing(connect, label_studio, answers):
    status, said = connect()
    assert status == 1
    assert "no answer came" in said
    assert label_studio.changes == []


def test_no_to_the_change_of_an_unusable_config_stops(connect, label_studio, answers):
    answers.typed = ("n",)
    status, said = connect()
    assert status == 1
    assert "was left as it is" in said
    assert label_studio.changes == []


def test_no_to_a_change_that_is_not_needed_goes_on(connect, label_studio, answers):
    config = projects.LABELING_CONFIG.replace(' smart="false"', "")
    label_studio.labeling_config = config
    answers.typed = ("n",)
    status, said = connect()
    assert status == 0, said
    assert label_studio.labeling_config == config


def test_only_smart_tool_has_a_key_of_its_own(connect, label_studio):
    label_studio.labeling_config = (
        '<View><Image name="i" value="$image"/><KeyPoint name="p" toName="i" smart="true"/>'
        '<Brush name="b" toName="i" smart="false"/></View>'
    )
    status, said = connect("--yes")
    assert status == 0
    assert "press M, and click an object." in said


def test_project_without_tasks_is_connected_and_says_what_comes_next(connect, label_studio):
    label_studio.tasks.clear()
    status, said = connect("--yes")
    assert status == 0
    assert "no task to click on yet" in said
    assert "python -m backend check --project 7" in said
    assert len(label_studio.records) == 1


def test_config_that_annotations_do_not_fit_is_explained(connect, label_studio):
    label_studio.has_incompatible_annotations = True
    status, said = connect("--yes")
    assert status == 1
    assert "Created annotations are incompatible" in said
    assert "or take a new project" in said
    assert label_studio.records == {}


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


def test_older_interactive_backend_makes_room(connect, label_studio, backend):
    with RunningBackend().running() as other:
        label_studio.add_record(other.url)
        status, said = connect("--yes")
    assert status == 0, said
    assert "Label Studio sends the clicks there" in said
    states = {record["url"]: record["is_interactive"] for record in label_studio.records.values()}
    assert states == {other.url: False, backend.url: True}
    assert backend.predictor.prompts


def test_older_backend_that_is_gone_is_removed_with_its_webhook(connect, label_studio, backend):
    label_studio.add_record(NOWHERE)
    status, said = connect("--yes")
    assert status == 0, said
    assert [record["url"] for record in label_studio.records.values()] == [backend.url]
    assert list(label_studio.webhooks.values()) == [f"{backend.url}/webhook"]


def test_removal_that_was_interrupted_is_finished_the_next_time(connect, label_studio, backend):
    gone = label_studio.add_record(NOWHERE)
    answer = label_studio.answer
    after = []  # the first deletion

    def answer_and_die(request):
        if after:
            return 502, {}, b"gone"
        after.extend([request] * (request.method == "DELETE"))
        return answer(request)

    label_studio.answer = answer_and_die
    assert connect("--yes")[0] == 1
    label_studio.answer = answer
    assert connect("--yes")[0] == 0
    assert gone not in label_studio.records
    assert list(label_studio.webhooks.values()) == [f"{backend.url}/webhook"]


def test_no_to_making_room_says_where_the_clicks_go(connect, label_studio, answers):
    label_studio.labeling_config = projects.LABELING_CONFIG
    label_studio.add_record(NOWHERE)
    answers.typed = ("n",)
    status, said = connect()
    assert status == 1
    assert f"clicks go to the backend 'other' at {NOWHERE}" in said
    assert len(label_studio.records) == 2


def test_interactive_is_switched_on_for_a_record_that_is_there(connect, label_studio, backend):
    label_studio.add_record(f"{backend.url}/", is_interactive=False)
    status, said = connect("--yes")
    assert status == 0, said
    [record] = label_studio.records.values()
    assert record["is_interactive"] is True


def test_basic_auth_of_the_settings_is_given_to_label_studio(label_studio, connect, monkeypatch):
    settings = {
        "label_studio_url": label_studio.url,
        "label_studio_api_key": label_studio.tokens.personal,
        "basic_auth_user": "lab",
        "basic_auth_pass": "hunter2",
    }
    with RunningBackend(**settings).running() as locked:
        refused, said = connect("--yes", url=("--backend-url", locked.url))
        assert refused == 1
        assert "set BASIC_AUTH_USER and BASIC_AUTH_PASS here" in said
        monkeypatch.setenv("BASIC_AUTH_USER", "lab")
        monkeypatch.setenv("BASIC_AUTH_PASS", "hunter2")
        status, said = connect("--yes", url=("--backend-url", locked.url))
        assert status == 0, said
        assert "hunter2" not in said
        again, said = connect("--yes", url=("--backend-url", locked.url))
        assert (again, "nothing was changed" in said) == (0, True)
    [record] = label_studio.records.values()
    assert (record["auth_method"], record["basic_auth_pass"]) == ("BASIC_AUTH", "hunter2")


def test_click_that_fails_names_the_reason_and_check(connect, label_studio, backend):
    task_id = next(iter(label_studio.tasks))
    label_studio.pages[label_studio.tasks[task_id]["image"]] = b"no picture"
    status, said = connect("--yes")
    assert status == 1
    assert "all is connected, but" in said
    assert "Image not decodable" in said
    assert "python -m backend check --project 7" in said


def test_picture_in_which_nothing_is_seen_is_clicked_at_five_places(connect, backend, monkeypatch):
    seen = backend.predictor.predict_object

    def see_nothing(embedding, **prompt):
        masks = seen(embedding, **prompt)
        masks.masks[:] = False
        return masks

    monkeypatch.setattr(backend.predictor, "predict_object", see_nothing)
    status, said = connect("--yes")
    assert status == 0
    assert "nothing was seen at the 5 places" in said
    assert len(backend.predictor.prompts) == 5


@pytest.mark.parametrize("command", ["connect", "check"])
@pytest.mark.parametrize("url", ["localhost:9090", "ftp://host", "http://", "http://[::1"])
def test_address_that_is_none_is_refused_at_once(command, url, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--backend-url", url])
    assert ended.value.code == 2
    assert "is not a URL such as http://localhost:9090" in capsys.readouterr().err
