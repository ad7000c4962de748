"""The page of a real backend with the demo weights, behind Basic auth, without Label Studio."""

import base64
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import requests
from conftest import SCREENSHOTS
from PIL import Image
from playground_page import (
    LOGIN,
    changed,
    click,
    download,
    drag,
    drop,
    expect_mask,
    iou,
    open_page,
    place,
    png_mask,
    seen,
)
from playwright.sync_api import Error, expect
from pycocotools import mask as coco_masks

from backend.codecs.brush import decode_brush
from backend.codecs.run_lengths import decode_runs
from backend.commands.demo.child_process import free_port
from backend.commands.demo.run import BackendServer
from backend.images.samples import png_bytes
from mobilesam.scenes import generate_scene

pytestmark = pytest.mark.browser

SIZE_HW = (480, 640)
ELLIPSE, DIAMOND = (500, 180), (274, 177)  # x, y on objects of the scene
HOSTILE = "<img src=x onerror=document.title='broken'>"
CONFIG = """
<View>
  <Image name="image" value="$image"/>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="Object"/></KeyPointLabels>
  <BrushLabels name="mask" toName="image"><Label value="Object"/></BrushLabels>
</View>
"""

HIDE = """
(isHidden) => {
  Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


@pytest.fixture(scope="module")
def scene():
    """Its last object is an ellipse around ELLIPSE, the one before lies around DIAMOND."""
    return generate_scene(9, SIZE_HW)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    nowhere = SimpleNamespace(
        url=f"http://127.0.0.1:{free_port(18999)}", login=SimpleNamespace(token="none")
    )
    log = tmp_path_factory.mktemp("page") / "backend.log"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BASIC_AUTH_USER", LOGIN[0])
        environment.setenv("BASIC_AUTH_PASS", LOGIN[1])
        server = BackendServer(nowhere, checkpoint="demo", port=free_port(19190), log=log)
    with server:
        server.wait_until_up()
        yield server.url


@pytest.fixture
def page(chromium, service, request):
    with open_page(chromium, service) as page:
        yield page
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png", full_page=True)


def test_drop_click_take_away_undo_drag_accept_and_download(page, scene):
    drop(page, "scene.png", png_bytes(scene.image))
    bare = seen(page)
    click(page, ELLIPSE)
    first = png_mask(page)
    assert iou(first, scene.masks[4]) > 0.6
    assert iou(changed(page, bare), first) > 0.9

    assert click(page, (420, 130), "Shift") == [1, 0]
    assert not np.array_equal(png_mask(page), first)
    page.keyboard.press("Control+z")
    expect(page.locator("#objects li.open small")).to_have_text(f"{first.sum():,} px")
    assert np.array_equal(png_mask(page), first)
    assert click(page, (420, 130), "Alt") == [1, 0]
    page.click("#undo")
    expect(page.locator("#objects li.open small")).to_have_text(f"{first.sum():,} px")

    page.locator("#canvas").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#objects li")).to_have_count(1)
    drag(page, (205, 105), (345, 250))
    both = png_mask(page)
    second = both & ~first
    assert iou(second, scene.masks[3]) > 0.6
    assert iou(changed(page, bare), both) > 0.8  # the box and a number are drawn too
    page.click("#accept")
    expect(page.locator("#objects li")).to_contain_text(["Object 1", "Object 2"])
    expect(page.locator("#objects li.open")).to_have_count(0)


def test_downloads_hold_the_masks_that_are_drawn(page, scene):
    picture = png_bytes(scene.image)
    drop(page, "scene.png", picture)
    click(page, ELLIPSE)
    first = png_mask(page)
    page.locator("#canvas").focus()
    page.keyboard.press("Enter")
    click(page, DIAMOND)
    both = png_mask(page)

    name, data = download(page, "coco")
    assert name == "scene_coco.json"
    coco = json.loads(data)
    assert coco["images"] == [{"id": 1, "file_name": "scene.png", "height": 480, "width": 640}]
    masks = [coco_masks.decode(item["segmentation"]) > 0 for item in coco["annotations"]]
    assert np.array_equal(masks[0], first)
    assert np.array_equal(masks[0] | masks[1], both)

    name, data = download(page, "label-studio")
    assert name == "scene_label_studio.json"
    (task,) = json.loads(data)
    assert task["data"]["image"].startswith("data:")
    assert base64.b64decode(task["data"]["image"].partition(",")[2]) == picture
    regions = task["annotations"][0]["result"]
    drawn = [decode_brush(region["value"]["rle"], *SIZE_HW) for region in regions]
    assert np.array_equal(drawn, masks)


def test_enter_right_after_a_click_accepts_the_mask_of_that_click(page, scene):
    drop(page, "scene.png", png_bytes(scene.image))
    click(page, DIAMOND)
    first = png_mask(page)
    with page.expect_response("**/playground/masks") as answered:
        page.mouse.click(*place(page, ELLIPSE))
        page.keyboard.press("Enter")
    expect(page.locator("#objects li button")).to_have_count(1)
    expect(page.locator("#objects li.open")).to_have_count(0)
    assert answered.value.request.post_data_json["labels"] == [1, 1]
    mask = decode_runs(answered.value.json()["runs"], *SIZE_HW)
    assert np.array_equal(png_mask(page), mask)
    assert not np.array_equal(mask, first)


def test_undo_goes_back_through_accepted_objects_and_delete_removes(page, scene):
    drop(page, "scene.png", png_bytes(scene.image))
    bare = seen(page)
    click(page, ELLIPSE)
    page.locator("#canvas").focus()
    page.keyboard.press("Enter")
    click(page, DIAMOND)
    page.keyboard.press("Delete")
    expect(page.locator("#objects li")).to_have_count(1)
    page.keyboard.press("Backspace")  # opens the accepted one again
    expect(page.locator("#objects li.open")).to_have_count(1)
    page.keyboard.press("Backspace")
    expect(page.locator("#objects li")).to_have_count(0)
    assert not changed(page, bare).any()
    expect(page.locator("[data-download=png]")).to_be_disabled()


def test_keyboard_alone_clicks_drags_accepts_and_undoes(page, scene):
    page.keyboard.press("Tab")
    for _ in range(20):
        if page.evaluate("document.activeElement.closest('#samples') !== null"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_contain_text("Ready")
    expect(page.locator("#canvas")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#message")).to_have_text("Crosshair at 333, 240")
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator("#message")).to_have_text("Crosshair at 332, 240")
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    for _ in range(14):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")  # (527, 422) is on the blue square of scene 53
    expect_mask(page)
    whole = int(page.locator("#objects small").inner_text().replace(",", "").split()[0])
    (square,) = [mask for mask in generate_scene(53, SIZE_HW).masks if mask[422, 527]]
    assert iou(png_mask(page), square) > 0.6
    page.locator("#canvas").focus()
    for _ in range(6):
        page.keyboard.press("ArrowUp")
    with page.expect_response("**/playground/masks"):
        page.keyboard.press("Shift+Space")
    page.keyboard.press("Backspace")
    expect(page.locator("#objects small")).to_have_text(f"{whole:,} px")
    page.keyboard.press("Enter")
    expect(page.locator("#objects li.open")).to_have_count(0)
    page.keyboard.press("b")
    for _ in range(4):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    with page.expect_response("**/playground/masks"):
        page.keyboard.press("b")
    expect(page.locator("#message")).not_to_have_class("message bad")


def test_turned_photograph_is_shown_and_masked_upright(page, scene):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    stored = np.rot90(scene.image)  # a quarter to the left
    Image.fromarray(np.ascontiguousarray(stored)).save(buffer, "JPEG", exif=exif, quality=95)
    drop(page, "phone.jpg", buffer.getvalue())
    assert np.abs(seen(page) - scene.image.astype(np.int16)).mean() < 10
    click(page, ELLIPSE)
    assert iou(png_mask(page), scene.masks[4]) > 0.6


def test_image_that_the_service_has_dropped_is_sent_again(page, scene):
    drop(page, "scene.png", png_bytes(scene.image))
    sent = []
    page.on("request", lambda asked: sent.append(asked.url.rpartition("/")[2]))

    def ask_for_another(route):
        route.continue_(post_data=json.dumps(route.request.post_data_json | {"image": "0" * 64}))

    page.route("**/playground/masks", ask_for_another, times=1)
    page.mouse.click(*place(page, ELLIPSE))
    expect_mask(page)
    assert [name for name in sent if name in ("images", "masks")] == ["masks", "images", "masks"]


def test_mistakes_are_told_with_what_to_do(page, scene):
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no"})
    expect(page.locator("#message")).to_have_text(
        "This browser cannot show a.png. Choose a JPEG, PNG or WebP."
    )
    drop(page, "scene.png", png_bytes(scene.image))
    page.check("[name=tool][value=remove]")
    page.mouse.click(*place(page, ELLIPSE))
    expect(page.locator("#message")).to_have_text(
        "Click on the object first, then take away from it."
    )
    expect(page.locator("#objects li")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_has_no_sideways_scrolling_and_taps_segment(chromium, service, scene, scheme):
    options = {"has_touch": True, "is_mobile": True, "color_scheme": scheme}
    with open_page(chromium, service, size=(375, 740), **options) as page:
        width = "document.documentElement.scrollWidth"
        assert page.evaluate(width) == 375
        drop(page, "scene.png", png_bytes(scene.image))
        page.locator("#canvas").scroll_into_view_if_needed()
        with page.expect_response("**/playground/masks"):
            page.touchscreen.tap(*place(page, ELLIPSE))
        expect_mask(page)
        page.check("[name=tool][value=remove]")
        page.locator("#canvas").scroll_into_view_if_needed()
        with page.expect_response("**/playground/masks") as answered:
            page.touchscreen.tap(*place(page, (420, 130)))
        assert answered.value.request.post_data_json["labels"] == [1, 0]
        page.click("summary")
        assert page.evaluate(width) == 375
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"page_phone_{scheme}.png", full_page=True)


def fail_to_click(url, task_id):
    """Click as Label Studio does, on a task whose image cannot be had."""
    point = {
        "id": "p",
        "type": "keypointlabels",
        "from_name": "point",
        "to_name": "image",
        "is_positive": True,
        "value": {"x": 50, "y": 50, "width": 0.2, "keypointlabels": ["Object"]},
    }
    body = {
        "tasks": [{"id": task_id, "data": {"image": f"ftp://nowhere/{HOSTILE}"}}],
        "project": "7.1795350403",
        "label_config": CONFIG,
        "params": {"context": {"result": [point]}},
    }
    answer = requests.post(f"{url}/predict", json=body, auth=LOGIN, timeout=20)
    assert answer.status_code == 422
    return answer.json()["error"]


def test_failed_click_is_listed_with_task_reason_and_remedy(page, service):
    error = fail_to_click(service, task_id=4711)
    row = page.locator("#failures li", has_text="task 4711")
    expect(row).to_be_visible()
    expect(row.locator("strong")).to_have_text(error["reason"])
    expect(row.locator(".what")).to_contain_text("project 7")
    expect(row.locator(".told")).to_have_text(error["message"])
    expect(row.locator(".remedy")).to_have_text(error["remedy"])
    assert HOSTILE in error["message"]
    assert page.locator("#failures img").count() == 0
    assert page.title() == "MobileSAM for Label Studio"


def test_state_of_the_service_is_shown_and_clicks_with_their_steps(page, service, scene):
    expect(page.locator("#demo-weights")).to_be_visible()
    expect(page.locator("#model")).to_contain_text("demo")
    expect(page.locator("#tiers progress")).to_have_count(1)
    expect(page.locator("#address")).to_have_text(service)
    drop(page, "scene.png", png_bytes(scene.image))
    click(page, ELLIPSE)
    newest = page.locator("#clicks-table tr").nth(1)
    expect(newest).to_contain_text("this page")
    expect(page.locator("#clicks-table th")).to_contain_text(["When", "Task", "mask, ms"])


def test_nothing_is_asked_while_the_tab_is_hidden(chromium, service):
    with open_page(chromium, service) as page:
        page.clock.install()
        page.reload()
        asked = []
        page.on("request", lambda sent: asked.append(sent.url))
        with page.expect_response("**/page/status"):
            page.clock.run_for(5000)
        page.evaluate(HIDE, True)
        page.wait_for_load_state("networkidle")
        asked.clear()
        page.clock.run_for(60_000)
        assert asked == []
        with page.expect_response("**/page/status"):
            page.evaluate(HIDE, False)


def test_page_needs_the_login(chromium, service):
    context = chromium.new_context()
    with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
        context.new_page().goto(service)
    context.close()
