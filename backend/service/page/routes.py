"""The page at `/` for browsers, and what it shows of the service.

    GET /              the page, where text/html is preferred; else JSON as /health
    GET /page/<file>   its style sheet and scripts
    GET /page/status   /health's JSON with `uptime_s`, `max_image_mb` and `max_pixels`

Everything is behind the same Basic auth as clicks are.
"""

import time

from flask import Blueprint, Response, jsonify, request

from backend.segmentation.click_service import ClickService
from backend.service.page.browser_safety import protect
from backend.settings.settings import Settings


def page_blueprint(click_service: ClickService, settings: Settings) -> Blueprint:
    """Make the page's routes.

    Args:
        click_service: whose state is shown.
        settings: the bounds that the page tells before an image is sent.
    """
    page = Blueprint("page", __name__, static_folder="static", static_url_path="/page")
    protect(page)
    started_s = time.monotonic()

    @page.get("/")
    def root() -> Response:
        accepts = request.accept_mimetypes
        # Label Studio and curl take anything, and get JSON.
        if accepts["text/html"] > accepts["application/json"]:
            response = page.send_static_file("page.html")
        else:
            response = jsonify(status="UP", **click_service.describe())
        response.headers["Vary"] = "Accept"
        return response

    @page.get("/page/status")
    def status() -> Response:
        return jsonify(
            status="UP",
            **click_service.describe(),
            uptime_s=round(time.monotonic() - started_s),
            max_image_mb=settings.max_image_mb,
            max_pixels=settings.max_pixels,
        )

    return page
