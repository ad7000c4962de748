"""What docs/clicking.md says of Label Studio's page is so; its pictures come from here.

They are written to runs/screenshots; `cp runs/screenshots/clicking_*.jpg docs/images/` renews them.
"""

import io

import pytest
from PIL import Image
from playwright.sync_api import expect

from backend.images.samples import png_bytes
from backend.label_studio import projects
from mobilesam.scenes import generate_scene

pytestmark = pytest.mark.browser

SIZE_HW = (480, 640)
ELLIPSE_XY, ELLIPSE_RIM_XY, BESIDE_XY = (500, 180), (450, 170), (600, 120)
DIAMOND_XY, GREEN_XY = (274, 177), (445, 440)
ELLIPSE_XYXY, DIAMOND_XYXY = (390, 85, 632, 262), (200, 103, 345, 247)
PICTURE_XYXY = (248, 92, 1078, 898)  # of the window: the image, its labels and the bar below


@pytest.fixture
def page(labeling_page, api, backend):
    """On a task of its own in a project as the demo makes it, with Auto-Annotation on."""
    project_id = projects.create_project(api, "Clicking", projects.LABELING_CONFIG)
    scene = png_bytes(generate_scene(9, SIZE_HW).image)
    tasks = projects.upload_pictures(api, project_id, {"scene.png": scene})
    projects.connect_backend(api, project_id, backend.url)
    labeling_page.open(project_id, tasks["scene.png"], size_hw=SIZE_HW)
    labeling_page.task = project_id, tasks["scene.png"]
    return labeling_page


def take_picture(page, name):
    page.page.mouse.move(5, 5)
    shot = Image.open(io.BytesIO(page.page.screenshot())).crop(PICTURE_XYXY).convert("RGB")
    small = shot.resize((shot.width * 3 // 4, shot.height * 3 // 4), Image.Resampling.LANCZOS)
    path = page.screenshots.with_name(f"clicking_{name}.jpg")
    small.save(path, quality=88)
    assert path.stat().st_size < 150_000


def positives(exchange):
    return [prompt["is_positive"] for prompt in exchange.prompts]


def regions(page):
    """The kinds of the regions that a submission stores."""
    return [region["type"] for region in page.submit()["result"]]


def test_clicks_add_and_alt_clicks_take_away(page):
    page.pick("k", "1")
    assert positives(page.click(ELLIPSE_XY)) == [True]
    take_picture(page, "1_suggestion")
    page.pick("k", "1")
    assert positives(page.click(ELLIPSE_RIM_XY)) == [True, True]
    page.pick("k", "1")
    refined = page.click(BESIDE_XY, negative=True)
    assert positives(refined) == [True, True, False]
    assert not refined.mask[BESIDE_XY[::-1]]
    take_picture(page, "2_negative")


def test_click_of_another_label_makes_the_suggestion_vanish(page):
    page.pick("k", "1")
    page.click(ELLIPSE_XY)
    page.pick("k", "2")
    other = page.click(DIAMOND_XY)
    assert positives(other) == [True]
    assert not other.mask[ELLIPSE_XY[::-1]]
    page.accept()
    assert regions(page) == ["brushlabels"]  # the first label's point is gone too


def test_points_and_boxes_do_not_combine(page):
    page.pick("k", "1")
    page.click(ELLIPSE_XY)
    page.pick("r", "3")
    assert [prompt["type"] for prompt in page.drag(DIAMOND_XYXY).prompts] == ["rectanglelabels"]


def test_boxes_are_suggestions_of_their_own(page):
    page.pick("r", "3")
    page.drag(ELLIPSE_XYXY)
    page.pick("r", "3")
    assert len(page.drag(DIAMOND_XYXY).regions) == 2
    take_picture(page, "3_boxes")
    page.accept()
    assert regions(page) == ["brushlabels", "brushlabels"]


def test_auto_accept_makes_each_click_a_region(page):
    page.page.get_by_test_id("bottombar-auto-accept-toggle").locator("..").click()
    page.page.evaluate("document.activeElement.blur()")
    for xy in (ELLIPSE_XY, DIAMOND_XY, GREEN_XY):
        page.pick("k", "1")
        with page._exchange() as call:
            page.page.mouse.click(*page._on_screen(xy))
        assert len(call.value.json()["data"]["result"]) == 1
        page.page.wait_for_timeout(500)
    take_picture(page, "4_auto_accept")
    assert regions(page) == ["brushlabels"] * 3


def test_click_in_an_accepted_mask_selects_and_with_ctrl_prompts(page):
    page.pick("k", "1")
    page.click(ELLIPSE_XY)
    page.accept()
    page.pick("k", "1")
    page.page.keyboard.down("Control")
    assert positives(page.click(ELLIPSE_RIM_XY)) == [True]
    page.page.keyboard.up("Control")


def test_undo_of_an_acceptance_brings_the_points_back(page):
    page.pick("k", "1")
    page.click(ELLIPSE_XY)
    page.accept()
    page.page.keyboard.press("Control+z")
    page.page.wait_for_timeout(500)
    page.pick("k", "1")
    assert positives(page.click(ELLIPSE_RIM_XY)) == [True, True]


def test_accepted_mask_is_mended_with_the_eraser_while_auto_annotation_is_on(page):
    page.pick("k", "1")
    clicked = page.click(ELLIPSE_XY)
    page.accept()
    before = page.seen()
    page.page.keyboard.press("v")
    page.page.mouse.click(*page._on_screen(ELLIPSE_XY))
    page.page.keyboard.press("e")
    page.draw((430, 180), (560, 180))
    page.page.keyboard.press("u")
    assert (page.seen() != before).any()
    [region] = page.submit()["result"]
    assert region["id"] == clicked.regions[0]["id"]
    assert region["value"]["rle"] != clicked.regions[0]["value"]["rle"]


def test_submit_with_a_suggestion_pending_loses_it(page):
    page.pick("k", "1")
    page.click(ELLIPSE_XY)
    assert regions(page) == ["keypointlabels"]


def test_auto_annotation_stays_on_for_the_next_task(page):
    page.look_at(*page.task, size_hw=SIZE_HW)
    expect(page.page.get_by_test_id("bottombar-auto-accept-toggle")).to_be_attached()
