"""Rectangles that become masks in a real Label Studio, and an annotator who opens their tasks."""

from typing import NamedTuple

import numpy as np
import pytest
from labeling_page import regions_mask
from playwright.sync_api import expect

from backend.cli import main
from backend.images.samples import png_bytes
from backend.label_studio import projects
from backend.label_studio.project_tasks import EVERYTHING, iterate_tasks
from mobilesam.mask_geometry import bounding_box, intersection_over_union
from mobilesam.scenes import generate_scene

pytestmark = pytest.mark.browser

SIZE_HW = (480, 640)
SCENE = generate_scene(9, SIZE_HW)
BOXES_XYXY = [bounding_box(mask) for mask in SCENE.masks]
VERSION_ENDING = "-prelabel-boxes"

OWN_LABELS = """\
<View>
  <Image name="image" value="$image"/>
  <RectangleLabels name="box" toName="image"><Label value="Object"/></RectangleLabels>
  <BrushLabels name="mask" toName="image"><Label value="Object"/></BrushLabels>
</View>
"""
SHARED_LABELS = """\
<View>
  <Image name="image" value="$image"/>
  <Labels name="label" toName="image"><Label value="Object"/><Label value="Other"/></Labels>
  <Rectangle name="box" toName="image"/>
  <{tag} name="mask" toName="image"/>
</View>
"""
CONFIGS = {
    "own-labels": OWN_LABELS,
    "shared-labels": SHARED_LABELS.format(tag="Brush"),
    "shared-labels-polygon": SHARED_LABELS.format(tag="Polygon"),
}


class Prelabelled(NamedTuple):
    """A project with rectangles of a person on one task, a detector's on one, none on one."""

    project_id: int
    annotated: int
    detected: int
    bare: int


def rectangles(*, shared):
    """The boxes of the scene's objects, as the editor saves them."""
    results = []
    height, width = SIZE_HW
    for number, (left, top, right, bottom) in enumerate(BOXES_XYXY):
        region = {
            "id": f"box{number}",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
        }
        value = {
            "x": left / width * 100,
            "y": top / height * 100,
            "width": (right - left) / width * 100,
            "height": (bottom - top) / height * 100,
            "rotation": 0,
        }
        kind, key = ("rectangle", "labels") if shared else ("rectanglelabels", "rectanglelabels")
        labelled = {**value, key: ["Object"]}
        results.append({**region, "from_name": "box", "type": kind, "value": labelled})
        if shared:
            results.append({**region, "from_name": "label", "type": "labels", "value": labelled})
    return results


@pytest.fixture(scope="module", params=CONFIGS)
def prelabelled(request, api, label_studio):
    config = CONFIGS[request.param]
    project_id = projects.create_project(api, f"Prelabel {request.param}", config)
    picture = png_bytes(SCENE.image)
    pictures = dict.fromkeys(("annotated.png", "detected.png", "bare.png"), picture)
    tasks = projects.upload_pictures(api, project_id, pictures)
    results = rectangles(shared="<Labels" in config)
    annotated = f"/api/tasks/{tasks['annotated.png']}/annotations/"
    api.post_json(annotated, {"result": results})
    api.post_json(
        "/api/predictions/",
        {"task": tasks["detected.png"], "result": results, "model_version": "detector"},
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LABEL_STUDIO_URL", label_studio.url)
        environment.setenv("LABEL_STUDIO_API_KEY", label_studio.login.token)
        environment.setenv("MOBILESAM_CHECKPOINT", "demo")
        assert main(["prelabel", "--project", str(project_id), "--show"]) == 0
        yield Prelabelled(project_id, *(tasks[name] for name in pictures))


def written(api, project_id):
    """Task id -> the results of its one prediction of ours."""
    found = {}
    for task in iterate_tasks(api, project_id, fields=EVERYTHING):
        ours = [p for p in task["predictions"] if p["model_version"].endswith(VERSION_ENDING)]
        assert len(ours) <= 1
        if ours:
            found[task["id"]] = ours[0]["result"]
    return found


def regions(results):
    """The results of each region."""
    by_id = {}
    for result in results:
        by_id.setdefault(result["id"], []).append(result)
    return list(by_id.values())


def test_each_rectangle_has_a_mask_of_its_object(api, prelabelled):
    found = written(api, prelabelled.project_id)
    assert sorted(found) == [prelabelled.annotated, prelabelled.detected]
    for results in found.values():
        masks = [regions_mask(region) for region in regions(results)]
        assert len(masks) == len(SCENE.masks)
        ious = [
            intersection_over_union(mask, wanted)
            for mask, wanted in zip(masks, SCENE.masks, strict=True)
        ]
        assert np.mean(ious) > 0.85


def test_annotation_stays_as_it_was(api, prelabelled):
    (annotation,) = next(
        task["annotations"]
        for task in iterate_tasks(api, prelabelled.project_id, fields=EVERYTHING)
        if task["id"] == prelabelled.annotated
    )
    assert {result["type"] for result in annotation["result"]} <= {
        "rectangle",
        "rectanglelabels",
        "labels",
    }


def test_second_run_adds_nothing_and_redo_replaces(api, prelabelled, capsys):
    before = written(api, prelabelled.project_id)
    command = ["prelabel", "--project", str(prelabelled.project_id)]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("0 masks in 0 tasks, 2 were done before, 1 have no")
    assert written(api, prelabelled.project_id) == before
    assert main([*command, "--redo"]) == 0
    after = written(api, prelabelled.project_id)
    assert sorted(after) == sorted(before)
    assert after != before  # each mask has another id


def test_masks_are_seen_by_who_opens_the_task(labeling_page, api, prelabelled):
    page = labeling_page
    page.look_at(prelabelled.project_id, prelabelled.bare, size_hw=SIZE_HW)
    bare = page.seen()
    page.look_at(prelabelled.project_id, prelabelled.annotated, size_hw=SIZE_HW)
    page.page.get_by_text("-boxes").first.click()
    mask = regions_mask(written(api, prelabelled.project_id)[prelabelled.annotated])
    page.expect_mask(mask, before=bare)
    page.save_screenshot("masks")


def test_masks_of_a_detectors_boxes_are_in_the_annotation_that_is_begun(
    labeling_page, api, prelabelled
):
    """Label All Tasks serves the task with the masks in it; they are submitted as they are."""
    page = labeling_page
    page.page.goto(f"{page.url}/projects/{prelabelled.project_id}/data?labeling=1")
    page.stage.wait_for()
    predicted = written(api, prelabelled.project_id)[prelabelled.detected]
    expect(page.page.get_by_role("treeitem")).to_have_count(len(regions(predicted)))
    page.save_screenshot("begun")
    stored = page.submit()
    assert stored["task"] == prelabelled.detected
    submitted = stored["result"]
    np.testing.assert_array_equal(regions_mask(submitted), regions_mask(predicted))
    assert len(regions(submitted)) == len(SCENE.masks)
