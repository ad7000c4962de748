"""The HTTP side: Label Studio's ML backend protocol, routes of a few lines.

Source: what Label Studio 1.23 sends and expects, recorded in tests/golden/label_studio.
"""

import base64
import hmac
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from backend.core.errors import RequestError, RequestTooLargeError, UnauthorizedError
from backend.core.units import MEGABYTE
from backend.label_studio.setup_sender import setup_sender
from backend.monitoring.activity import Activity
from backend.monitoring.metrics import CONTENT_TYPE
from backend.segmentation.click_service import ClickService
from backend.service.cross_site import cross_site_check
from backend.service.json_answers import FastJson, answer_errors, record_requests
from backend.service.page.playground_routes import playground_blueprint
from backend.service.page.routes import page_blueprint
from backend.service.request_body import BodyRequest, without_run_lengths
from backend.service.request_json import read_fields
from backend.settings.settings import Settings

# Of what is remembered of a project, or stands in keys.
MAX_CHARACTERS = {"project": 100, "hostname": 2000, "access_token": 10_000}


def create_app(
    settings: Settings | None = None, *, click_service: ClickService | None = None
) -> Flask:
    """Build the service.

    Args:
        settings: read from the environment if not given.
        click_service: what answers the clicks; if not given, it is loaded from the settings, which
            takes seconds.

    Raises:
        SettingsError: a setting is wrong.
        MobileSamError: the weights or the device cannot be used.
    """
    settings = settings or Settings.from_environment()
    click_service = click_service or ClickService.from_settings(settings)
    app = Flask("backend", static_folder=None)
    app.json = FastJson(app)
    app.request_class = BodyRequest
    app.config["MAX_CONTENT_LENGTH"] = settings.max_request_mb * MEGABYTE + 1
    record_requests(app, click_service.activity)
    _add_protocol(app, click_service, asks_password=settings.basic_auth_user is not None)
    app.register_blueprint(page_blueprint(click_service, settings))
    app.register_blueprint(playground_blueprint(click_service, settings))
    _add_monitoring(app, click_service.activity)
    asks_password = settings.basic_auth_user is not None
    app.before_request(cross_site_check(settings.trusted_hosts, asks_password=asks_password))
    if settings.basic_auth_user is not None and settings.basic_auth_pass is not None:
        app.before_request(_authentication(settings.basic_auth_user, settings.basic_auth_pass))
    answer_errors(app)
    return app


def _add_protocol(app: Flask, click_service: ClickService, *, asks_password: bool) -> None:
    @app.get("/health")
    def health() -> Response:
        return jsonify(status="UP", **click_service.describe())

    @app.post("/setup")
    def setup() -> Response:
        body = _json_object()
        hostname = _optional_text(body, "hostname")
        click_service.set_up(
            project=_text(body, "project"),
            label_config=_text(body, "schema"),
            hostname=hostname,
            access_token=_optional_text(body, "access_token"),
            sender=None if asks_password else setup_sender(request.environ, hostname),
        )
        return jsonify(model_version=click_service.model_version)

    @app.post("/predict")
    def predict() -> Response:
        body = _json_object()
        tasks = body.get("tasks")
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise _wrong_field("tasks", "not a list of tasks")
        results = click_service.predict(
            tasks=tasks,
            project=_optional_text(body, "project") or "",
            label_config=_text(body, "label_config"),
            context=_context(body),
        )
        return jsonify(results=results)

    @app.post("/webhook")
    def webhook() -> Response:
        # Label Studio sends every event of the project and waits a second for an answer. The model
        # does not learn from annotations, so there is nothing to do with them.
        _json_object()
        return jsonify(status="ok", job=None)

    @app.post("/train")
    def train() -> Response:
        return jsonify(
            status="ok", job=None, message="MobileSAM is used as it is, not trained here"
        )

    @app.route("/versions", methods=["GET", "POST"])
    def versions() -> Response:
        return jsonify(versions=[click_service.model_version])


def _add_monitoring(app: Flask, activity: Activity) -> None:
    @app.get("/metrics")
    def metrics() -> Response:
        return Response(activity.metrics.exposition(), content_type=CONTENT_TYPE)

    @app.get("/activity")
    def recent() -> Response:
        return jsonify(activity.recent())


# Reading requests


def _json_object() -> dict[str, Any]:
    content = b""
    try:
        content = request.get_data(cache=False)
        length = len(content)
    except RequestEntityTooLarge:
        length = request.max_content_length or 0
    # A body that did not say how long it is ends at the bound, as if it were complete.
    if length == request.max_content_length:
        raise RequestTooLargeError(
            f"the request has more than {length // MEGABYTE} MB",
            remedy="send less at once, or raise MOBILESAM_MAX_REQUEST_MB",
            reason=f"Request too large: more than {length // MEGABYTE} MB",
        )
    try:
        return read_fields(without_run_lengths(content))  # whatever the Content-Type says
    except ValueError:
        raise RequestError(
            "the request's body is not a JSON object",
            remedy="send what Label Studio sends to an ML backend",
            reason="Body is not a JSON object",
        ) from None


def _optional_text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong_field(name, f"of type {type(value).__name__}, not text")
    longest = MAX_CHARACTERS.get(name)
    if value is not None and longest is not None and len(value) > longest:
        raise _wrong_field(name, f"of {len(value)} characters, more than {longest}")
    return value


def _text(body: dict[str, Any], name: str) -> str:
    value = _optional_text(body, name)
    if value is None:
        raise _wrong_field(name, "missing")
    return value


def _wrong_field(name: str, fault: str) -> RequestError:
    return RequestError(
        f"the body's {name!r} is {fault}",
        remedy="send what Label Studio sends to an ML backend",
        reason=f"Body's {name!r} is {fault}",
    )


def _context(body: dict[str, Any]) -> list[Any] | None:
    """Return the prompts of an interactive call, or None: a batch, or a task was opened."""
    params = body.get("params")
    context = params.get("context") if isinstance(params, dict) else params  # no dict: refused
    if context is None:
        return None
    regions = context.get("result") if isinstance(context, dict) else None
    if not isinstance(regions, list):
        raise _wrong_field("params.context", "not {'result': [regions]}")
    return regions


def _authentication(user: str, password: str) -> Callable[[], None]:
    pair = f"{user}:{password}"
    # Label Studio sends the characters of Western Europe in Latin-1, most other clients in UTF-8.
    expected = [pair.encode()]
    with suppress(UnicodeEncodeError):
        expected.append(pair.encode("latin-1"))

    def check() -> None:
        if request.path == "/health":
            return
        scheme, _, code = request.headers.get("Authorization", "").partition(" ")
        try:
            sent = base64.b64decode(code.strip(), validate=True)
        except ValueError:
            sent = b""
        matches = [hmac.compare_digest(sent, known) for known in expected]
        if scheme.lower() != "basic" or not any(matches):
            raise UnauthorizedError(
                "user name and password of BASIC_AUTH_USER and BASIC_AUTH_PASS were not sent",
                remedy="choose Basic Authentication for the backend in Label Studio's settings",
            )

    return check
