"""The next tasks of a project, embedded before anybody opens them."""

import functools
import logging
import threading
from typing import Any, NamedTuple

from backend.core.text import on_one_line
from backend.core.ttl_map import TtlMap
from backend.core.workers import Urgency, Workers
from backend.embeddings.task_images import TaskImages
from backend.label_studio.client import LabelStudio
from backend.label_studio.connections import Connections
from backend.label_studio.project_tasks import serves_in_order, tasks_after
from backend.labeling.config import LabelingConfig

TASKS_REMEMBERED = 10_000
ASKED_AGAIN_AFTER_S = 120.0  # for the tasks after one; what is embedded already costs no encode
DROPPED_ASKED_AGAIN_AFTER_S = 5.0  # where others left no room to embed them
PROJECTS_REMEMBERED = 1000
SAMPLING_TRUSTED_S = 600.0
MAX_WAITING = 32  # questions to Label Studio
QUESTION_TIMEOUT_S = 10.0
ANSWER_BYTES = 8 * 2**20  # a guess is not worth more

log = logging.getLogger(__name__)


class _Question(NamedTuple):
    """What comes after a task, and in which config its images are."""

    project: str
    task_id: int
    config: LabelingConfig


class Prefetcher:
    """Asks Label Studio what a project serves next, and has it embedded when nothing else waits.

    One question at a time, and one per task within two minutes, or within five seconds where real
    work had its tasks dropped: clicks on a task that was seen pay for one look into a map. Where a
    project serves its tasks in another order than that of their ids, or anything fails, nothing is
    done: this is a guess. Safe under threads.

    Args:
        connections: tell which Label Studio a project belongs to.
        images: embeds.
        count: how many tasks; 0 for none.
    """

    def __init__(self, connections: Connections, images: TaskImages, count: int) -> None:
        self._connections = connections
        self._images = images
        self._count = count
        self._lock = threading.Lock()
        # Projects of which a question is on its way, with the one to ask after it.
        self._asking: dict[str, _Question | None] = {}
        self._seen: TtlMap[tuple[str, int], bool] = TtlMap(TASKS_REMEMBERED)
        self._is_sequential: TtlMap[str, bool] = TtlMap(PROJECTS_REMEMBERED)
        self._workers = Workers("prefetch", threads=1)

    def prepare_after(self, task_id: int, config: LabelingConfig, project: str) -> None:
        """Start embedding the tasks that come after one, and return at once.

        Args:
            task_id: of the task that is open.
            config: of the project; its images are embedded.
            project: "<id>.<unix time of creation>", as in the request.
        """
        if not self._count or self._seen.get((project, task_id)):
            return
        question = _Question(project, task_id, config)
        with self._lock:
            if project in self._asking:
                # Who opened a task last is the furthest; the others' next click asks for theirs.
                self._asking[project] = question
                return
            if self._workers.waiting() >= MAX_WAITING:
                return
            self._ask(question)

    def close(self) -> None:
        """Ask nothing any more."""
        self._workers.close()

    def _ask(self, question: "_Question") -> None:
        self._asking[question.project] = None
        self._remember(question, ASKED_AGAIN_AFTER_S)
        self._workers.submit(Urgency.PREFETCH, functools.partial(self._prepare_after, question))

    def _remember(self, question: "_Question", lifetime_s: float) -> None:
        self._seen.put((question.project, question.task_id), True, lifetime_s=lifetime_s)

    def _prepare_after(self, question: "_Question") -> None:
        project, task_id, config = question
        dropped = functools.partial(self._remember, question, DROPPED_ASKED_AGAIN_AFTER_S)
        try:
            for task in self._tasks_after(task_id, project):
                self._images.prepare(task, config, project, Urgency.PREFETCH, dropped)
        except Exception as error:  # noqa: BLE001 - a guess, whatever is wrong with it
            log.debug("nothing to prefetch for %s: %s", project, on_one_line(str(error)))
            self._is_sequential.put(project, False, lifetime_s=ASKED_AGAIN_AFTER_S)
        finally:
            with self._lock:
                following = self._asking.pop(project)
                if following is not None and not self._seen.get((project, following.task_id)):
                    self._ask(following)

    def _tasks_after(self, task_id: int, project: str) -> list[dict[str, Any]]:
        server = self._connections.find(project)
        number = project.partition(".")[0]
        if server is None or not number.isdecimal():
            return []
        if not self._serves_in_order(server, int(number), project):
            log.debug("project %s does not serve its tasks in the order of their ids", project)
            return []
        return tasks_after(
            server,
            int(number),
            task_id,
            count=self._count,
            unfinished=True,
            timeout_s=QUESTION_TIMEOUT_S,
            max_bytes=ANSWER_BYTES,
        )

    def _serves_in_order(self, server: LabelStudio, project_id: int, project: str) -> bool:
        known = self._is_sequential.get(project)
        if known is not None:
            return known
        found = serves_in_order(
            server, project_id, timeout_s=QUESTION_TIMEOUT_S, max_bytes=ANSWER_BYTES
        )
        self._is_sequential.put(project, found, lifetime_s=SAMPLING_TRUSTED_S)
        return found
