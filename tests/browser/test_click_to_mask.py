import numpy as np
import pytest

from backend.codecs.brush import decode_brush
from backend.images.samples import png_bytes
from backend.label_studio import projects
from mobilesam.scenes import generate_scene

pytestmark = pytest.mark.browser

SIZE_HW = (480, 640)

SHARED_LABELS = """\
<View>
  <Image name="image" value="$image"/>
  <Labels name="label" toName="image"><Label value="Object"/><Label value="Other"/></Labels>
  <KeyPoint name="point" toName="image" smart="true"/>
  <Brush name="mask" toName="image" smart="false"/>
</View>
"""

TWO_IMAGES = """\
<View>
  <Image name="image" valueList="$images"/>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="Object"/></KeyPointLabels>
  <BrushLabels name="mask" toName="image" smart="false"><Label value="Object"/></BrushLabels>
</View>
"""


@pytest.fixture(scope="module")
def scene():
    """Its last object is an ellipse around (500, 180), the one before lies around (274, 177)."""
    return generate_scene(9, SIZE_HW)


@pytest.fixture(scope="module")
def project(api, backend, scene):
    """(project id, task ids by picture) of a project as the demo makes it, with the scene."""
    project_id = projects.open_project(api, "Click to mask", instruction="")
    pictures = {
        "scene.png": png_bytes(scene.image),
        "other.png": png_bytes(generate_scene(10, SIZE_HW).image),
    }
    tasks = projects.upload_pictures(api, project_id, pictures)
    projects.connect_backend(api, project_id, backend.url)
    return project_id, tasks


def test_click_to_mask(labeling_page, api, project, scene):
    """Click, refine, take away, accept, drag a box, accept, submit; then ask the API."""
    project_id, tasks = project
    task_id = tasks["scene.png"]
    page = labeling_page
    page.open(project_id, task_id, size_hw=SIZE_HW)
    bare = page.seen()

    page.pick("k", "1")
    first = page.click((500, 180))
    assert [prompt["is_positive"] for prompt in first.prompts] == [True]
    assert _iou(first.mask, scene.masks[4]) > 0.6
    page.expect_mask(first.mask, before=bare)
    page.save_screenshot("1_click")

    page.pick("k", "1")
    second = page.click((450, 170))
    assert [prompt["is_positive"] for prompt in second.prompts] == [True, True]
    assert _iou(second.mask, scene.masks[4]) > 0.6
    page.expect_mask(second.mask, before=bare)
    page.save_screenshot("2_second_click")

    page.pick("k", "1")
    third = page.click((600, 120), negative=True)
    assert [prompt["is_positive"] for prompt in third.prompts] == [True, True, False]
    assert not third.mask[120, 600]
    assert _iou(third.mask, scene.masks[4]) > 0.6
    page.expect_mask(third.mask, before=bare)
    page.save_screenshot("3_negative_click")
    page.accept()

    page.pick("r", "3")
    box = page.drag((208, 113, 340, 242))
    assert [prompt["type"] for prompt in box.prompts] == ["rectanglelabels"]
    assert _iou(box.mask, scene.masks[3]) > 0.6
    page.save_screenshot("4_rectangle")
    page.accept()
    # Only now: the rectangle, which is drawn filled too, is gone.
    page.expect_mask(third.mask | box.mask, before=bare)
    page.save_screenshot("5_accepted")

    page.submit()
    annotation = _only_annotation(api, task_id)
    assert [region["type"] for region in annotation] == ["brushlabels", "brushlabels"]
    for region, answered in zip(annotation, (third, box), strict=True):
        assert region["id"] == answered.regions[0]["id"]
        assert region["value"]["brushlabels"] == ["Object"]
        stored = decode_brush(region["value"]["rle"], *SIZE_HW)
        np.testing.assert_array_equal(stored, answered.mask)


def test_click_with_shared_labels(labeling_page, api, backend, project):
    """With <Labels>, <KeyPoint> and <Brush>, one click is two results and gets a labelled mask."""
    task = _new_task(
        api, backend, SHARED_LABELS, {"image": _picture_url(api, project, "scene.png")}
    )
    page = labeling_page
    page.open(*task, size_hw=SIZE_HW)
    bare = page.seen()
    page.pick("m", "1")
    answered = page.click((500, 180))
    assert [prompt["type"] for prompt in answered.prompts] == ["keypoint", "labels"]
    page.expect_mask(answered.mask, before=bare)
    page.save_screenshot("1_click")
    page.accept()
    page.submit()

    regions = _only_annotation(api, task[1])
    assert {region["type"] for region in regions} == {"brush", "labels"}
    assert len({region["id"] for region in regions}) == 1
    for region in regions:
        if region["type"] == "labels":
            assert region["value"]["labels"] == ["Object"]
        else:
            stored = decode_brush(region["value"]["rle"], *SIZE_HW)
            np.testing.assert_array_equal(stored, answered.mask)


def test_click_on_second_image(labeling_page, api, backend, project):
    """In a task of two images, the mask of a click on the second one is drawn on that one."""
    urls = [_picture_url(api, project, name) for name in ("other.png", "scene.png")]
    task = _new_task(api, backend, TWO_IMAGES, {"images": urls})
    page = labeling_page
    page.open(*task, size_hw=SIZE_HW)
    page.turn_to_second_image()
    bare = page.seen()
    page.pick("m", "1")
    answered = page.click((500, 180))
    assert [prompt["item_index"] for prompt in answered.prompts] == [1]
    page.expect_mask(answered.mask, before=bare)
    page.save_screenshot("1_click")
    page.accept()
    page.submit()

    [region] = _only_annotation(api, task[1])
    assert region["item_index"] == 1
    np.testing.assert_array_equal(decode_brush(region["value"]["rle"], *SIZE_HW), answered.mask)


def _picture_url(api, project, name):
    _project_id, tasks = project
    return api.get_json(f"/api/tasks/{tasks[name]}/")["data"]["image"]


def _new_task(api, backend, labeling_config, data):
    """(project id, task id) of a task in a project of its own, connected to the backend."""
    project_id = projects.create_project(api, "Another config", labeling_config)
    projects.connect_backend(api, project_id, backend.url)
    task = api.post_json("/api/tasks/", {"project": project_id, "data": data})
    return project_id, task["id"]


def _only_annotation(api, task_id):
    """The regions of the one annotation that a task has, as the API gives them."""
    [annotation] = api.get_json(f"/api/tasks/{task_id}/annotations/")
    return annotation["result"]


def _iou(mask, other):
    return (mask & other).sum() / (mask | other).sum()
