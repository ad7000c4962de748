"""The links of one project: what Label Studio knows of the backend, its config, image and click."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from backend.commands.connect.chain import Chain, Finding
from backend.commands.connect.clicks import (
    PLACES_PCT,
    Target,
    click_through_label_studio,
    find_target,
    regions_area_px,
)
from backend.commands.connect.running_service import ClickAnswer, RunningService
from backend.core.errors import BackendError, LabelingConfigError
from backend.core.text import without_secrets
from backend.core.units import MEGABYTE
from backend.embeddings.task_images import image_address
from backend.images.decode import decode_image
from backend.images.fetch import ImageLoader
from backend.label_studio.client import LabelStudio
from backend.label_studio.connections import Connections
from backend.label_studio.ml_backends import (
    BACKEND_TITLE,
    BackendRecord,
    find_backend,
    list_backends,
    rivals_of,
)
from backend.label_studio.project_tasks import tasks_after
from backend.label_studio.projects import Project, describe_project
from backend.labeling.parse_config import parse_labeling_config
from backend.settings.settings import Settings

if TYPE_CHECKING:
    from backend.labeling.config import LabelingConfig

IMPORT_IMAGES = "import images on the project's page (Import)"


def find_ours(
    known: Sequence[BackendRecord], backend_url: str, model_version: str | None
) -> BackendRecord | None:
    """Find our backend's record as `find_backend` does, or else by the title that we give it."""
    titled = (record for record in known if record.title == BACKEND_TITLE)
    return find_backend(known, [backend_url], model_version) or next(titled, None)


class ProjectLinks:
    """Tests the links of one project.

    Args:
        chain: gets the links.
        server: Label Studio, with a token that works.
        settings: how images are fetched.
        service: the backend as it is reached from here.
        model_version: what it says of itself; None if it does not answer here.
        project_id: of the project.
    """

    def __init__(
        self,
        chain: Chain,
        server: LabelStudio,
        settings: Settings,
        service: RunningService,
        model_version: str | None,
        project_id: int,
    ) -> None:
        self._chain = chain
        self._server = server
        self._settings = settings
        self._service = service
        self._model_version = model_version
        self._id = project_id
        self._project: Project
        self._known: list[BackendRecord]
        self._record: BackendRecord
        self._config: LabelingConfig
        self._target: Target

    def test(self) -> None:
        """Test them all."""
        test = self._chain.test
        test("project", self._described, needs=["token"], project=self._id)
        test("registration", self._registered, needs=["project"], project=self._id)
        test("reachable", self._reachable, needs=["registration"], project=self._id)
        test("interactive", self._interactive, needs=["registration"], project=self._id)
        test("labeling_config", self._usable_config, needs=["project"], project=self._id)
        test("image", self._image, needs=["labeling_config"], project=self._id)
        test("click", self._click, needs=["service", "image"], project=self._id)
        test(
            "click_through_label_studio",
            self._click_through_label_studio,
            needs=["reachable", "interactive", "image"],
            project=self._id,
        )

    def _described(self) -> Finding:
        self._project = describe_project(self._server, self._id)
        count = self._project.task_count
        return Finding(f"{self._project.title!r} with {count} task{'' if count == 1 else 's'}")

    def _registered(self) -> Finding:
        self._known = list_backends(self._server, self._id)
        record = find_ours(self._known, self._service.url, self._model_version)
        if record is None:
            others = ", ".join(map(str, self._known)) or "no backend at all"
            raise BackendError(
                f"project {self._id} has {others}, and not this one",
                remedy=f"python -m backend connect --project {self._id}",
            )
        self._record = record
        return Finding(f"{record}")

    def _reachable(self) -> Finding:
        record = self._record
        if record.is_connected:
            return Finding(f"Label Studio says {record.state}")
        if record.error:
            raise BackendError(
                f"Label Studio says {record.state} for {record.url}: {record.error}",
                remedy="mend what that line names; after a 401, give Label Studio the backend's "
                "user name and password, for instance with connect",
            )
        here = " although it answers from here" if self._model_version else ""
        raise BackendError(
            f"Label Studio says {record.state}: it does not reach {record.url}{here}",
            remedy="start the backend if it does not run; else connect it with the address at "
            "which Label Studio reaches it: python -m backend connect "
            f"--project {self._id} --backend-url ...",
        )

    def _interactive(self) -> Finding:
        if not self._record.is_interactive:
            raise BackendError(
                f"interactive preannotations are off for the backend {self._record}",
                remedy="switch them on in Settings > Model, or "
                f"python -m backend connect --project {self._id}",
            )
        rivals = rivals_of(self._record, self._known)
        if rivals:
            raise BackendError(
                f"Label Studio sends the clicks to the backend {rivals[0]}, the first interactive "
                "one of the project",
                remedy=f"python -m backend connect --project {self._id} switches it off",
            )
        return Finding("on, and first")

    def _usable_config(self) -> Finding:
        try:
            self._config = parse_labeling_config(self._project.label_config)
            self._config.require_usable()
            smart = [control for control in self._config.prompt_controls if control.is_smart]
            for control in smart:
                for labels in control.clicks_labels:
                    self._config.mask_control(control.to_name, labels)
        except LabelingConfigError as error:
            raise LabelingConfigError(
                error.message,
                remedy=f"python -m backend connect --project {self._id} adds what is missing",
            ) from error
        prompts = ", ".join(dict.fromkeys(control.name for control in smart))
        masks = ", ".join(dict.fromkeys(control.name for control in self._config.mask_controls))
        return Finding(f"prompts: {prompts}; masks: {masks}")

    def _image(self) -> Finding:
        tasks = tasks_after(self._server, self._id, 0, count=1)
        if not tasks:
            raise BackendError(f"project {self._id} has no task", remedy=IMPORT_IMAGES)
        self._target = find_target(self._config, tasks[0])
        task_id, connections = tasks[0]["id"], Connections(self._settings)
        try:
            address = image_address(tasks[0], self._target.tag, 0)
            started = time.perf_counter()
            loader = ImageLoader(self._settings, connections)
            data = loader.fetch(address, task_id=task_id, project=self._project.key)
            fetched = time.perf_counter()
            image = decode_image(
                data, name=f"image of task {task_id}", max_pixels=self._settings.max_pixels
            )
            decoded = time.perf_counter()
        finally:
            connections.close()
        height, width = image.shape[:2]
        steps_ms = {"fetch": 1000 * (fetched - started), "decode": 1000 * (decoded - fetched)}
        return Finding(
            f"task {task_id}: {width} x {height} pixels, {len(data) / MEGABYTE:.2f} MB",
            ms=sum(steps_ms.values()),
            steps_ms=steps_ms,
        )

    def _click(self) -> Finding:
        for place in PLACES_PCT:
            answer = self._service.click(
                self._task(),
                self._project.key,
                self._project.label_config,
                self._target.prompts(place),
            )
            area_px = regions_area_px(answer.regions)
            if area_px:
                break
        return Finding(_mask_detail(area_px) + _request(answer), answer.ms, answer.steps_ms or None)

    def _click_through_label_studio(self) -> Finding:
        started = time.perf_counter()
        mask = click_through_label_studio(self._server, self._record.id, self._target)
        ms = 1000 * (time.perf_counter() - started)
        where = without_secrets(self._server.url)
        return Finding(f"{_mask_detail(mask.area_px)} through {where}", ms / mask.places)

    def _task(self) -> dict[str, Any]:
        task = self._target.task
        return {"id": task["id"], "data": task["data"]}


def _mask_detail(area_px: int) -> str:
    if area_px:
        return f"a mask of {area_px:,} pixels"
    return f"answered, and no object at the {len(PLACES_PCT)} places that were clicked"


def _request(answer: ClickAnswer) -> str:
    return f", request {answer.request_id}" if answer.request_id else ""
