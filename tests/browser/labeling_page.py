"""Label Studio's labeling page, driven as a person does: tools, labels, clicks, what is seen."""

import io
import json
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from filled_polygons import polygons_mask
from PIL import Image
from playwright.sync_api import expect

from backend.codecs.bitmask import decode_bitmask
from backend.codecs.brush import decode_brush

CHANGE = 12  # grey levels; a mask is drawn with more
DRAWN_WITHIN_S = 10.0
EDGE_PX = 5  # on the screen, where a mask's border may fall on either side


def log_in(page, url, login):
    page.goto(f"{url}/user/login/")
    page.locator("input[name=email]").fill(login.email)
    page.locator("input[name=password]").fill(login.password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda now: "/login" not in now)


@dataclass(frozen=True)
class Exchange:
    """One interactive call of the page: the prompts it sent, the regions it got."""

    prompts: list
    regions: list

    @property
    def mask(self):
        """(H, W) bool: what the answer's regions fill."""
        return regions_mask(self.regions)


def regions_mask(regions):
    """(H, W) bool: what regions of one image fill, whatever their kind; labels fill nothing."""
    size_hw = regions[0]["original_height"], regions[0]["original_width"]
    mask = np.zeros(size_hw, bool)
    for value in (region["value"] for region in regions):
        if "rle" in value:
            mask |= decode_brush(value["rle"], *size_hw)
        elif "imageDataURL" in value:
            mask |= decode_bitmask(value["imageDataURL"], *size_hw)
        elif "points" in value:
            mask |= polygons_mask([np.array(value["points"]) / 100 * size_hw[::-1]], size_hw)
        elif "width" in value:
            assert value["rotation"] == 0
            left, top, across, down = (value[key] for key in ("x", "y", "width", "height"))
            corners = [(left, top), (left + across, top), (left + across, top + down)]
            corners.append((left, top + down))
            mask |= polygons_mask([np.array(corners) / 100 * size_hw[::-1]], size_hw)
    return mask


class LabelingPage:
    """One browser window on one task.

    Args:
        page: of Playwright, logged in.
        url: of Label Studio.
        screenshots: beginning of the screenshots' paths.
    """

    def __init__(self, page, url, screenshots: Path):
        self.page = page
        self.url = url
        self.screenshots = screenshots
        self.stage = page.locator(".konvajs-content")
        self.image = page.get_by_alt_text("image", exact=True)

    def open(self, project_id, task_id, *, size_hw):
        """Open a task and turn Auto-Annotation on."""
        self.look_at(project_id, task_id, size_hw=size_hw)
        self.page.get_by_text("Auto-Annotation").click()
        # The switch keeps the focus, and takes the keys that are meant for labels.
        self.page.evaluate("document.activeElement.blur()")

    def look_at(self, project_id, task_id, *, size_hw):
        """Open a task of any project, whether a backend is connected or not."""
        self.size_hw = size_hw
        self.page.goto(f"{self.url}/projects/{project_id}/data?task={task_id}")
        self.stage.wait_for()
        self.image.wait_for()

    def turn_to_second_image(self):
        """Show the other image of a task with two."""
        arrow = ".lsf-pagination__btn_arrow-right:not(.lsf-pagination__btn_arrow-right-double)"
        self.page.locator(arrow).click()
        expect(self.page.get_by_text("2 of 2")).to_be_visible()
        self.stage.wait_for()

    def pick(self, tool_key, label_key):
        """Select a tool, then a label; Label Studio deselects the label after each click.

        Where a config has several smart tools, "k" is the key point and "r" the rectangle; where it
        has one, that one is "m", and the others are plain.
        """
        self.page.keyboard.press(tool_key)
        self.page.keyboard.press(label_key)

    def click(self, xy, *, negative=False):
        """Click a pixel of the image, with Alt if negative, and wait for the suggestions."""
        if negative:
            self.page.keyboard.down("Alt")
        with self._exchange() as call:
            self.page.mouse.click(*self._on_screen(xy))
        if negative:
            self.page.keyboard.up("Alt")
        return self._finished(call)

    def drag(self, xyxy):
        """Drag from one pixel of the image to another, and wait for the suggestions."""
        with self._exchange() as call:
            self.draw(xyxy[:2], xyxy[2:])
        return self._finished(call)

    def draw(self, from_xy, to_xy):
        """Draw by hand from one pixel of the image to another."""
        self.page.mouse.move(*self._on_screen(from_xy))
        self.page.mouse.down()
        self.page.mouse.move(*self._on_screen(to_xy), steps=5)
        self.page.mouse.up()

    def accept(self):
        """Accept what is suggested; it becomes a region."""
        button = self.page.get_by_test_id("bottombar-accept-suggestions-button")
        button.click()
        expect(button).to_be_hidden()

    def submit(self):
        """Submit the annotation and return what was sent, as Label Studio stored it."""
        with self.page.expect_response(
            lambda got: got.request.method == "POST" and "/annotations" in got.url
        ) as answer:
            self.page.get_by_test_id("bottombar-submit-button").click()
        return answer.value.json()

    def save_screenshot(self, name):
        self.page.screenshot(path=f"{self.screenshots}_{name}.png")

    def seen(self):
        """(h, w, 3) uint8: what the screen shows where the image is."""
        self.page.mouse.move(5, 5)  # what lies under the mouse is highlighted
        shot = self.page.screenshot(clip=self.stage.bounding_box())
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))

    def expect_mask(self, mask, *, before):
        """Wait until the screen differs from `before` inside a mask, and only there.

        Args:
            mask: (H, W) bool, of the image's size.
            before: of `seen`, without the mask.
        """
        expected = self._on_stage(mask).astype(np.uint8)
        margin = np.ones((2 * EDGE_PX + 1, 2 * EDGE_PX + 1), np.uint8)
        inside = cv2.erode(expected, margin).astype(bool)
        outside = ~cv2.dilate(expected, margin).astype(bool)
        assert inside.any()
        deadline = time.monotonic() + DRAWN_WITHIN_S
        while True:
            changed = np.abs(self.seen().astype(int) - before).max(axis=2) > CHANGE
            # The key points and the two buttons under a suggestion are drawn outside too.
            if changed[inside].mean() > 0.98 and changed[outside].mean() < 0.02:
                return
            assert time.monotonic() < deadline, (
                f"{changed[inside].mean():.1%} of the screen changed inside the mask, "
                f"{changed[outside].mean():.1%} outside"
            )
            self.page.wait_for_timeout(100)

    def expect_outline(self, mask, *, before):
        """Wait until the screen differs from `before` all along a mask's border.

        Args:
            mask: (H, W) bool, of the image's size.
            before: of `seen`, without the outline.
        """
        expected = self._on_stage(mask).astype(np.uint8)
        border = cv2.morphologyEx(expected, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        margin = np.ones((2 * EDGE_PX + 1, 2 * EDGE_PX + 1), np.uint8)
        outside = ~cv2.dilate(expected, margin).astype(bool)
        assert border.any()
        deadline = time.monotonic() + DRAWN_WITHIN_S
        while True:
            changed = np.abs(self.seen().astype(int) - before).max(axis=2) > CHANGE
            near = cv2.dilate(changed.astype(np.uint8), margin).astype(bool)
            if near[border].mean() > 0.95 and changed[outside].mean() < 0.02:
                return
            assert time.monotonic() < deadline, (
                f"{near[border].mean():.1%} of the screen changed along the outline, "
                f"{changed[outside].mean():.1%} outside"
            )
            self.page.wait_for_timeout(100)

    def _on_stage(self, mask):
        """A mask in the screen pixels of `seen`."""
        stage, image = self.stage.bounding_box(), self.image.bounding_box()
        height, width = mask.shape
        scale_x, scale_y = image["width"] / width, image["height"] / height
        to_stage = np.float32(
            [[scale_x, 0, image["x"] - stage["x"]], [0, scale_y, image["y"] - stage["y"]]]
        )
        size = round(stage["width"]), round(stage["height"])
        pixels = cv2.warpAffine(mask.astype(np.uint8), to_stage, size, flags=cv2.INTER_NEAREST)
        return pixels.astype(bool)

    def _exchange(self):
        return self.page.expect_response(lambda got: "/interactive-annotating" in got.url)

    def _finished(self, call):
        response = call.value
        prompts = json.loads(response.request.post_data)["context"]["result"]
        answer = response.json()
        assert "errors" not in answer, answer
        regions = answer["data"]["result"]
        suggestions = len({region["id"] for region in regions})
        expect(self.page.get_by_text(f"{suggestions} suggestions")).to_be_visible()
        return Exchange(prompts, regions)

    def _on_screen(self, xy):
        image = self.image.bounding_box()
        height, width = self.size_hw
        return (
            image["x"] + (xy[0] + 0.5) * image["width"] / width,
            image["y"] + (xy[1] + 0.5) * image["height"] / height,
        )
