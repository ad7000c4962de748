"""COCO into Label Studio: a file of tasks, or tasks straight in a project."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from backend.core.atomic_files import (
    file_below,
    is_same_file,
    printable,
    replaced_when_done,
    stays_below,
)
from backend.core.errors import DatasetError, ImageError
from backend.core.outputs import OUTPUTS
from backend.core.units import MEGABYTE
from backend.datasets.coco_reader import CocoFile, CocoImage, read_coco
from backend.datasets.coco_tasks import Kind, TaskMaker, make_labeling_config
from backend.datasets.image_addresses import (
    TaskImage,
    address_below,
    image_names,
    is_address,
    own_name,
    stored_name,
)
from backend.datasets.inputs import read_labeling_config, require_label_studio
from backend.datasets.labelled_tasks import ProjectTasks
from backend.images.decode import read_header
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
        _import_to_file(coco, options, options.out, report, settings)
        return report
    with closing(Connections(settings)) as connections:
        server = require_label_studio(connections, "write a file with --out")
        _import_to_project(coco, options, server, report, settings)
    return report


def _import_to_file(
    coco: CocoFile, options: ImportOptions, out: Path, report: ImportReport, settings: Settings
) -> None:
    if options.image_root is not None:
        raise DatasetError(
            "images are uploaded into a project, not into a file",
            remedy="give --project or --new, or with --out the images' address with --image-url",
        )
    xml = _config_for(coco, options)
    maker = _task_maker(xml, coco, options, settings)
    config_file = None if options.labeling_config is not None else out.with_suffix(".xml")
    _require_free(out, config_file, xml, options)
    try:
        with replaced_when_done(out) as file:
            file.write("[")
            for index, image in enumerate(_with_progress(coco.images)):
                task = _make(maker, image, _url(image, options), report)
                line = json.dumps(task, separators=(",", ":"), allow_nan=False)
                file.write((",\n" if index else "\n") + line)
            file.write("\n]\n")
        if config_file is not None:
            with replaced_when_done(config_file) as file:
                file.write(xml)
    except OSError as error:
        raise DatasetError(
            f"cannot write {str(out)!r}: {error.strerror or error}",
            remedy="give another file with --out, or make room for this one",
        ) from error
    report.place = printable(out)
    if config_file is not None:
        report.place += f", for a project with the labeling config {printable(config_file)}"


def _require_free(out: Path, config_file: Path | None, xml: str, options: ImportOptions) -> None:
    """See that nothing is written over: not the input, and no config that somebody wrote.

    Raises:
        DatasetError: names the file.
    """
    if out == config_file:
        raise DatasetError(
            f"the tasks and their labeling config would both be {str(out)!r}",
            remedy="give a file that ends with .json",
        )
    for given in (options.coco_file, options.labeling_config):
        for written in (out, config_file):
            if given is not None and written is not None and is_same_file(given, written):
                raise DatasetError(
                    f"{str(written)!r} is read by this import, and would be written over",
                    remedy="give another file with --out",
                )
    try:
        there = None if config_file is None else config_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError):
        there = ""
    if there is not None and there != xml:
        raise DatasetError(
            f"{str(config_file)!r} is there, with another labeling config than the COCO file's",
            remedy="give it with --labeling-config to use it, delete it, or give another --out",
        )


def _import_to_project(
    coco: CocoFile,
    options: ImportOptions,
    server: LabelStudio,
    report: ImportReport,
    settings: Settings,
) -> None:
    _require_images(coco, options, settings)
    project_id = options.project_id or 0
    if options.new_title is not None:
        project_id = _project_called(options.new_title, coco, options, server, settings)
    project = ProjectTasks(server, project_id)
    maker = _task_maker(project.labeling_config, coco, options, settings)
    missing = _missing(coco, project, options)
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


def _project_called(
    title: str, coco: CocoFile, options: ImportOptions, server: LabelStudio, settings: Settings
) -> int:
    """Find the project with a title, as `connect` does, or make it."""
    project_id = projects.find_project(server, title)
    if project_id is not None:
        print(f"project {project_id} has this title: the import goes on in it", file=sys.stderr)
        return project_id
    xml = _config_for(coco, options)
    _task_maker(xml, coco, options, settings)  # before the project is made
    project_id = projects.create_project(server, title, xml)
    print(  # at once
        f"project {project_id} is made; where this is interrupted, --project {project_id} "
        "in place of --new goes on",
        file=sys.stderr,
    )
    return project_id


def _missing(coco: CocoFile, project: ProjectTasks, options: ImportOptions) -> list[CocoImage]:
    """The images that a project does not have, by the names that it was given or uploaded with.

    Of images that stay where they are, the address says that, and no name that another one ends in.
    """
    imported, others = project.image_uris()
    if options.image_url is not None:
        return [
            image
            for image in coco.images
            if image.file_name not in imported and _url(image, options) not in others
        ]
    images = [TaskImage(0, uri) for uri in others]
    ends = {name for one in images for name in image_names(one)}
    uploads = {own_name(one) for one in images if one.is_upload}
    stored = Counter(stored_name(image.file_name) for image in coco.images)

    def is_there(image: CocoImage) -> bool:
        name = image.file_name.replace("\\", "/")
        upload = stored_name(name)
        is_upload = upload in uploads and stored[upload] == 1
        return image.file_name in imported or name in ends or is_upload

    return [image for image in coco.images if not is_there(image)]


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


def _task_maker(xml: str, coco: CocoFile, options: ImportOptions, settings: Settings) -> TaskMaker:
    config = parse_labeling_config(xml)
    maker = TaskMaker(config, options.output, options.kind, max_pixels=settings.max_pixels)
    maker.require_labels(
        dict.fromkeys(found.label for image in coco.images for found in image.annotations)
    )
    return maker


def _url(image: CocoImage, options: ImportOptions) -> str:
    if not options.image_url and is_address(image.file_name):
        return image.file_name
    if options.image_url is not None:
        return address_below(options.image_url, image.file_name)
    if image.url is not None:
        return image.url
    raise DatasetError(
        f"no address of {image.file_name!r} is known",
        remedy="give the address that all file names follow with --image-url, or upload the "
        "images from a folder with --image-root",
    )


def _require_images(coco: CocoFile, options: ImportOptions, settings: Settings) -> None:
    """See that every image can be had and has its size, before anything is made."""
    wrong: list[str] = []
    for image in coco.images:
        if options.image_root is None:
            _url(image, options)
            continue
        path = _file(image, options.image_root)
        try:
            with path.open("rb") as file:
                header = read_header(
                    file, name=repr(image.file_name), max_pixels=settings.max_pixels
                )
        except ImageError as error:
            wrong.append(str(error))
        except OSError as error:
            wrong.append(f"cannot read {image.file_name!r}: {error.strerror}")
        else:
            (height, width), shown = image.size_hw, header.size_hw
            if shown != (height, width):
                wrong.append(
                    f"{image.file_name!r} is {width} x {height} in the COCO file, "
                    f"the image is shown as {shown[1]} x {shown[0]}"
                )
    if wrong:
        raise DatasetError(
            "; ".join(wrong[:3]) + f" ({len(wrong)} images in all)" * (len(wrong) > 3),
            remedy="give the images that were annotated, upright; masks fit no others",
        )


def _file(image: CocoImage, root: Path) -> Path:
    """The file of an image; a backslash is a folder where no file has that very name.

    Raises:
        DatasetError: it is not below the folder.
    """
    for name in (image.file_name, image.file_name.replace("\\", "/")):
        path = file_below(root, name) if stays_below(name) else None
        if path is not None:
            return path
    raise DatasetError(
        f"{image.file_name!r} is not in {str(root)!r}",
        remedy="give the folder that the COCO file's names are relative to",
    )


def _batches(images: Sequence[CocoImage], options: ImportOptions) -> Iterator[list[CocoImage]]:
    batch: list[CocoImage] = []
    size = 0
    for image in images:
        root = options.image_root
        added = 0 if root is None else _file(image, root).stat().st_size
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
            (path.name, path.read_bytes())
            for path in (_file(image, options.image_root) for image in images)
        ]
    except OSError as error:
        raise DatasetError(
            f"cannot read {error.filename!r}: {error.strerror}",
            remedy="see that the file can be read, and start again: what is imported stays",
        ) from error
    return projects.upload_files(server, project_id, files)


def _with_progress(images: Sequence[CocoImage]) -> Iterable[CocoImage]:
    return tqdm(images, unit="image", disable=None)
