"""The service under label-studio-ml, for those who host their models with `label-studio-ml start`.

    label-studio-ml init my_backend --script backend/label_studio_ml_model.py:MobileSAM
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

from backend.errors import BackendError
from backend.segmenter import Segmenter
from backend.settings import Settings
from backend.transport import on_one_line

Result = TypeVar("Result")

log = logging.getLogger(__name__)

# Loaded with the module, since Label Studio gives /setup no more than 3 seconds, and for all
# projects, since label-studio-ml makes a new model at each /setup.
_SEGMENTER = Segmenter.from_settings(Settings.from_environment())


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
            _explained(
                lambda: _SEGMENTER.set_up(
                    project=_project(),
                    label_config=label_config,
                    hostname=self.hostname or None,
                    access_token=self.access_token or None,
                )
            )

    def predict(self, tasks: list[dict[str, Any]], **params: Any) -> list[dict[str, Any]]:
        """Answer a /predict request, as `Segmenter.predict` does.

        Args:
            tasks: with `id` and `data` each.
            params: the request's; `context` holds the regions that prompt.

        Raises:
            AnswerException: what kept a prompt from being answered, with its status.
        """
        context = params.get("context")
        return _explained(
            lambda: _SEGMENTER.predict(
                tasks=tasks,
                project=_project(),
                label_config=_body().get("label_config") or self.label_config or "",
                context=None if context is None else context["result"],
            )
        )


def _body() -> dict[str, Any]:
    return (request.get_json(silent=True) or {}) if has_request_context() else {}


def _project() -> str:
    return str(_body().get("project") or "")


def _explained(call: Callable[[], Result]) -> Result:
    """Call, and turn our errors into those that label-studio-ml answers with their status.

    Without a `traceback` of ours it would send its own to the client.
    """
    try:
        return call()
    except BackendError as error:
        log.warning("%s", on_one_line(str(error)))
        result = {"code": error.code, "remedy": error.remedy, "traceback": None}
        raise AnswerException(error.status, error.message, result) from None
    except Exception as error:
        log.exception("an unexpected error")
        message = f"an unexpected {type(error).__name__}; look into the log of this service"
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        raise AnswerException(status, message, {"traceback": None}) from None
