"""The service under label-studio-ml, for those who host their models with `label-studio-ml start`.

    label-studio-ml init my_backend --script backend/service/label_studio_ml_model.py:MobileSAM
    label-studio-ml start my_backend

It needs an environment of its own, since label-studio-ml 1.0.9 wants a Flask of 2020; see
docs/label-studio-ml.md. Its server lacks much of ours: Basic auth, the reason in the status line.
Source: `label_studio_ml/model.py` and `api.py` of that version.
"""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from flask import has_request_context, request
from label_studio_ml.exceptions import AnswerException
from label_studio_ml.model import LabelStudioMLBase

from backend.core.errors import BackendError
from backend.label_studio.setup_sender import setup_sender
from backend.monitoring.request_record import Fault, RequestRecord, set_current_record
from backend.segmentation.click_service import ClickService
from backend.settings.settings import Settings

Result = TypeVar("Result")

log = logging.getLogger(__name__)

# Loaded with the module, since Label Studio gives /setup no more than 3 seconds, and for all
# projects, since label-studio-ml makes a new model at each /setup.
_CLICK_SERVICE = ClickService.from_settings(Settings.from_environment())


class MobileSAM(LabelStudioMLBase):  # type: ignore[misc]  # label-studio-ml ships no types
    """Answers what label-studio-ml hands on from /setup and /predict.

    label-studio-ml keeps one model, that of the last /setup, whichever project asks. Project and
    labeling config are therefore taken from each request.
    """

    def __init__(
        self,
        label_config: str | None = None,
        train_output: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(label_config, train_output, **options)
        if label_config:
            _recorded(
                "/setup",
                lambda: _CLICK_SERVICE.set_up(
                    project=_project(),
                    label_config=label_config,
                    hostname=self.hostname or None,
                    access_token=self.access_token or None,
                    sender=setup_sender(request.environ, self.hostname)
                    if has_request_context()
                    else None,
                ),
            )

    def predict(self, tasks: list[dict[str, Any]], **params: Any) -> list[dict[str, Any]]:
        """Answer a /predict request, as `ClickService.predict` does.

        Args:
            tasks: with `id` and `data` each.
            params: the request's; `context` holds the regions that prompt.

        Raises:
            AnswerException: what kept a prompt from being answered, with its status.
        """
        context = params.get("context")
        return _recorded(
            "/predict",
            lambda: _CLICK_SERVICE.predict(
                tasks=tasks,
                project=_project(),
                label_config=_body().get("label_config") or self.label_config or "",
                context=None if context is None else context["result"],
            ),
        )


def _body() -> dict[str, Any]:
    return (request.get_json(silent=True) or {}) if has_request_context() else {}


def _project() -> str:
    return str(_body().get("project") or "")


def _recorded(path: str, call: Callable[[], Result]) -> Result:
    """Call, log it, and turn errors into those that label-studio-ml answers with their status.

    Without a `traceback` of ours it would send its own to the client.
    """
    record = RequestRecord(method="POST", path=path, route=path)
    set_current_record(record)
    status = int(HTTPStatus.OK)
    try:
        return call()
    except Exception as error:
        status = BackendError.status
        if isinstance(error, BackendError):
            status = error.status
        else:
            log.exception("request=%s failed", record.request_id)
        record.fault = fault = Fault.of(error)
        result = {
            "code": fault.code,
            "remedy": fault.remedy,
            "request_id": record.request_id,
            "traceback": None,
        }
        raise AnswerException(status, fault.message, result) from None
    finally:
        _CLICK_SERVICE.activity.answered(record, status)
        set_current_record(None)
