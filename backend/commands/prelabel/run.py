"""A prelabeling from beginning to end: tasks in, masks made by several threads, predictions out."""

import sys
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from backend.commands.prelabel.coco_boxes import CocoBoxes, coco_prompts
from backend.commands.prelabel.predictions import (
    PredictionWriter,
    Unwritten,
    show_predictions,
    shown_version,
)
from backend.commands.prelabel.rectangles import Source, rectangle_prompts
from backend.commands.prelabel.task_masks import TaskMasks, TaskResult, pages_of
from backend.commands.prelabel.versions import prelabel_version
from backend.core.errors import BackendError, DatasetError, LabelingConfigError
from backend.core.text import on_one_line
from backend.core.workers import Urgency, Workers
from backend.datasets.coco_reader import read_coco
from backend.datasets.image_fields import ImageFields
from backend.datasets.inputs import require_label_studio
from backend.datasets.labelled_tasks import LabelledTask, ProjectTasks
from backend.label_studio.client import LabelStudio
from backend.label_studio.connections import Connections
from backend.labeling.config import LabelingConfig
from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.prompts import Prompt
from backend.labeling.task_data import find_value
from backend.segmentation.click_service import ClickService, load_predictor
from backend.settings.settings import Settings
from mobilesam import Predictor
from mobilesam.proposals import POINTS_PER_SIDE

FAULTS_SHOWN = 20  # the rest is only counted
LAST_WRITES_S = 30.0  # time for the last embeddings to reach the tiers


@dataclass(frozen=True)
class PrelabelOptions:
    """What to do; the command line's help says what each means."""

    project_id: int
    source: Source = Source.AUTO
    coco_file: Path | None = None
    everything: bool = False
    points_per_side: int = POINTS_PER_SIDE
    label: str | None = None
    min_score: float | None = None
    redo: bool = False
    show: bool = False
    workers: int = 4


@dataclass
class PrelabelReport:
    """What became of the project's tasks.

    `tasks` have new predictions with `masks` in all; `there` had one, `empty` had nothing to make
    masks of, `unsure` masks had too low a score; `failed` counts what is told on stderr. `version`
    is of the predictions, `shown_before` what annotators saw until now (see `shown_version`),
    `notes` what else is to be known.
    """

    version: str = ""
    tasks: int = 0
    masks: int = 0
    there: int = 0
    empty: int = 0
    unsure: int = 0
    failed: int = 0
    shown_before: str = ""
    notes: list[str] = field(default_factory=list)


class _Job(NamedTuple):
    task: LabelledTask
    earlier: list[int]
    images: int
    making: Future[TaskResult] | None  # None: nothing to do


def run_prelabel(
    options: PrelabelOptions, settings: Settings, *, predictor: Predictor | None = None
) -> PrelabelReport:
    """Make masks for a project's tasks and write them as predictions, with a progress bar.

    What was written stays, however it ends: the same command goes on from there.

    Args:
        options: which project, and what the masks are made of.
        settings: which Label Studio, which weights, which tiers; what masks are answered as.
        predictor: embeds and decodes; loaded from the settings if not given.

    Raises:
        BackendError: Label Studio is not known, refused or did not answer; the project has no
            control for masks, or a Repeater; the COCO file cannot be read. A task that fails is
            only counted.
        MobileSamError: the weights or the device cannot be used.
        KeyboardInterrupt: Ctrl-C.
    """
    with closing(Connections(settings)) as connections:
        server = require_label_studio(connections, "predict from your own code, see `SAM`")
        tasks = ProjectTasks(server, options.project_id)
        config = parse_labeling_config(tasks.labeling_config)
        if config.repeaters:
            raise LabelingConfigError(
                "Label Studio takes no predictions for what a Repeater of the labeling config "
                "shows: it checks their names without filling in the numbers",
                remedy="take <Image valueList='...'> for several pages, or click in the editor",
            )
        coco = None if options.coco_file is None else read_coco(options.coco_file)
        predictor = predictor or load_predictor(settings)
        # As many may wait for images as there are workers; nobody else is there.
        room = replace(settings, max_waiting=options.workers)
        with closing(ClickService(predictor, room)) as click_service:
            masks = TaskMasks(
                predictor,
                click_service.images,
                config,
                settings,
                project=str(options.project_id),
                label=options.label,
                min_score=options.min_score,
                points_per_side=options.points_per_side,
            )
            version = prelabel_version(predictor.model_id, everything=options.everything)
            boxes = None if coco is None else CocoBoxes(coco)
            run = _Run(
                options, server, config, masks, boxes, version, max_pixels=settings.max_pixels
            )
            report = run.run(tasks)
            click_service.flush(LAST_WRITES_S)
        if coco is not None and boxes is not None:
            report.failed += len(coco.problems)
            report.notes += [f"in the COCO file, {problem}" for problem in coco.problems]
            if boxes.unfound:
                shown = ", ".join(map(repr, boxes.unfound[:3]))
                report.notes.append(
                    f"{len(boxes.unfound)} images of the COCO file are those of no task, "
                    f"such as {shown}"
                )
        if report.tasks + report.there:
            report.shown_before = shown_version(server, options.project_id)
            if options.show and report.shown_before != version:
                show_predictions(server, options.project_id, version)
        return report


class _Run:
    """One run: threads make the masks of the next tasks, the caller's writes those of the last."""

    def __init__(
        self,
        options: PrelabelOptions,
        server: LabelStudio,
        config: LabelingConfig,
        masks: TaskMasks,
        boxes: CocoBoxes | None,
        version: str,
        *,
        max_pixels: int,
    ) -> None:
        self._options = options
        self._max_pixels = max_pixels
        self._config = config
        self._masks = masks
        self._boxes = boxes
        self._fields = ImageFields(config)
        self._writer = PredictionWriter(server, options.project_id, version)
        self._report = PrelabelReport(version=version)
        self._unknown: Counter[tuple[str, ...]] = Counter()

    def run(self, tasks: ProjectTasks) -> PrelabelReport:
        # Daemon threads, and not a pool of the library's: Ctrl-C would wait for slow hosts.
        threads = Workers("prelabel", self._options.workers)
        ahead: deque[_Job] = deque()
        tags = len(self._config.images)
        with tqdm(total=tasks.size * tags, unit=" images", smoothing=0.1) as bar:
            try:
                for task in tasks.tasks(lambda _: None):
                    if isinstance(task, DatasetError):
                        self._tell(None, str(task), bar)
                        continue
                    ahead.append(self._begin(task, threads, bar))
                    while len(ahead) > 2 * self._options.workers or (
                        ahead and ahead[0].making is None
                    ):
                        self._finish(ahead.popleft(), bar)
                while ahead:
                    self._finish(ahead.popleft(), bar)
            except KeyboardInterrupt:
                bar.write("stopped; the same command goes on from here", file=sys.stderr)
                raise
            finally:
                self._tell_unwritten(self._writer.flush(), bar)
        self._report.notes += [
            f"no control for masks takes the label {', '.join(map(repr, labels)) or '(none)'} of "
            f"{count} boxes: give --label with one that it takes"
            for labels, count in self._unknown.items()
        ]
        return self._report

    def _begin(self, task: LabelledTask, threads: Workers, bar: Any) -> _Job:
        """Have a task's masks made, unless that is done already."""
        pages = [find_value(task.data, tag.data_key) for tag in self._config.images.values()]
        images = sum(len(value) if isinstance(value, list) else 1 for value in pages)
        bar.total += images - len(pages)
        earlier = self._writer.earlier(task)
        if earlier and not self._options.redo and self._is_whole(task, earlier[-1]):
            self._writer.keep_newest(earlier)
            self._report.there += 1
            return _Job(task, earlier, images, None)
        if self._options.everything:
            making = threads.call(Urgency.BATCH, self._masks.from_grid, task)
            return _Job(task, earlier, images, making)
        faults: list[str] = []
        prompts = list(self._prompts(task, faults))
        for fault in faults:
            self._tell(task.id, fault, bar)
        if not prompts and not faults:
            self._report.empty += 1
        if not prompts and (faults or not earlier):
            return _Job(task, earlier, images, None)
        making = threads.call(Urgency.BATCH, self._masks.from_prompts, task, prompts)
        return _Job(task, earlier, images, making)

    def _is_whole(self, task: LabelledTask, prediction_id: int) -> bool:
        """Whether a prediction has masks on every image of a task that has something to mask.

        Where one of several images could not be fetched, the others' masks were written.
        """
        if self._options.everything:
            masked = {control.to_name for control in self._config.mask_controls}
            wanted = {
                (name, page)
                for name, tag in self._config.images.items()
                if name in masked
                for page in pages_of(find_value(task.data, tag.data_key))
            }
        else:
            wanted = {(one.to_name, one.item_index) for one in self._prompts(task, [])}
        if len(wanted) < 2:
            return True
        newest = next(one for one in task.predictions if one.get("id") == prediction_id)
        results = newest.get("result")
        found = {
            (result.get("to_name"), result.get("item_index"))
            for result in (results if isinstance(results, list) else ())
            if isinstance(result, dict)
        }
        return wanted <= found

    def _prompts(self, task: LabelledTask, faults: list[str]) -> Iterator[Prompt]:
        """Yield what a task's masks are made of; `faults` takes what cannot be used."""
        try:
            for found in self._found(task):
                if isinstance(found, BackendError):
                    faults.append(str(found))
                else:
                    yield found
        except BackendError as error:
            faults.append(str(error))

    def _found(self, task: LabelledTask) -> Iterator[Prompt | BackendError]:
        if self._boxes is None:
            yield from rectangle_prompts(task, self._options.source, self._config)
            return
        images, _ = self._fields.images(task, ())
        for (name, page), image in images.items():
            shown = self._boxes.find(image)
            if shown is not None and name is not None:
                yield from coco_prompts(shown, name, page, max_pixels=self._max_pixels)

    def _finish(self, job: _Job, bar: Any) -> None:
        if job.making is not None:
            result = job.making.result()
            for fault in result.faults:
                self._tell(job.task.id, fault, bar)
            for labels, faults in result.unknown.items():
                self._tell_unknown(job.task.id, labels, faults, bar)
            self._report.unsure += result.unsure
            if result.results or not (result.faults or result.unknown):
                self._report.tasks += bool(result.results)
                self._report.masks += len(result.scores)
                unwritten = self._writer.write(job.task.id, result, job.earlier)
                self._tell_unwritten(unwritten, bar)
        report = self._report
        bar.set_postfix_str(
            f"{report.masks} masks, {report.there} tasks done before, {report.failed} failed",
            refresh=False,
        )
        bar.update(job.images)

    def _tell_unwritten(self, unwritten: list[Unwritten], bar: Any) -> None:
        for one in unwritten:
            self._report.tasks -= 1
            self._report.masks -= one.masks
            self._tell(one.task_id, one.why, bar)

    def _tell_unknown(
        self, task_id: int, labels: tuple[str, ...], faults: list[str], bar: Any
    ) -> None:
        """Tell the first box with labels that no control takes, and count the others."""
        if labels in self._unknown:
            self._report.failed += len(faults)
        else:
            self._tell(task_id, faults[0], bar, count=len(faults))
        self._unknown[labels] += len(faults)

    def _tell(self, task: int | None, fault: str, bar: Any, *, count: int = 1) -> None:
        if self._report.failed < FAULTS_SHOWN:
            name = "" if task is None else f"task {task}: "
            bar.write(name + on_one_line(fault), file=sys.stderr)
        self._report.failed += count
