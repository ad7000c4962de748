"""The documents' commands for a Label Studio, run in a shell with a real one; no browser needed.

Addresses, project numbers and what stands as `...` are filled in; all else is as it is written.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import requests
from documents import FENCED, LIVE, ROOT, commands_like

from backend.commands.demo.child_process import free_port
from backend.images.samples import png_bytes
from backend.label_studio import projects
from backend.label_studio.client import LabelStudio
from backend.label_studio.ml_backends import list_backends
from mobilesam.scenes import generate_scene

pytestmark = pytest.mark.browser

SIZE_HW = (480, 640)
BOX_PCT = {"x": 60, "y": 17, "width": 39, "height": 38, "rotation": 0}  # around an object
TIMEOUT_S = 300


def described(name):
    """Parametrizes a test with the commands that it stands for."""
    found = commands_like(LIVE[name])
    assert found, f"no document has a command like {LIVE[name]}"
    return pytest.mark.parametrize("command", found)


@pytest.fixture
def project_id(api):
    """A project of two scenes, each with a rectangle as a prediction and as an annotation."""
    project_id = projects.create_project(api, "Documents", projects.LABELING_CONFIG)
    files = {f"{seed}.png": png_bytes(generate_scene(seed, SIZE_HW).image) for seed in (9, 10)}
    for task_id in projects.upload_pictures(api, project_id, files).values():
        value = BOX_PCT | {"rectanglelabels": ["Object"]}
        box = {"from_name": "box", "to_name": "image", "type": "rectanglelabels", "value": value}
        box |= {"id": "box", "original_width": SIZE_HW[1], "original_height": SIZE_HW[0]}
        api.post_json(f"/api/tasks/{task_id}/annotations/", {"result": [box]})
        prediction = {"task": task_id, "result": [box], "model_version": "detector"}
        api.post_json("/api/predictions/", prediction)
    return project_id


@pytest.fixture
def folder(tmp_path):
    """A folder with what the commands read: a data set, its images, an export, weights."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "9.png").write_bytes(png_bytes(generate_scene(9, SIZE_HW).image))
    height, width = SIZE_HW
    box = [384, 82, 250, 182]
    corners = [384, 82, 634, 82, 634, 264, 384, 264]
    found = {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 45_500, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "9.png", "width": width, "height": height}],
        "categories": [{"id": 1, "name": "Object"}],
        "annotations": [found | {"segmentation": [corners]}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    (tmp_path / "mobile_sam.pt").symlink_to(ROOT / "mobilesam" / "weights" / "demo.pt")
    return tmp_path


@pytest.fixture
def shell(label_studio, backend, folder):
    """Makes the arguments of subprocess.Popen that run a command in the folder."""
    programs = folder / "bin"
    programs.mkdir()
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.login.token,
        "MOBILESAM_CHECKPOINT": "demo",
        "MOBILESAM_CACHE_DIR": str(folder / "cache"),
        "MOBILESAM_HOST": "127.0.0.1",
        "PORT": backend.url.rpartition(":")[2],
    }

    def arguments(command, project_id=None, **changes):
        command = re.sub(r"--project \d+", f"--project {project_id}", command)
        command = command.replace("http://localhost:8080", label_studio.url)
        command = command.replace("http://localhost:9090", backend.url).replace("...", "secret")
        return {
            "args": ["bash", "-c", f"exec env {command}"],
            "cwd": folder,
            "env": environment | changes,
        }

    return arguments


@pytest.fixture
def run(shell):
    def run(command, project_id=None, **changes):
        """Run a command; what it said, if it succeeded."""
        done = subprocess.run(
            **shell(command, project_id, **changes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


@described("connect_asks_for_what_it_is_not_told")
def test_connect_asks_for_what_it_is_not_told(shell, api, project_id, command):
    """The project, since the token is set; each answer is typed at a terminal."""
    ours, theirs = os.openpty()
    arguments = shell(command, LABEL_STUDIO_URL="")
    with subprocess.Popen(
        **arguments,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        os.write(ours, f"{project_id}\ny\ny\n".encode())
        said, _ = running.communicate(timeout=TIMEOUT_S)
    os.close(ours)
    os.close(theirs)
    assert running.returncode == 0, said
    assert [record.is_interactive for record in list_backends(api, project_id)] == [True]


OWN_CONFIG = """\
<View>
  <Image name="photo" value="$image" zoom="true"/>
  <BrushLabels name="tag" toName="photo">
    <Label value="Cell" background="#1e90ff"/>
    <Label value="Dust" background="#ff6347"/>
  </BrushLabels>
</View>
"""


def test_first_project_shows_what_connect_says(run, api):
    """Line by line, but for what was typed, numbers, addresses, and whose token and weights."""
    project_id = projects.create_project(api, "My cells", OWN_CONFIG)
    scene = png_bytes(generate_scene(9, SIZE_HW).image)
    projects.upload_pictures(api, project_id, {"scene.png": scene})
    said = run("python -m backend connect --project 7 --yes", project_id)
    page = (ROOT / "docs" / "first-project.md").read_text()
    [shown] = [block for language, block in FENCED.findall(page) if not language]

    def known(text):
        lines = [re.sub(r"http://\S+?(?=[:,/]? |/projects|$)|[\d,]+", "#", line)
                 for line in text.splitlines()]  # fmt: skip
        return [line for line in lines if not re.match(r"Label Studio|Backend at|Save it", line)]

    assert [line for line in known(shown) if line not in known(said)] == [
        "     #  My cells", "    new  a new one", "Which project: #",
    ]  # fmt: skip


@described("project_is_connected_and_checked")
def test_project_is_connected_and_checked(run, api, backend, project_id, command):
    if " connect " in command:
        said = run(command if "--yes" in command else f"{command} --yes", project_id)
        assert "a mask of" in said
    else:
        projects.connect_backend(api, project_id, backend.url)
        assert "click through label studio" in run(command, project_id)


@described("project_is_warmed")
def test_project_is_warmed(run, project_id, command):
    assert "2 images embedded" in run(command, project_id)


@described("data_set_comes_in")
def test_data_set_comes_in(run, project_id, folder, command):
    assert "1 images with 1 objects in" in run(command, project_id)
    assert ("--out" not in command) or (folder / "tasks.json").exists()


@described("annotations_go_out")
def test_annotations_go_out(run, api, project_id, folder, command):
    export = api.get_json(f"/api/projects/{project_id}/export?exportType=JSON")
    (folder / "export.json").write_text(json.dumps(export))
    run(command, project_id)
    out = folder / re.search(r"--out (\S+)", command)[1]
    assert any(out.rglob("*.json")) or (out / "data.yaml").exists()


@described("rectangles_become_masks")
def test_rectangles_become_masks(run, api, project_id, command):
    run(command, project_id)
    found = api.get_json(f"/api/predictions/?project={project_id}")
    ours = [each for each in found if each["model_version"] != "detector"]
    assert {each["result"][0]["type"] for each in ours} == {"brushlabels"}


@contextmanager
def running_service(arguments, url):
    log = arguments["cwd"] / "service.log"
    with log.open("w") as output, subprocess.Popen(
        **arguments, stdout=output, stderr=subprocess.STDOUT
    ) as service:  # fmt: skip
        try:
            for _ in range(TIMEOUT_S):
                assert service.poll() is None, log.read_text()
                try:
                    requests.get(f"{url}/health", timeout=5).raise_for_status()
                    break
                except requests.RequestException:
                    with pytest.raises(subprocess.TimeoutExpired):
                        service.wait(1)
            yield
        finally:
            service.send_signal(signal.SIGTERM)


@described("service_starts_and_answers")
def test_service_starts_and_answers(shell, command):
    port = free_port(29590)
    url = f"http://127.0.0.1:{port}"
    with running_service(shell(command, PORT=str(port)), url):
        status = requests.get(f"{url}/metrics", timeout=10).status_code
        assert status == (401 if "BASIC_AUTH" in command else 200)


@described("running_service_answers")
def test_running_service_answers(run, command):
    assert '"status":"UP"' in run(command)


def test_personal_access_token_is_the_one_to_take(
    run, label_studio, api, backend, project_id, personal_token
):
    """As docs/running.md says: it is exchanged, and checked like any other."""
    assert LabelStudio(label_studio.url, personal_token).authorization().startswith("Bearer ")
    projects.connect_backend(api, project_id, backend.url)
    assert "personal access token" in run(
        "python -m backend check --project 7", project_id, LABEL_STUDIO_API_KEY=personal_token
    )
