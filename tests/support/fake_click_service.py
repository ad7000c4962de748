"""A click service that only notes what it was asked, and a body for it."""

from backend.monitoring.activity import Activity

ERROR_FIELDS = {"code", "reason", "message", "remedy", "request_id"}


class FakeClickService:
    """Answers with what a test gives it, and keeps what it was asked."""

    model_version = "fake-1"

    def __init__(self):
        self.activity = Activity(self.describe)
        self.asked = []
        self.answer = [{"model_version": "fake-1", "score": 0.5, "result": []}]
        self.error = None

    def describe(self):
        return {"model_class": "MobileSAM", "model_version": self.model_version}

    def set_up(self, **arguments):
        self._take(arguments)

    def predict(self, **arguments):
        self._take(arguments)
        return self.answer

    def _take(self, arguments):
        self.asked.append(arguments)
        if self.error:
            raise self.error


def predict_body(**changes):
    body = {
        "tasks": [{"id": 4, "data": {"image": "/data/upload/1/a.jpg"}}],
        "project": "1.1795350403",
        "label_config": "<View/>",
        "params": {"context": {"result": []}},
    }
    return body | changes
