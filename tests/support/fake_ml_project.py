"""A project in the fake Label Studio with its ML backends, which it asks as the real one does."""

import json
import os
import re
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
from fake_label_studio import error
from fake_model import FakePredictor
from fake_project import FakeProject
from werkzeug.serving import make_server

from backend.segmentation.click_service import ClickService
from backend.service.app import create_app
from backend.settings.settings import Settings

NOWHERE = "http://127.0.0.1:9"  # refuses every connection
RESERVED = "URL resolves to a reserved network address (block: 127.0.0.0/8)"
INCOMPATIBLE = (
    "Created annotations are incompatible with provided labeling schema, we found:\n"
    "3 with from_name=mask, to_name=image, type=brushlabels"
)


def json_answer(body, status=200):
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


def invalid(field, text):
    status, headers, body = error(400, "Validation error")
    whole = json.loads(body) | {"validation_errors": {field: [text]}}
    return status, headers, json.dumps(whole).encode()


class FakeMlProject(FakeProject):
    """Project 7, whose backends are asked over HTTP for their health, setup and predictions.

    `unreachable` are the addresses that Label Studio does not reach, whatever answers there.
    """

    def __init__(self, labeling_config=None, tasks=2):
        super().__init__(tasks=tasks)
        self.labeling_config = labeling_config or self.labeling_config
        self.title = "seven"
        self.records = {}
        self.webhooks = {}
        self.unreachable = set()
        self.refuses_private = False
        self.forbids_changes = False
        self.has_incompatible_annotations = False
        self.changes = []  # methods and paths of what would change something
        self._routes = [
            ("GET", "current-user/whoami", lambda: json_answer({"email": "me@example.org"})),
            ("GET", "projects", lambda: json_answer({"results": [self._project()]})),
            ("GET", r"projects/(\d+)", self._answer_project),
            ("PATCH", r"projects/7", self._save),
            ("GET", "webhooks", self._list_webhooks),
            ("DELETE", r"webhooks/(\d+)", self._delete_from(self.webhooks)),
            ("GET", "ml", self._list),
            ("POST", "ml", self._create),
            ("PATCH", r"ml/(\d+)", self._update),
            ("DELETE", r"ml/(\d+)", self._delete_from(self.records)),
            ("POST", r"ml/(\d+)/interactive-annotating", self._click),
        ]

    def add_record(self, url, *, title="other", is_interactive=True, **fields):
        number = len(self.records) + 1
        self.records[number] = {
            "id": number,
            "url": url,
            "title": title,
            "is_interactive": is_interactive,
            "project": 7,
            "auth_method": "NONE",
            **fields,
        }
        self.webhooks[number] = f"{url}/webhook"
        return number

    def answer(self, request):
        if request.path == "/api/version/":
            return json_answer({"release": "1.23.2"})
        if request.path == "/api/token/refresh/" or self._refusal(request):
            return super().answer(request)
        path = urlsplit(request.path).path
        if request.method != "GET" and "/interactive-annotating" not in path:
            self.changes.append((request.method, path))
            if self.forbids_changes:
                return error(403, "You do not have permission to perform this action.")
        body = json.loads(request.body) if request.body else {}
        for method, pattern, act in self._routes:
            found = re.fullmatch(f"/api/{pattern}/?", path)
            if found and method == request.method:
                return act(*map(int, found.groups()), *([body] if body else []))
        return super().answer(request)

    def _project(self):
        return {
            "id": 7,
            "title": self.title,
            "task_number": len(self.tasks),
            "label_config": self.labeling_config,
            "created_at": "2026-11-22T12:26:43.480074Z",
        }

    def _save(self, body):
        if self.has_incompatible_annotations:
            return invalid("label_config", INCOMPATIBLE)
        self.labeling_config = body["label_config"]
        return json_answer(self._project())

    def _answer_project(self, number):
        if number != 7:
            return error(404, "No Project matches the given query.")
        return json_answer(self._project())

    def _list(self):
        return json_answer([self._state(record) for record in self.records.values()])

    def _create(self, body):
        fault = self._fault(body)
        return fault or json_answer(self._state(self.records[self.add_record(**body)]), 201)

    def _update(self, number, body):
        if fault := self._fault(body):
            return fault
        self.records[number] |= body
        return json_answer(self._state(self.records[number]))

    def _delete_from(self, kept):
        def delete(number):
            del kept[number]
            return 204, {}, b""

        return delete

    def _list_webhooks(self):
        return json_answer([{"id": key, "url": url} for key, url in self.webhooks.items()])

    def _fault(self, record):
        """What Label Studio says against an address when it is saved."""
        url = record["url"]
        if self.refuses_private:
            return error(403, RESERVED)
        failure = self._health(record)
        if failure:
            text = f"Can't connect to ML backend {url}, health check failed. Make sure it is up"
            link = '<a href="https://labelstud.io/guide/ml.html">Learn more</a>'
            return invalid("non_field_errors", f"{text}. {link} Additional info: {failure}")
        failure = self._setup(record)
        if failure:
            text = f"Successfully connected to {url} but it doesn't look like a valid ML backend."
            return invalid("non_field_errors", f"{text} Reason: {failure}.\nCheck the ML backend")
        return None

    def _state(self, record):
        if self._health(record):
            state, failure = "Disconnected", None
        else:
            failure = self._setup(record)
            state = "Error" if failure else "Connected"
        shown = {name: value for name, value in record.items() if name != "basic_auth_pass"}
        return {
            **shown,
            "readable_state": state,
            "error_message": failure,
            "model_version": record.get("model_version", ""),
        }

    def _health(self, record):
        if record["url"] in self.unreachable:
            return "Connection refused"
        return self._ask(record, "GET", "/health")[1]

    def _setup(self, record):
        body = {"project": "7.1795350403", "schema": self.labeling_config, "extra_params": None}
        answer, failure = self._ask(record, "POST", "/setup", body)
        record["model_version"] = (answer or {}).get("model_version", "")
        return failure

    def _click(self, number, body):
        record = self.records[number]
        task_id = body["task"]
        predict = {
            "tasks": [{"id": task_id, "data": self.tasks[task_id]}],
            "project": "7.1795350403",
            "label_config": self.labeling_config,
            "params": {"context": body["context"]},
        }
        answer, failure = self._ask(record, "POST", "/predict", predict)
        if failure:
            return json_answer({"errors": [failure]})
        return json_answer({"data": answer["results"][0]})

    def _ask(self, record, method, path, body=None):
        auth = None
        if record.get("auth_method") == "BASIC_AUTH":
            auth = record["basic_auth_user"], record["basic_auth_pass"]
        try:
            answer = requests.request(
                method, record["url"] + path, json=body, auth=auth, timeout=10
            )
            answer.raise_for_status()
        except requests.RequestException as failure:
            return None, str(failure)
        return answer.json(), None


class RunningBackend:
    """The real service with a fake model, on a port of its own; `predictor` counts."""

    def __init__(self, **settings):
        self.settings = Settings(**settings)
        self.predictor = FakePredictor()
        self.click_service = ClickService(self.predictor, self.settings)
        app = create_app(self.settings, click_service=self.click_service)
        self.server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://localhost:{self.server.server_port}"

    @contextmanager
    def running(self):
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            thread.join()
            self.click_service.close()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def running_backend(label_studio, **settings):
    """A service with Label Studio's address and a personal access token."""
    backend = RunningBackend(
        label_studio_url=label_studio.url,
        label_studio_api_key=label_studio.tokens.personal,
        prefetch_tasks=0,
        **settings,
    )
    with backend.running():
        yield backend


def set_command_environment(monkeypatch, label_studio):
    """Leave a command no other setting than Label Studio's address and token."""
    for name in list(os.environ):
        if name.startswith(("LABEL_STUDIO", "MOBILESAM", "BASIC_AUTH", "PORT")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.tokens.personal)
