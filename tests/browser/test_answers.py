"""Masks as bitmasks, polygons and rectangles: suggested, accepted, submitted and stored."""

import numpy as np
import pytest
from labeling_page import regions_mask

from backend.codecs.bitmask import decode_bitmask, encode_bitmask
from backend.images.samples import png_bytes
from backend.label_studio import projects
from mobilesam.scenes import generate_scene

pytestmark = pytest.mark.browser

SIZE_HW = (480, 640)
ELLIPSE_XY, OTHER_XY = (500, 180), (274, 177)  # on two objects of the scene

OWN_LABELS = """\
<View>
  <Image name="image" value="$image" smoothing="false"/>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="Object"/></KeyPointLabels>
  <{tag}Labels name="mask" toName="image" smart="false"><Label value="Object"/></{tag}Labels>
</View>
"""
SHARED_LABELS = """\
<View>
  <Image name="image" value="$image" smoothing="false"/>
  <Labels name="label" toName="image"><Label value="Object"/></Labels>
  <KeyPoint name="point" toName="image" smart="true"/>
  <{tag} name="mask" toName="image" smart="false"/>
</View>
"""
SMART_RECTANGLE = """\
<View>
  <Image name="image" value="$image"/>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="Object"/></KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="true"><Label value="Object"/></RectangleLabels>
</View>
"""

CONFIGS = pytest.mark.parametrize(
    "config", [OWN_LABELS, SHARED_LABELS], ids=["own-labels", "shared-labels"]
)
TAGS = pytest.mark.parametrize("tag", ["Bitmask", "Polygon", "Rectangle"], ids=str.lower)


@pytest.fixture(scope="module")
def new_task(api, backend):
    """Makes a task with the scene in a project of its own, and answers (project id, task id)."""

    def make(labeling_config):
        project_id = projects.create_project(api, "Answers", labeling_config)
        scene = png_bytes(generate_scene(9, SIZE_HW).image)
        tasks = projects.upload_pictures(api, project_id, {"scene.png": scene})
        projects.connect_backend(api, project_id, backend.url)
        return project_id, tasks["scene.png"]

    return make


@CONFIGS
@TAGS
def test_click_to_answer(labeling_page, api, new_task, config, tag):
    task = new_task(config.format(tag=tag))
    page = labeling_page
    page.open(*task, size_hw=SIZE_HW)
    bare = page.seen()
    page.pick("m", "1")
    answered = page.click(ELLIPSE_XY)
    if tag == "Bitmask":
        page.expect_mask(answered.mask, before=bare)
    else:
        page.expect_outline(answered.mask, before=bare)
    page.save_screenshot("1_click")
    page.accept()
    page.save_screenshot("2_accepted")
    page.submit()
    expect_stored(stored(api, task), answered, tag.lower(), own_labels=config is OWN_LABELS)


def test_parts_of_a_mask_are_polygons_to_accept(labeling_page, api, new_task):
    """Two clicks on two objects are one mask of several parts: one polygon each."""
    task = new_task(OWN_LABELS.format(tag="Polygon"))
    page = labeling_page
    page.open(*task, size_hw=SIZE_HW)
    bare = page.seen()
    page.pick("m", "1")
    page.click(ELLIPSE_XY)
    page.pick("m", "1")
    answered = page.click(OTHER_XY)
    assert len(answered.regions) >= 2
    page.expect_outline(answered.mask, before=bare)
    page.save_screenshot("1_two_parts")
    page.accept()
    page.expect_outline(answered.mask, before=bare)
    page.save_screenshot("2_accepted")
    page.submit()
    expect_stored(stored(api, task), answered, "polygon", own_labels=True)


def test_smart_rectangles_become_tight_boxes(labeling_page, api, new_task):
    """Clicks and drags both give the object's box; what was accepted before is left alone."""
    task = new_task(SMART_RECTANGLE)
    page = labeling_page
    page.open(*task, size_hw=SIZE_HW)
    bare = page.seen()
    page.pick("k", "1")
    clicked = page.click(ELLIPSE_XY)
    page.expect_outline(clicked.mask, before=bare)
    page.accept()
    page.pick("r", "2")
    dragged = page.drag((190, 95, 360, 260))
    [accepted, drawn] = dragged.prompts
    assert accepted["id"] == clicked.regions[0]["id"]
    assert "score" not in drawn
    [tight] = dragged.regions
    assert drawn["value"]["width"] - tight["value"]["width"] > 5
    page.save_screenshot("1_dragged")
    page.accept()
    page.expect_outline(clicked.mask | dragged.mask, before=bare)
    page.save_screenshot("2_accepted")
    page.submit()
    first, second = stored(api, task)
    expect_stored([first], clicked, "rectangle", own_labels=True)
    expect_stored([second], dragged, "rectangle", own_labels=True)


def test_bitmask_drawn_by_hand_is_read(labeling_page, api, new_task):
    """The editor's own strokes are antialiased, and opaque in the middle."""
    task = new_task(OWN_LABELS.format(tag="Bitmask"))
    page = labeling_page
    page.open(*task, size_hw=SIZE_HW)
    page.page.keyboard.press("2")
    page.draw((100, 400), (200, 400))
    page.save_screenshot("1_drawn")
    page.submit()
    [region] = stored(api, task)
    stroke = decode_bitmask(region["value"]["imageDataURL"], *SIZE_HW)
    with_rim = decode_bitmask(region["value"]["imageDataURL"], *SIZE_HW, threshold=0)
    assert stroke[400, 100:200].all()
    rows, columns = stroke.any(axis=1).nonzero()[0], stroke.any(axis=0).nonzero()[0]
    radius_px = (rows[-1] - rows[0]) // 2
    assert 10 <= radius_px <= 20
    assert abs(columns[-1] - columns[0] - 100 - 2 * radius_px) <= 2
    assert (with_rim & ~stroke).any()
    np.testing.assert_array_equal(decode_bitmask(encode_bitmask(stroke), *SIZE_HW), stroke)


def stored(api, task):
    """The regions of the one annotation that a task has, as the API gives them."""
    [annotation] = api.get_json(f"/api/tasks/{task[1]}/annotations/")
    return annotation["result"]


def expect_stored(regions, answered, kind, *, own_labels):
    """The regions are the answered ones, with their label; the mask is the same in every pixel."""
    shapes = [region for region in regions if region["type"] != "labels"]
    labels = [region for region in regions if region["type"] == "labels"]
    answers = [region for region in answered.regions if region["type"] != "labels"]
    assert [region["id"] for region in shapes] == [region["id"] for region in answers]
    assert {region["type"] for region in shapes} == {f"{kind}labels" if own_labels else kind}
    if own_labels:
        assert labels == []
        assert all(region["value"][f"{kind}labels"] == ["Object"] for region in shapes)
    else:
        assert [region["id"] for region in labels] == [region["id"] for region in shapes]
        assert all(region["value"]["labels"] == ["Object"] for region in labels)
    assert {region["score"] for region in shapes} == {answers[0]["score"]}
    np.testing.assert_array_equal(regions_mask(shapes), answered.mask)
