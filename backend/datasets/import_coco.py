"""COCO into Label Studio: a file of tasks, or tasks straight in a project."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tqdm import tqdm

from backend.core.atomic_files import file_below, replaced_when_done, stays_below
from backend.core.errors import DatasetError
from backend.core.outputs import OUTPUTS
from backend.core.units import MEGABYTE
from backend.datasets.coco_reader import CocoFile, CocoImage, read_coco
from backend.datasets.coco_tasks import Kind, TaskMaker, make_labeling_config
from backend.datasets.inputs import read_labeling_config, require_label_studio
from backend.datasets.labelled_tasks import ProjectTasks
from backend.label_studio import projects
from backend.label_studio.client import LabelStudio
from backend.label_studio.connections import Connections
from backend.labeling.parse_config import parse_labeling_config
from backend.settings.settings import Settings

IMAGES_AT_ONCE = 20
BYTES_AT_ONCE = 20 * MEGABYTE  # of image files; a larger one goes alone


@dataclass(frozen=True)
class ImportOptions:
    """What to import, and where to; the command line's help says what each means.

    Exactly one of `out`, `project_id` and `new_title` is given.
    """

    coco_file: Path
    out: Path | None = None
    project_id: int | None = None
    new_title: str | None = None
    labeling_config: Path | None = None
    output: str = OUTPUTS[0]
    kind: Kind = Kind.ANNOTATIONS
    image_url: str | None = None
    image_root: Path | None = None


@dataclass
class ImportReport:
    """What was imported; `place` is where to, `known` counts the images that were there before."""

    place: str = ""
    images: int = 0
    objects: int = 0
    known: int = 0
    problems: list[str] = field(default_factory=list)


def run_import(options: ImportOptions, settings: Settings) -> ImportReport:
    """Import.

    Args:
        options: what and where to.
        settings: how Label Studio is reached.

    Raises:
        DatasetError: the COCO file, the labeling config or the images cannot be used.
        LabelStudioError: Label Studio refused or did not answer.
    """
    coco = read_coco(options.coco_file)
    report = ImportReport(problems=list(coco.problems))
    if options.out is not None:
        _import_to_file(coco, options, options.out, report)
        return report
    with closing(Connections(settings)) as connections:
        server = require_label_studio(connections, "write a file with --out")
        _import_to_project(coco, options, server, report)
    return report


def _import_to_file(
    coco: CocoFile, options: ImportOptions, out: Path, report: ImportReport
) -> None:
    if options.image_root is not None:
        raise DatasetError(
            "images are uploaded into a project, not into a file",
            remedy="give --project or --new, or with --out the images' address with --image-url",
        )
    xml = _config_for(coco, options)
    maker = _task_maker(xml, coco, options)
    try:
        with replaced_when_done(out) as file:
            file.write("[")
            for index, image in enumerate(_with_progress(coco.images)):
                task = _make(maker, image, _url(image, options), report)
                file.write((",\n" if index else "\n") + json.dumps(task, separators=(",", ":")))
            file.write("\n]\n")
        if options.labeling_config is None:
            with replaced_when_done(out.with_suffix(".xml")) as file:
                file.write(xml)
    except OSError as error:
        raise DatasetError(
            f"cannot write {str(out)!r}: {error.strerror or error}",
            remedy="give another file with --out, or make room for this one",
        ) from error
    report.place = str(out)
    if options.labeling_config is None:
        report.place += f", for a project with the labeling config {out.with_suffix('.xml')}"


def _import_to_project(
    coco: CocoFile, options: ImportOptions, server: LabelStudio, report: ImportReport
) -> None:
    if options.new_title is not None:
        xml = _config_for(coco, options)
        _task_maker(xml, coco, options)  # before the project is made
        _require_images(coco, options)
        project_id = projects.create_project(server, options.new_title, xml)
        print(  # at once: the same command would make another one
            f"project {project_id} is made; where this is interrupted, --project {project_id} "
            "in place of --new goes on",
            file=sys.stderr,
        )
    else:
        project_id = options.project_id or 0
    project = ProjectTasks(server, project_id)
    maker = _task_maker(project.labeling_config, coco, options)
    _require_images(coco, options)
    known = project.imported_names()
    missing = [image for image in coco.images if image.file_name not in known]
    report.known = len(coco.images) - len(missing)
    report.place = f"{server.url}/projects/{project_id}/data"
    with tqdm(total=len(missing), unit="image", disable=None) as bar:
        for batch in _batches(missing, options):
            urls = _urls(batch, options, server, project_id)
            tasks = [
                _make(maker, image, url, report) for image, url in zip(batch, urls, strict=True)
            ]
            projects.import_tasks(server, project_id, tasks)
            bar.update(len(batch))


def _make(maker: TaskMaker, image: CocoImage, url: str, report: ImportReport) -> dict[str, Any]:
    """Make an image's task and count what is in it."""
    problems: list[str] = []
    task = maker.make(image, url, problems)
    report.problems += problems
    report.images += 1
    report.objects += len(image.annotations) - len(problems)
    return task


def _config_for(coco: CocoFile, options: ImportOptions) -> str:
    if options.labeling_config is not None:
        return read_labeling_config(options.labeling_config)
    return make_labeling_config(coco.categories, options.output)


def _task_maker(xml: str, coco: CocoFile, options: ImportOptions) -> TaskMaker:
    config = parse_labeling_config(xml)
    maker = TaskMaker(config, options.output, options.kind)
    maker.require_labels(
        dict.fromkeys(found.label for image in coco.images for found in image.annotations)
    )
    return maker


def _url(image: CocoImage, options: ImportOptions) -> str:
    if options.image_url is not None:
        return options.image_url + quote(image.file_name)
    if image.url is not None:
        return image.url
    raise DatasetError(
        f"no address of {image.file_name!r} is known",
        remedy="give the address that all file names follow with --image-url, or upload the "
        "images from a folder with --image-root",
    )


def _require_images(coco: CocoFile, options: ImportOptions) -> None:
    """See that every image can be had, before anything is made."""
    for image in coco.images:
        if options.image_root is None:
            _url(image, options)
        elif not (stays_below(image.file_name) and file_below(options.image_root, image.file_name)):
            raise DatasetError(
                f"{image.file_name!r} is not in {str(options.image_root)!r}",
                remedy="give the folder that the COCO file's names are relative to",
            )


def _batches(images: Sequence[CocoImage], options: ImportOptions) -> Iterator[list[CocoImage]]:
    batch: list[CocoImage] = []
    size = 0
    for image in images:
        root = options.image_root
        added = 0 if root is None else (root / image.file_name).stat().st_size
        if batch and (len(batch) == IMAGES_AT_ONCE or size + added > BYTES_AT_ONCE):
            yield batch
            batch, size = [], 0
        batch.append(image)
        size += added
    if batch:
        yield batch


def _urls(
    images: Sequence[CocoImage], options: ImportOptions, server: LabelStudio, project_id: int
) -> list[str]:
    if options.image_root is None:
        return [_url(image, options) for image in images]
    try:
        files = [
            (Path(image.file_name).name, (options.image_root / image.file_name).read_bytes())
            for image in images
        ]
    except OSError as error:
        raise DatasetError(
            f"cannot read {error.filename!r}: {error.strerror}",
            remedy="see that the file can be read, and start again: what is imported stays",
        ) from error
    return projects.upload_files(server, project_id, files)


def _with_progress(images: Sequence[CocoImage]) -> Iterable[CocoImage]:
    return tqdm(images, unit="image", disable=None)
