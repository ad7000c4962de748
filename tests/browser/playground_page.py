"""The backend's page as tests use it: opened, clicked on, looked at, downloaded from."""

import base64
import io
from contextlib import contextmanager

import numpy as np
from PIL import Image
from playwright.sync_api import expect

LOGIN = ("ann", "sesame")

DROP = """
([name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  return transfer;
}
"""


@contextmanager
def open_page(chromium, url, *, size=(1280, 900), **options):
    """A window whose way to any other address is blocked; nothing may try, nothing may fail."""
    login = {"username": LOGIN[0], "password": LOGIN[1]}
    context = chromium.new_context(
        viewport={"width": size[0], "height": size[1]}, http_credentials=login, **options
    )
    foreign, faults = [], []
    context.route(lambda asked: not asked.startswith(url), lambda route: route.abort())
    page = context.new_page()
    page.on("request", lambda sent: note_foreign(sent.url, url, foreign))
    page.on("console", lambda told: note_fault(told, faults))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(url)
    expect(page.locator("#state")).to_contain_text("up")
    yield page
    context.close()
    assert foreign == []
    assert faults == []


def note_foreign(asked, url, foreign):
    if not asked.startswith((url, "data:", "blob:")):
        foreign.append(asked)


def note_fault(told, faults):
    """A refused request is told by the page itself; what the policy blocks and bugs are not."""
    if told.type == "error" and not told.text.startswith("Failed to load resource"):
        faults.append(told.text)


def drop(page, name, data):
    file = page.evaluate_handle(DROP, [name, base64.b64encode(data).decode()])
    page.dispatch_event("#playground", "drop", {"dataTransfer": file})
    expect(page.locator("#message")).to_contain_text("Ready")


def place(page, xy):
    """Where a pixel of the image is in the window."""
    box = page.locator("#canvas").bounding_box()
    return box["x"] + xy[0] * box["width"] / 640, box["y"] + xy[1] * box["height"] / 480


def click(page, xy, *keys):
    """Click, wait for the mask, and return the labels of the points that were sent."""
    for key in keys:
        page.keyboard.down(key)
    with page.expect_response("**/playground/masks") as answered:
        page.mouse.click(*place(page, xy))
    for key in keys:
        page.keyboard.up(key)
    expect_mask(page)
    return answered.value.request.post_data_json["labels"]


def expect_mask(page):
    expect(page.locator("#message")).to_contain_text("score")


def drag(page, start, end):
    page.mouse.move(*place(page, start))
    page.mouse.down()
    page.mouse.move(*place(page, end), steps=5)
    with page.expect_response("**/playground/masks"):
        page.mouse.up()
    expect_mask(page)


def seen(page):
    """(480, 640, 3) what the canvas shows."""
    url = page.evaluate("document.getElementById('canvas').toDataURL()")
    shown = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")
    return np.asarray(shown.resize((640, 480)), np.int16)


def changed(page, before):
    return np.abs(seen(page) - before).max(axis=2) > 12


def download(page, kind):
    with page.expect_download() as waiting:
        page.click(f"[data-download={kind}]")
    return waiting.value.suggested_filename, waiting.value.path().read_bytes()


def png_mask(page):
    _, data = download(page, "png")
    picture = Image.open(io.BytesIO(data))
    assert picture.mode == "L"
    values = np.asarray(picture)
    assert set(np.unique(values)) <= {0, 255}
    return values > 0


def iou(one, other):
    return (one & other).sum() / (one | other).sum()
