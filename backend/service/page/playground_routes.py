"""What the page's playground asks. JSON where nothing else is said; pixels as displayed.

    GET  /playground/samples/<name>   a PNG to try it on
    POST /playground/images           an image file, Content-Type image/... or
                                      application/octet-stream
                                      -> {"image": id, "height", "width"}
    POST /playground/masks            {"image": id, "points": [[x, y], ...], "labels": [1, 0, ...],
                                      "box": [left, top, right, bottom] or null}
                                      -> {"runs": see run_lengths.py, "score"};
                                      404 unknown_image: send the image again
    POST /playground/downloads/<kind> {"name", "height", "width", "objects": [{"runs", "score"}]}
                                      -> the file: png, label-studio or coco

An image is sent once; its id is the SHA-256 of the file. Its embedding is kept as those of tasks'
images are, and dropped as they are. Errors have the shape of all others; POSTs from other sites'
pages are refused.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from flask import Blueprint, Response, abort, jsonify

from backend.codecs.run_lengths import encode_runs
from backend.core.errors import BusyError
from backend.images.samples import NAMES, sample_picture
from backend.monitoring.request_record import step
from backend.segmentation.click_service import ClickService
from backend.service.page.bodies import read_drawn_image, read_image_file, read_prompt
from backend.service.page.browser_safety import protect
from backend.service.page.downloads import JSON_FILES, png_file
from backend.settings.settings import Settings

MAX_LARGE_BODIES = 4  # in memory at once, MOBILESAM_MAX_IMAGE_MB each


def playground_blueprint(click_service: ClickService, settings: Settings) -> Blueprint:
    """Make the playground's routes.

    Args:
        click_service: whose playground answers.
        settings: the bounds of what is sent.
    """
    playground = Blueprint("playground", __name__, url_prefix="/playground")
    protect(playground)
    large_bodies = threading.BoundedSemaphore(MAX_LARGE_BODIES)

    @playground.get("/samples/<name>")
    def sample(name: str) -> Response:
        if name not in NAMES:
            abort(404)
        response = Response(_sample(name), mimetype="image/png")
        response.headers["Cache-Control"] = "private, max-age=3600"
        return response

    @playground.post("/images")
    def images() -> Response:
        with _room(large_bodies):
            image = click_service.playground.embed(read_image_file(settings.max_image_mb))
        height, width = image.size_hw
        return jsonify(image=image.id, height=height, width=width)

    @playground.post("/masks")
    def masks() -> Response:
        mask, score = click_service.playground.segment(*read_prompt())
        with step("codec"):
            return jsonify(runs=encode_runs(mask), score=score)

    @playground.post("/downloads/<kind>")
    def downloads(kind: str) -> Response:
        if kind != "png" and kind not in JSON_FILES:
            abort(404)
        with _room(large_bodies):
            image = read_drawn_image(settings.max_pixels)
            if kind == "png":
                return Response(png_file(image), mimetype="image/png")
            return jsonify(JSON_FILES[kind](image))

    return playground


@contextmanager
def _room(large_bodies: threading.BoundedSemaphore) -> Iterator[None]:
    if not large_bodies.acquire(blocking=False):
        raise BusyError(
            f"{MAX_LARGE_BODIES} images or downloads are being sent already",
            remedy="try again in a moment",
        )
    try:
        yield
    finally:
        large_bodies.release()


@lru_cache(maxsize=len(NAMES))
def _sample(name: str) -> bytes:
    return sample_picture(name)  # painting a scene takes longer than a click
