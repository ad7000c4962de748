"""Annotations out of Label Studio: a project or an export file -> COCO, or a YOLO folder."""

import enum
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

from backend.core.atomic_files import is_same_file, printable
from backend.core.errors import DatasetError, ImageError, ImageUnreachableError
from backend.core.workers import Urgency, Workers
from backend.datasets.annotation_choice import AnnotationChoice
from backend.datasets.coco_file import write_coco
from backend.datasets.conversion import (
    ConvertedImage,
    ConvertedTask,
    Problem,
    RegionRules,
    TaskConverter,
)
from backend.datasets.file_names import FileNames
from backend.datasets.image_fields import ImageFields
from backend.datasets.image_files import ImageFiles, Transfer
from backend.datasets.inputs import read_labeling_config, require_label_studio
from backend.datasets.labelled_tasks import ExportFile, ProjectTasks
from backend.datasets.spool import Spool, SpooledImage
from backend.datasets.staging import Originals, publish, staging_folder
from backend.datasets.yolo_seg import require_no_labels, write_yolo_seg
from backend.images.fetch import ImageLoader
from backend.label_studio.connections import Connections
from backend.labeling.config import LabelingConfig
from backend.labeling.parse_config import parse_labeling_config
from backend.settings.settings import Settings

if TYPE_CHECKING:
    from concurrent.futures import Future

# What is written, by whether it is split, in the order of the splits.
INSTANCES = {False: ("instances.json",), True: ("instances_train.json", "instances_val.json")}
OWN_TITLE = "Label Studio "  # how the description of every file from here begins
OWN_HEAD = f'{{"info":{{"description":"{OWN_TITLE}'.encode()

THREADS = 4  # fetch and decode at once
TASKS_AHEAD = 16  # converted and not yet written

Item = TypeVar("Item")
Result = TypeVar("Result")


class Format(enum.StrEnum):
    """What is written."""

    COCO = "coco"
    YOLO_SEG = "yolo-seg"


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and how; the command line's help says what each means.

    Exactly one of `project_id` and `export_file` is given. `labeling_config` is the path of an XML
    file; a project brings its own.
    """

    out: Path
    project_id: int | None = None
    export_file: Path | None = None
    labeling_config: Path | None = None
    format: Format = Format.COCO
    choice: AnnotationChoice = AnnotationChoice()  # noqa: RUF009 - frozen
    rules: RegionRules = RegionRules()  # noqa: RUF009 - frozen
    annotated_only: bool = False
    images: Transfer = Transfer.NONE
    image_root: Path | None = None
    validation: float = 0.0
    seed: int = 0


@dataclass
class ExportReport:
    """What was written, and what was not. `left_aside` counts what was left out on purpose."""

    files: list[Path] = field(default_factory=list)
    images: int = 0
    annotations: int = 0
    categories: int = 0
    problems: list[Problem] = field(default_factory=list)
    left_aside: Counter[str] = field(default_factory=Counter)


def run_export(options: ExportOptions, settings: Settings) -> ExportReport:
    """Export.

    Args:
        options: what and how.
        settings: how Label Studio is reached, and the bounds of an image.

    Raises:
        DatasetError: the export file, the labeling config or the folder cannot be used.
        LabelStudioError: Label Studio refused or did not answer.
    """
    _require_other_files(options)
    connections = Connections(settings)
    with closing(connections):
        source: ExportFile | ProjectTasks
        config = None
        if options.export_file is not None:
            source = ExportFile(options.export_file)
            if options.labeling_config is not None:
                config = parse_labeling_config(read_labeling_config(options.labeling_config))
            title = f"{OWN_TITLE}export {printable(Path(options.export_file.name))}"
        else:
            server = require_label_studio(connections, "give an export file with --from")
            source = ProjectTasks(server, options.project_id or 0)
            config = parse_labeling_config(source.labeling_config)
            title = f"{OWN_TITLE}project {options.project_id}"
        try:
            with staging_folder(options.out) as folder, Spool(folder) as spool:
                if options.format is Format.YOLO_SEG:
                    require_no_labels(options.out)
                originals = Originals(options.image_root)
                report = _fill(
                    spool, folder, source, config, options, settings, connections, originals
                )
                _write(spool, folder, config, options, report, title)
                publish(folder, options.out, originals)
                if options.format is Format.COCO:
                    _remove_other_splits(options)
        except OSError as error:
            raise DatasetError(
                f"cannot write to {str(options.out)!r}: {error.strerror or error}",
                remedy="give another folder with --out, or make room in this one",
            ) from error
    return report


def _require_other_files(options: ExportOptions) -> None:
    """See that what is read is not what is written.

    Raises:
        DatasetError: names the file.
    """
    written = [options.out / name for name in (*INSTANCES[False], *INSTANCES[True], "data.yaml")]
    for given in (options.export_file, options.labeling_config):
        if given is not None and any(is_same_file(given, path) for path in written):
            raise DatasetError(
                f"{str(given)!r} is read by this export, and would be written over",
                remedy="give another folder with --out",
            )


def _remove_other_splits(options: ExportOptions) -> None:
    """Remove what an earlier export with another --val has left, and nobody else's files."""
    for name in INSTANCES[not options.validation]:
        path = options.out / name
        try:
            with path.open("rb") as file:
                is_own = file.read(len(OWN_HEAD)) == OWN_HEAD
        except OSError:
            continue
        if is_own:
            path.unlink(missing_ok=True)


def _fill(
    spool: Spool,
    folder: Path,
    source: ExportFile | ProjectTasks,
    config: LabelingConfig | None,
    options: ExportOptions,
    settings: Settings,
    connections: Connections,
    originals: Originals,
) -> ExportReport:
    """Convert all tasks, and put image files that are wanted into a folder."""
    is_yolo = options.format is Format.YOLO_SEG
    files = ImageFiles(
        options.images,
        ImageLoader(settings, connections),
        options.image_root,
        max_pixels=settings.max_pixels,
        for_training=is_yolo,
    )
    converter = TaskConverter(
        options.choice,
        ImageFields(config),
        files,
        options.rules,
        annotated_only=options.annotated_only,
    )
    names = FileNames(for_training=is_yolo)
    report = ExportReport()

    places = ("images/train", "images/val") if is_yolo else ("images",)

    def place(converted: ConvertedImage) -> None:
        image, found = converted.image, converted.found
        file_name = names.name(image, files.written_format(found.header))
        staged = folder / _images(options) / file_name
        try:
            files.place(found, staged, name=str(image))
            for one in places if found.content is not None else ():
                target = options.out / one / file_name
                if not originals.may_be(staged, target):
                    staged.unlink()
                    raise ImageUnreachableError(
                        f"{image} would be written over {str(target)!r}, one of the originals",
                        remedy="give a folder with --out that the originals are not in",
                    )
        except ImageError as error:
            report.problems.append(Problem(image.task_id, str(error)))
            return
        spool.add(converted, file_name)

    with tqdm(total=source.size, unit=source.unit, unit_scale=True, disable=None) as bar:
        converted: ConvertedTask
        for converted in _map_ahead(converter.convert, source.tasks(bar.update)):
            report.problems += converted.problems
            report.left_aside += converted.left_aside
            for image in converted.images:
                place(image)
    return report


def _images(options: ExportOptions) -> str:
    """The folder of the images until the split is known."""
    return "unsplit" if options.format is Format.YOLO_SEG else "images"


def _write(
    spool: Spool,
    folder: Path,
    config: LabelingConfig | None,
    options: ExportOptions,
    report: ExportReport,
    title: str,
) -> None:
    categories = spool.categories({} if config is None else config.labels)
    splits = spool.split(options.validation, options.seed)
    report.images, report.annotations = spool.images, spool.annotations
    report.categories = len(categories)
    if options.format is Format.YOLO_SEG:
        unsplit = folder / _images(options)
        yolo = write_yolo_seg(folder, unsplit, spool.read(), categories, splits, root=options.out)
        report.left_aside += Counter(
            {"key points and crowds, which YOLO has no place for": yolo.no_place}
        )
        report.problems += [Problem(task_id, fault) for task_id, fault in yolo.faults]
        report.annotations -= yolo.no_place + len(yolo.faults)
        report.files.append(options.out / "data.yaml")
        return
    for name, numbers in zip(INSTANCES[bool(options.validation)], splits.values(), strict=True):

        def read(numbers: set[int] = numbers) -> Iterable[SpooledImage]:
            return (spooled for spooled in spool.read() if spooled.id in numbers)

        write_coco(folder / name, read, categories, description=title)
        report.files.append(options.out / name)


def _map_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map in threads, in order, with only a few results waiting."""
    # Daemon threads, and not a pool of the library's: Ctrl-C would wait for slow hosts.
    threads = Workers("export", THREADS)
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(threads.call(Urgency.BATCH, function, item))
        if len(waiting) > TASKS_AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
