"""The command lines of export-coco and import-coco."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from backend.core.atomic_files import printable
from backend.core.outputs import OUTPUTS
from backend.core.text import on_one_line
from backend.datasets.annotation_choice import AnnotationChoice, Which
from backend.datasets.coco_tasks import Kind
from backend.datasets.conversion import RegionRules
from backend.datasets.export_coco import ExportOptions, ExportReport, Format, run_export
from backend.datasets.image_files import Transfer
from backend.datasets.import_coco import ImportOptions, run_import
from backend.datasets.labelled_regions import SHAPES
from backend.settings.settings import Settings

NOT_ALL = 3  # exit status: written, but not all of it


def declare_export(parser: argparse.ArgumentParser) -> None:
    """Declare what export-coco takes."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--project", type=int, metavar="ID", help="a project of LABEL_STUDIO_URL, by the API"
    )
    source.add_argument(
        "--from", dest="export_file", type=Path, metavar="FILE", help="a JSON or JSON_MIN export"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made if missing")
    parser.add_argument(
        "--format",
        type=Format,
        choices=list(Format),
        default=Format.COCO,
        help="coco (default): instances.json; yolo-seg: the folder that Ultralytics trains on",
    )
    parser.add_argument(
        "--labeling-config",
        type=Path,
        metavar="FILE",
        help="with --from: the project's XML, for the order of the categories and for tasks with "
        "several images; without it categories are in alphabetical order",
    )
    _add_choice(parser)
    _add_rules(parser)
    _add_images(parser)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which annotations count (skipped ones never do)")
    group.add_argument(
        "--annotations",
        type=Which,
        choices=list(Which),
        default=Which.LATEST,
        help="of a task that has several (default: latest, by the time of its last change)",
    )
    group.add_argument(
        "--drafts", action="store_true", help="drafts too: in place of the annotation they change"
    )
    group.add_argument(
        "--predictions",
        action="store_true",
        help="the latest prediction too, where no annotation counts",
    )
    group.add_argument(
        "--annotated-only",
        action="store_true",
        help="leave images out that nobody has annotated yet; else they are there without masks",
    )


def _add_rules(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how regions leave")
    group.add_argument(
        "--segmentation",
        choices=("rle", "polygon"),
        default="rle",
        help="of COCO annotations: run lengths (default), which hold every pixel, or outlines",
    )
    group.add_argument(
        "--tolerance",
        type=_pixels,
        default=RegionRules.tolerance_px,
        metavar="PX",
        help="how far an outline may be from the mask's edge; 0 keeps every pixel (default: 1)",
    )
    group.add_argument(
        "--alpha",
        type=_grey_level,
        default=RegionRules.alpha,
        metavar="LEVEL",
        help="a pixel of a brush whose alpha, 0-255, is greater is the object (default: 127)",
    )
    group.add_argument(
        "--shapes",
        type=_shapes,
        default=frozenset(SHAPES),
        metavar="LIST",
        help=f"only these, with commas between them (default: {','.join(SHAPES)})",
    )


def _add_images(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("image files and split")
    group.add_argument(
        "--images",
        type=Transfer,
        choices=list(Transfer),
        help="put them into DIR/images: downloaded, or copied or linked from --image-root "
        "(default: none; download for yolo-seg)",
    )
    group.add_argument(
        "--image-root", type=Path, metavar="DIR", help="local folder to look for images in"
    )
    group.add_argument(
        "--val",
        type=_part,
        default=0.0,
        metavar="PART",
        help="of the images for validation, such as 0.2; by image, the same at every run",
    )
    group.add_argument("--seed", type=int, default=0, help="another one splits otherwise")


def declare_import(parser: argparse.ArgumentParser) -> None:
    """Declare what import-coco takes."""
    parser.add_argument("coco_file", type=Path, help="COCO instances with polygons, RLE or boxes")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--project",
        type=int,
        metavar="ID",
        help="a project of LABEL_STUDIO_URL; what was imported there before is left as it is",
    )
    target.add_argument(
        "--new", metavar="TITLE", help="a new project, with the categories as labels"
    )
    target.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="a file of tasks, for Label Studio's Import; beside it, as .xml, the labeling config",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--image-root", type=Path, metavar="DIR", help="upload the images from this folder"
    )
    source.add_argument(
        "--image-url",
        metavar="PREFIX",
        help="or: the address before each file name, such as http://host/images/ or "
        "/data/local-files/?d=images/ (default: the file's own coco_url)",
    )
    parser.add_argument(
        "--as",
        dest="kind",
        type=Kind,
        choices=list(Kind),
        default=Kind.ANNOTATIONS,
        help="as what objects come in (default: annotations)",
    )
    parser.add_argument(
        "--shape",
        choices=OUTPUTS,
        default=OUTPUTS[0],
        help="what objects become, if the project has a control for it (default: brush, which "
        "holds every pixel); a box without a mask becomes a rectangle",
    )
    parser.add_argument(
        "--labeling-config",
        type=Path,
        metavar="FILE",
        help="with --out or --new: XML to use instead of one made from the categories",
    )


def export_coco(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run export-coco and return its exit status."""
    is_yolo = arguments.format is Format.YOLO_SEG
    images = arguments.images or (Transfer.DOWNLOAD if is_yolo else Transfer.NONE)
    if images in (Transfer.COPY, Transfer.LINK) and arguments.image_root is None:
        print(f"error: --images {images} needs --image-root", file=sys.stderr)
        return 2
    report = run_export(
        ExportOptions(
            out=arguments.out,
            project_id=arguments.project,
            export_file=arguments.export_file,
            labeling_config=arguments.labeling_config,
            format=arguments.format,
            choice=AnnotationChoice(arguments.annotations, arguments.drafts, arguments.predictions),
            rules=RegionRules(
                arguments.shapes,
                is_yolo or arguments.segmentation == "polygon",
                arguments.tolerance,
                arguments.alpha,
                settings.max_pixels,
            ),
            annotated_only=arguments.annotated_only,
            images=images,
            image_root=arguments.image_root,
            validation=arguments.val,
            seed=arguments.seed,
        ),
        settings,
    )
    _print_report(report)
    return NOT_ALL if report.problems else 0


def import_coco(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run import-coco and return its exit status."""
    report = run_import(
        ImportOptions(
            coco_file=arguments.coco_file,
            out=arguments.out,
            project_id=arguments.project,
            new_title=arguments.new,
            labeling_config=arguments.labeling_config,
            output=arguments.shape,
            kind=arguments.kind,
            image_url=arguments.image_url,
            image_root=arguments.image_root,
        ),
        settings,
    )
    print(f"{report.images} images with {report.objects} objects in {report.place}")
    if report.known:
        print(f"note: {report.known} images were there already", file=sys.stderr)
    _print_problems(report.problems, "imported")
    return NOT_ALL if report.problems else 0


def _print_report(report: ExportReport) -> None:
    print(
        f"{report.images} images, {report.annotations} annotations, {report.categories} categories"
        f" in {', '.join(map(printable, report.files))}"
    )
    for reason, count in report.left_aside.items():
        if count:
            print(f"note: {count} {reason}", file=sys.stderr)
    _print_problems(report.problems, "exported")


def _print_problems(problems: Sequence[object], done: str) -> None:
    if problems:
        print(f"\n{len(problems)} could not be {done}:", file=sys.stderr)
        for problem in problems:
            print(f"  {on_one_line(str(problem))}", file=sys.stderr)


def _pixels(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1000:
        raise ValueError
    return value


def _grey_level(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 254:
        raise ValueError
    return value


def _part(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise ValueError
    return value


def _shapes(text: str) -> frozenset[str]:
    shapes = frozenset(text.split(","))
    if not shapes <= set(SHAPES):
        raise argparse.ArgumentTypeError(f"{text!r} has others than {','.join(SHAPES)}")
    return shapes
