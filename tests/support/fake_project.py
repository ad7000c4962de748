"""A project in the fake Label Studio, as far as its API tells of tasks."""

import itertools
import json
import re
import threading
from urllib.parse import parse_qs, urlsplit

from fake_label_studio import FakeLabelStudio, error
from fake_model import png
from label_studio_sdk.label_interface.interface import LabelInterface

from backend.label_studio import projects
from backend.settings.settings import Settings


class FakeProject(FakeLabelStudio):
    """Project 7 with a picture of its own for each task; `finished` tasks are not served again."""

    def __init__(self, tasks=10, sampling="Sequential sampling"):
        super().__init__()
        self.sampling = sampling
        self.labeling_config = projects.LABELING_CONFIG
        self.tasks = {
            task_id: {"image": f"/data/upload/7/{task_id}.png"}
            for task_id in range(101, 101 + tasks)
        }
        for task_id, data in self.tasks.items():
            self.pages[data["image"]] = png(40, 60, color=(task_id % 256, 0, 0))
        self.finished = set()
        self.settings = {"model_version": "", "show_collab_predictions": True}
        self.annotations = {}  # task id -> list of them, as are these:
        self.predictions = {}
        self.imports = []  # the bodies of all calls that brought predictions
        self._numbers = itertools.count(1)
        self.api_fault = None  # an answer in place of the API's
        self.asked = threading.Semaphore(0)  # for tasks
        self.answer_now = threading.Event()
        self.answer_now.set()

    def service_settings(self, **more):
        """Settings of a service, or a command, that has this Label Studio's address and token."""
        return Settings(label_studio_url=self.url, label_studio_api_key=self.tokens.legacy, **more)

    def answer(self, request):
        parts = urlsplit(request.path)
        if self.api_fault and parts.path.startswith("/api/"):
            self.asked.release()
            return self.api_fault
        if parts.path == "/api/projects/7/" and not self._refusal(request):
            if request.method == "PATCH":
                self.settings |= json.loads(request.body)
            project = {
                **self.settings,
                "id": 7,
                "title": "seven",
                "sampling": self.sampling,
                "task_number": len(self.tasks),
                "label_config": self.labeling_config,
                "created_at": "2026-11-22T12:26:43.480074Z",
            }
            return self._json(200, project)
        if parts.path == "/api/projects/7/import/predictions" and not self._refusal(request):
            return self._import_predictions(json.loads(request.body))
        if parts.path.startswith("/api/predictions/") and not self._refusal(request):
            return self._change_prediction(request)
        if parts.path == "/api/tasks/" and not self._refusal(request):
            self.asked.release()
            assert self.answer_now.wait(10)
            return self._answer_tasks(parse_qs(parts.query))
        return super().answer(request)

    def fetched(self):
        """The ids of the tasks whose pictures were fetched, in that order."""
        paths = [path for path in self.paths if path.startswith("/data/upload/7/")]
        return [int(path.rpartition("/")[2].removesuffix(".png")) for path in paths]

    def count(self, path):
        return sum(urlsplit(each).path == path for each in self.paths)

    def _answer_tasks(self, query):
        assert query["project"] == ["7"]
        page, size = int(query.get("page", ["1"])[0]), int(query["page_size"][0])
        tasks = list(self.tasks.items())
        if "query" in query:
            later, *unfinished = json.loads(query["query"][0])["filters"]["items"]
            assert (later["filter"], later["operator"]) == ("filter:tasks:id", "greater")
            finished = self.finished if unfinished else ()
            assert all(item["filter"] == "filter:tasks:completed_at" for item in unfinished)
            tasks = [t for t in tasks if t[0] > later["value"] and t[0] not in finished]
        chosen = tasks[(page - 1) * size : page * size]
        if not chosen and page > 1:
            return 404, {"Content-Type": "application/json"}, b'{"detail": "Invalid page."}'
        answer = {
            "total": len(tasks),
            "total_annotations": 0,
            "total_predictions": 0,
            "tasks": [self._task(task_id, data, query) for task_id, data in chosen],
        }
        return self._json(200, answer)

    def _task(self, task_id, data, query):
        task = {"id": task_id, "data": data}
        if query.get("fields") == ["all"]:
            task["annotations"] = self.annotations.get(task_id, [])
            task["predictions"] = self.predictions.get(task_id, [])
        return task

    def _import_predictions(self, predictions):
        """As Label Studio 1.23 does: an unknown task stops all, what is not valid is dropped."""
        self.imports.append(predictions)
        if any(one["task"] not in self.tasks for one in predictions):
            return error(400, "Validation error")
        config = LabelInterface(self.labeling_config)
        valid = [one for one in predictions if config.validate_prediction(one)]
        for one in valid:
            stored = {**one, "id": next(self._numbers)}
            self.predictions.setdefault(one["task"], []).append(stored)
        return self._json(201, {"created": len(valid)})

    def _change_prediction(self, request):
        number = int(re.search(r"/api/predictions/(\d+)/$", request.path).group(1))
        for predictions in self.predictions.values():
            for one in predictions:
                if one["id"] == number and request.method == "DELETE":
                    predictions.remove(one)
                    return 204, {}, b""
                if one["id"] == number:
                    one.update(json.loads(request.body))
                    return self._json(200, one)
        return error(404, "Not found")

    @staticmethod
    def _json(status, content):
        return status, {"Content-Type": "application/json"}, json.dumps(content).encode()
