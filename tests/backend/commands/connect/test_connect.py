"""connect makes every link that is missing, says what it cannot make, and repeats nothing."""

import pytest
from fake_ml_project import RunningBackend

from backend import cli
from backend.label_studio import projects


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
