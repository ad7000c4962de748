"""A data set into a real Label Studio and out of it again, beside Label Studio's own export."""

import io
import json
import zipfile

import cv2
import numpy as np
import pytest
import requests
from labeling_page import regions_mask
from playwright.sync_api import expect
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from backend.cli import main
from backend.commands.prelabel.predictions import show_predictions
from backend.datasets.coco_tasks import MODEL_VERSION
from backend.images.samples import png_bytes
from backend.label_studio.project_tasks import iterate_tasks
from backend.label_studio.projects import list_projects
from mobilesam.scenes import generate_scene

pytestmark = pytest.mark.browser

SIZE_HW = (480, 640)
CATEGORIES = [
    {"id": 7, "name": "Zebra", "supercategory": "animal"},
    {"id": 3, "name": "Coin", "supercategory": ""},
]


# Not the config that import-coco makes, with one <Labels>: of that Label Studio exports nothing.
CONFIG = """\
<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="mask" toName="image">
    <Label value="Zebra" category="7" supercategory="animal"/>
    <Label value="Coin" category="3"/>
  </BrushLabels>
</View>
"""


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """A COCO file and its images: scenes, a ring with a second part, dots, a line, an empty one."""
    folder = tmp_path_factory.mktemp("data_set")
    ring, dots = np.zeros((2, *SIZE_HW), bool)
    ring[100:300, 100:300] = True
    ring[150:250, 150:250] = False
    ring[100:200, 400:500] = True
    dots[10, 10] = dots[400, 20:120] = True
    scene, other = (generate_scene(seed, SIZE_HW) for seed in (9, 10))
    masks = {"scene.png": [*scene.masks, ring], "deep/other.webp": [dots], "empty.png": []}
    (folder / "deep").mkdir()
    (folder / "scene.png").write_bytes(png_bytes(scene.image))
    (folder / "empty.png").write_bytes(png_bytes(scene.image))
    webp = cv2.imencode(".webp", other.image[:, :, ::-1])[1]
    (folder / "deep" / "other.webp").write_bytes(webp.tobytes())
    content = {"categories": CATEGORIES, "images": [], "annotations": []}
    for number, (name, found) in enumerate(masks.items(), 1):
        height, width = SIZE_HW
        content["images"].append(
            {"id": number, "file_name": name, "height": height, "width": width}
        )
        content["annotations"] += [
            annotation(len(content["annotations"]) + index, number, mask)
            for index, mask in enumerate(found, 1)
        ]
    (folder / "instances.json").write_text(json.dumps(content))
    (folder / "config.xml").write_text(CONFIG)
    return folder


def annotation(number, image_id, mask):
    rle = coco_masks.encode(np.asfortranarray(mask, np.uint8))
    return {
        "id": number,
        "image_id": image_id,
        "category_id": CATEGORIES[number % 2]["id"],
        "segmentation": {"size": list(SIZE_HW), "counts": rle["counts"].decode()},
        "bbox": coco_masks.toBbox(rle).tolist(),
        "area": int(mask.sum()),
        "iscrowd": 0,
    }


@pytest.fixture(scope="module")
def project_id(api, data_set):
    """The data set in a new project, as import-coco puts it there."""
    before = {project.id for project in list_projects(api)}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LABEL_STUDIO_URL", api.url)
        environment.setenv("LABEL_STUDIO_API_KEY", api.authorization().partition(" ")[2])
        source = [str(data_set / "instances.json"), "--image-root", str(data_set)]
        target = ["--new", "From COCO", "--labeling-config", str(data_set / "config.xml")]
        assert main(["import-coco", *source, *target]) == 0
    [project_id] = {project.id for project in list_projects(api)} - before
    return project_id


@pytest.fixture
def out(api, project_id, tmp_path, monkeypatch):
    """The folder of an export of that project, with images."""
    monkeypatch.setenv("LABEL_STUDIO_URL", api.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", api.authorization().partition(" ")[2])
    options = ["--project", str(project_id), "--out", str(tmp_path), "--images", "download"]
    assert main(["export-coco", *options]) == 0
    return tmp_path


def test_export_of_what_was_imported_is_the_same(data_set, out):
    before, after = COCO(data_set / "instances.json"), COCO(out / "instances.json")
    assert list(after.cats.values()) == CATEGORIES
    names = [image["file_name"] for image in before.imgs.values()]
    assert [image["file_name"] for image in after.imgs.values()] == names
    for name in names:
        assert (out / "images" / name).read_bytes() == (data_set / name).read_bytes()
    assert len(after.anns) == len(before.anns)
    for number, found in before.anns.items():
        again = after.anns[number]
        assert again["category_id"] == found["category_id"]
        assert (again["area"], again["bbox"]) == (found["area"], found["bbox"])
        np.testing.assert_array_equal(after.annToMask(again), before.annToMask(found))


def test_imported_predictions_keep_their_shared_labels_until_they_are_submitted(
    labeling_page, api, data_set, monkeypatch
):
    monkeypatch.setenv("LABEL_STUDIO_URL", api.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", api.authorization().partition(" ")[2])
    before = {project.id for project in list_projects(api)}
    source = [str(data_set / "instances.json"), "--image-root", str(data_set)]
    assert main(["import-coco", *source, "--new", "Suggestions", "--as", "predictions"]) == 0
    [project_id] = {project.id for project in list_projects(api)} - before
    show_predictions(api, project_id, MODEL_VERSION)
    task = next(iterate_tasks(api, project_id))
    labeling_page.look_at(project_id, task["id"], size_hw=SIZE_HW)
    truth = COCO(data_set / "instances.json").imgToAnns[1]
    expect(labeling_page.page.locator(".lsf-outliner-item")).to_have_count(len(truth))
    labeling_page.save_screenshot("suggested")
    stored = labeling_page.submit()["result"]
    names = {category["id"]: category["name"] for category in CATEGORIES}
    labels = {region["id"]: region["value"]["labels"] for region in stored if is_label(region)}
    masks = {region["id"]: regions_mask([region]) for region in stored if not is_label(region)}
    assert labels.keys() == masks.keys()
    assert sorted((names[found["category_id"]], found["area"]) for found in truth) == sorted(
        (labels[name][0], mask.sum()) for name, mask in masks.items()
    )


def is_label(region):
    return region["type"] == "labels"


def test_label_studios_own_export_beside_ours(api, project_id, data_set, out):
    """Print the table of docs/coco.md: `pytest -s -k own_export tests/browser/test_coco.py`."""
    truth, ours = COCO(data_set / "instances.json"), COCO(out / "instances.json")
    archive = requests.get(
        f"{api.url}/api/projects/{project_id}/export?exportType=BRUSH_TO_COCO",
        headers={"Authorization": api.authorization()},
        timeout=120,
    ).content
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        theirs = json.loads(files.read("result_coco.json"))
        files_in_images = sum(
            name.startswith("images/") and name[-1] != "/" for name in files.namelist()
        )
    ring = next(found for found in truth.anns.values() if found["area"] == 40_000)
    ours_ring = ours.anns[ring["id"]]
    theirs_ring = [
        found
        for found in theirs["annotations"]
        if found["image_id"] == 0 and found["bbox"][0] in (100, 400) and found["bbox"][1] == 100
    ]
    filled = sum(
        int(coco_masks.area(coco_masks.merge(coco_masks.frPyObjects(polygons, *SIZE_HW))))
        for polygons in (found["segmentation"] for found in theirs_ring)
    )
    rows = [
        ("regions / annotations", len(theirs["annotations"]), len(ours.anns), len(truth.anns)),
        ("annotations of the ring with a second part", len(theirs_ring), 1, 1),
        ("pixels that its segmentation fills", filled, ours.annToMask(ours_ring).sum(), 40_000),
        ("its area", [found["area"] for found in theirs_ring], ours_ring["area"], 40_000),
        (
            "identical masks",
            sum(any(is_mask_of(t, m) for t in theirs["annotations"]) for m in masks_of(truth)),
            sum(
                np.array_equal(ours.annToMask(ours.anns[number]), truth.annToMask(found))
                for number, found in truth.anns.items()
            ),
            len(truth.anns),
        ),
        ("images", len(theirs["images"]), len(ours.imgs), len(truth.imgs)),
        ("image files", files_in_images, len(ours.imgs), len(truth.imgs)),
        (
            "categories",
            [(c["id"], c["name"]) for c in theirs["categories"]],
            [(c["id"], c["name"]) for c in ours.cats.values()],
            [(c["id"], c["name"]) for c in CATEGORIES],
        ),
    ]
    print("\n| | Label Studio's BRUSH_TO_COCO | export-coco | true |\n|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    for name, _, mine, true in rows:
        assert mine == true, name


def is_mask_of(found, mask):
    polygons = [ring for ring in found["segmentation"] if len(ring) >= 6]
    if not polygons:
        return False
    rle = coco_masks.merge(coco_masks.frPyObjects(polygons, *mask.shape))
    return np.array_equal(coco_masks.decode(rle), mask)


def masks_of(coco):
    return [coco.annToMask(found) for found in coco.anns.values()]


def test_imported_masks_are_drawn(labeling_page, api, project_id, data_set):
    """Imported regions are where they belong; "empty.png" is the same image without them."""
    tasks = {
        task["data"]["image"].rpartition("-")[2]: task["id"]
        for task in iterate_tasks(api, project_id)
    }
    page = labeling_page
    page.look_at(project_id, tasks["empty.png"], size_hw=SIZE_HW)
    bare = page.seen()
    page.look_at(project_id, tasks["scene.png"], size_hw=SIZE_HW)
    page.expect_mask(np.any(masks_of_first_image(data_set), axis=0), before=bare)
    page.save_screenshot("1_imported")


def masks_of_first_image(data_set):
    coco = COCO(data_set / "instances.json")
    return [coco.annToMask(found) for found in coco.loadAnns(coco.getAnnIds(imgIds=[1]))]


def test_picture_of_exported_masks_over_their_image(out, request):
    """Draw the picture of docs/coco.md."""
    coco = COCO(out / "instances.json")
    image = cv2.imread(str(out / "images" / coco.imgs[1]["file_name"]))
    colors = np.random.default_rng(1).integers(60, 256, (20, 3))
    for color, found in zip(colors, coco.loadAnns(coco.getAnnIds(imgIds=[1])), strict=False):
        mask = coco.annToMask(found).astype(bool)
        image[mask] = 0.35 * image[mask] + 0.65 * color
        x, y, width, height = map(round, found["bbox"])
        cv2.rectangle(image, (x, y), (x + width, y + height), color.tolist(), 1)
    folder = request.config.rootpath / "runs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(folder / "exported_masks.jpg"), image)
