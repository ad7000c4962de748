"""What a real Label Studio tells of a project's tasks; no browser is needed for that."""

import pytest

from backend.label_studio import projects
from backend.label_studio.project_tasks import iterate_tasks, serves_in_order, tasks_after
from backend.labeling.parse_config import parse_labeling_config

pytestmark = pytest.mark.browser

ADDRESSES = [f"s3://photos/{number}.jpg" for number in range(250)]


@pytest.fixture(scope="module")
def project_id(api):
    project_id = projects.open_project(api, "many tasks", instruction="")
    tasks = [{"image": address} for address in ADDRESSES]
    projects.import_tasks(api, project_id, tasks)
    return project_id


def test_tasks_come_in_the_order_of_their_ids_and_as_they_were_imported(api, project_id):
    project = projects.describe_project(api, project_id)
    assert project.task_count == len(ADDRESSES)
    parse_labeling_config(project.label_config).require_usable()
    tasks = list(iterate_tasks(api, project_id))
    assert [task["data"]["image"] for task in tasks] == ADDRESSES
    assert [task["id"] for task in tasks] == sorted(task["id"] for task in tasks)


def test_unfinished_tasks_after_one_are_what_a_project_serves_next(api, project_id):
    ids = [task["id"] for task in iterate_tasks(api, project_id)]
    assert serves_in_order(api, project_id, timeout_s=10, max_bytes=2**20)
    api.post_json(f"/api/tasks/{ids[3]}/annotations/", {"result": []})
    upcoming = tasks_after(api, project_id, ids[1], count=3, unfinished=True)
    assert [task["id"] for task in upcoming] == [ids[2], ids[4], ids[5]]
    assert upcoming[0]["data"] == {"image": ADDRESSES[2]}
    assert tasks_after(api, project_id, ids[-1], count=3, unfinished=True) == []


@pytest.mark.parametrize("overlap", [1, 2], ids=["one-annotation", "two-annotations"])
def test_label_studio_serves_upcoming_tasks_in_that_order(api, overlap):
    """For one annotator; who labels beside others gets those that nobody has open."""
    project_id = projects.open_project(api, f"served {overlap}", instruction="")
    projects.import_tasks(api, project_id, [{"image": address} for address in ADDRESSES[:5]])
    api.patch_json(f"/api/projects/{project_id}/", {"maximum_annotations": overlap})
    served = api.get_json(f"/api/projects/{project_id}/next/")["id"]
    for _ in range(4):
        upcoming = tasks_after(api, project_id, served, count=1, unfinished=True)
        api.post_json(f"/api/tasks/{served}/annotations/", {"result": []})
        served = api.get_json(f"/api/projects/{project_id}/next/")["id"]
        assert [task["id"] for task in upcoming] == [served]
