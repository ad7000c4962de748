"""Somebody's own project, connected by the command, clicked in a browser, and then broken."""

import json
from contextlib import ExitStack

import pytest
import requests
import yaml

from backend import cli
from backend.commands.connect.config_completion import complete_labeling_config
from backend.commands.connect.keys import label_keys
from backend.commands.demo.child_process import free_port
from backend.commands.demo.run import BackendServer
from backend.core.errors import LabelStudioError
from backend.images.samples import png_bytes
from backend.label_studio import projects
from backend.label_studio.ml_backends import list_backends
from backend.label_studio.project_tasks import tasks_after
from mobilesam.scenes import generate_scene

pytestmark = pytest.mark.browser

SIZE_HW = (480, 640)
ELLIPSE_XY = (500, 180)  # on an object of the scene

OWN_CONFIG = """\
<!-- made by hand, before there was a backend -->
<View>
  <Header value="Mark every object"/>
  <Image name="photo" value="$image" zoom="true"/>
  <BrushLabels name="tag" toName="photo">
    <Label value="Cell" background="#1e90ff" hotkey="c"/>
    <Label value="Dust" background="#ff6347"/>
  </BrushLabels>
  <Choices name="quality" toName="photo"><Choice value="sharp"/><Choice value="blurred"/></Choices>
</View>
"""


MANY_LABELS = f"""\
<View>
  <Choices name="kind" toName="image"><Choice value="one"/><Choice value="other"/></Choices>
  <Rating name="stars" toName="image"/>
  <Image name="image" value="$image"/>
  <Taxonomy name="tree" toName="image"><Choice value="A"><Choice value="B"/></Choice></Taxonomy>
  <KeyPointLabels name="point" toName="image" smart="true" allowEmpty="true">
    <Label value="K"/><Label value="third" hotkey="3"/><Label value="q" hotkey="q"/>
  </KeyPointLabels>
  <Filter name="filter" toName="point"/>
  <BrushLabels name="mask" toName="image">
    <View>{"".join(f'<Label value="{number}"/>' for number in range(30))}</View>
  </BrushLabels>
</View>
"""


@pytest.fixture
def own_backend(label_studio, tmp_path):
    """A backend of this test alone, since it is stopped."""
    log = tmp_path / "backend.log"
    port = free_port(19190)
    with ExitStack() as stack:
        server = BackendServer(label_studio, checkpoint="demo", port=port, log=log)
        stack.enter_context(server)
        server.stop = stack.close
        server.wait_until_up()
        yield server


@pytest.fixture
def own_project(api):
    project_id = projects.create_project(api, "My own project", OWN_CONFIG)
    scene = png_bytes(generate_scene(9, SIZE_HW).image)
    projects.upload_pictures(api, project_id, {"scene.png": scene})
    return project_id


def test_own_project_is_connected_clicked_and_checked(
    labeling_page, label_studio, api, own_backend, own_project, personal_token, capsys
):
    login = ("--url", label_studio.url, "--token", label_studio.login.token)
    here = (*login, "--project", str(own_project), "--backend-url", own_backend.url)

    def run(command, *arguments):
        status = cli.main([command, *here, *arguments])
        said = capsys.readouterr()
        return status, said.out + said.err

    def failed():
        status, said = run("check", "--json")
        links = json.loads(said)["links"]
        assert status == (0 if all(link["status"] == "ok" for link in links) else 1)
        return [link["name"] for link in links if link["status"] == "failed"]

    assert failed() == ["registration", "labeling_config"]

    status, said = run("connect", "--yes")
    assert status == 0, said
    assert "a mask of" in said
    assert "press K, then 2 (Cell) or 3 (Dust), and click" in said
    assert "press R, then 4 (Cell) or 5 (Dust), and drag" in said
    config = projects.describe_project(api, own_project).label_config
    kept = iter(config.splitlines())
    assert all(line in kept for line in OWN_CONFIG.splitlines() if "<BrushLabels" not in line)

    [task] = tasks_after(api, own_project, 0, count=2)
    page = labeling_page
    page.open(own_project, task["id"], size_hw=SIZE_HW)
    bare = page.seen()
    page.pick("k", "2")  # "c" and "1" are the brush's, which come first
    answered = page.click(ELLIPSE_XY)
    assert answered.prompts[0]["from_name"] == "point"
    assert answered.regions[0]["from_name"] == "tag"
    assert answered.mask[ELLIPSE_XY[1], ELLIPSE_XY[0]]
    page.expect_mask(answered.mask, before=bare)
    page.save_screenshot("1_click")
    page.accept()
    page.submit()

    status, said = run("check", "--token", personal_token)
    assert status == 0, said
    assert f"personal access token of {label_studio.login.email}" in said
    assert {line.split()[0] for line in said.splitlines()} == {"ok"}

    status, said = run("connect", "--yes")
    assert status == 0
    assert "nothing was changed" in said

    [record] = list_backends(api, own_project)
    change = {"project": own_project, "url": record.url, "is_interactive": False}
    api.patch_json(f"/api/ml/{record.id}", change)
    assert failed() == ["interactive"]
    assert run("connect", "--yes")[0] == 0
    assert failed() == []

    api.patch_json(f"/api/projects/{own_project}/", {"label_config": OWN_CONFIG})
    # Label Studio asks for the setup again, and its answer stands in the status line.
    assert failed() == ["reachable", "labeling_config"]
    [record] = list_backends(api, own_project)
    assert "422 Client Error: No smart KeyPointLabels or RectangleLabels" in record.error
    assert run("connect", "--yes")[0] == 0
    assert failed() == []

    with pytest.raises(LabelStudioError, match="take a new project"):  # it has an annotation
        projects.save_labeling_config(api, own_project, projects.LABELING_CONFIG)

    own_backend.stop()
    assert failed()[:1] == ["port"]
    status, said = run("check")
    assert "FAILED   reachable" in said
    assert "Label Studio says Disconnected" in said
    status, said = run("connect", "--yes")
    assert status == 1
    assert "python -m backend serve" in said


def test_keys_of_labels_are_those_that_the_editor_shows(labeling_page, api):
    project_id = projects.create_project(api, "Keys", MANY_LABELS)
    scene = png_bytes(generate_scene(9, SIZE_HW).image)
    tasks = projects.upload_pictures(api, project_id, {"scene.png": scene})
    labeling_page.look_at(project_id, tasks["scene.png"], size_hw=SIZE_HW)
    shown = labeling_page.page.locator(".lsf-label").all_inner_texts()
    in_editor = dict(text.split("\n") for text in shown if "\n" in text)
    ours = {label: key for (_, label), key in label_keys(MANY_LABELS).items()}
    assert len(ours) > 15
    assert {label: in_editor.get(label) for label in ours} == ours
    assert "blank" in in_editor


def test_templates_of_label_studio_are_completed_to_what_it_takes(
    label_studio, label_studio_python
):
    headers = {"Authorization": f"Token {label_studio.login.token}"}
    folders = label_studio_python.parents[1].glob("lib/*/site-packages/label_studio")
    files = [
        path for folder in folders for path in folder.glob("annotation_templates/*/*/config.yml")
    ]
    configs = [yaml.safe_load(path.read_text()).get("config", "") for path in files]
    configs = [config for config in configs if "<Image" in config]
    assert len(configs) > 10
    for config in configs:
        completed = complete_labeling_config(config)
        assert completed.changes
        answer = requests.post(
            f"{label_studio.url}/api/projects/validate/",
            json={"label_config": completed.xml},
            headers=headers,
            timeout=30,
        )
        assert answer.ok, f"{answer.text}\n{completed.xml}"
