"""Every config of docs/labeling-configs.md in a real Label Studio: opened, clicked by its keys."""

import json
import re
from pathlib import Path

import pytest

from backend.datasets.export_coco import ExportOptions, run_export
from backend.images.samples import png_bytes
from backend.label_studio import projects
from backend.settings.settings import Settings
from mobilesam.scenes import generate_scene

pytestmark = pytest.mark.browser

PAGE = (Path(__file__).parents[2] / "docs" / "labeling-configs.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
CONFIGS = {title: text for title, text in SECTIONS.items() if "```xml" in text}

SIZE_HW = (480, 640)
SECOND_XY = 180, 340  # on an object of the second scene
ELLIPSE_XY, ANOTHER_XYXY = (500, 180), (208, 113, 340, 242)


@pytest.fixture(scope="module")
def pictures(api):
    """What tasks hold to show a scene, and another one."""
    project_id = projects.create_project(api, "Pictures", projects.LABELING_CONFIG)
    files = [(f"{seed}.png", png_bytes(generate_scene(seed, SIZE_HW).image)) for seed in (9, 10)]
    return projects.upload_files(api, project_id, files)


def new_task(api, backend, pictures, labeling_config):
    """(project id, task id): the scene is in every field, and both are in one with a list."""
    project_id = projects.create_project(api, "Labeling config", labeling_config)
    projects.connect_backend(api, project_id, backend.url)
    data = dict.fromkeys(re.findall(r'value="\$(\w+)"', labeling_config), pictures[0])
    data |= dict.fromkeys(re.findall(r'valueList="\$(\w+)"', labeling_config), pictures)
    items = [{"image": picture} for picture in pictures]
    data |= dict.fromkeys(re.findall(r'on="\$(\w+)"', labeling_config), items)
    task = api.post_json("/api/tasks/", {"project": project_id, "data": data})
    return project_id, task["id"]


def gestures(text):
    """Tool key, label key ("" if there is none), and click or drag, as a section's keys say."""
    keys = re.search(r"^Keys: (.+)$", text, re.MULTILINE)[1]
    found = re.findall(r"\*\*(\w)\*\*(?: then \*\*(\w)\*\*)? and (click|drag)", keys)
    assert len(found) == keys.count(" and ")
    return found


def labels(region):
    return region["value"].get(region["type"], region["value"].get("labels", []))


def test_page_has_a_config_for_each_use():
    assert len(CONFIGS) == 11
    assert CONFIGS["Clicks and boxes, brush masks"].count(projects.LABELING_CONFIG) == 1


@pytest.mark.parametrize("title", CONFIGS)
def test_config_gives_the_masks_that_its_page_says(labeling_page, api, backend, pictures, title):
    text, page = CONFIGS[title], labeling_page
    [xml] = re.findall(r"```xml\n(.*?)```", text, re.DOTALL)
    [kind] = re.findall(r"Gives `(\w+)`", text)
    faults = []
    page.page.on("pageerror", lambda error: faults.append(str(error)))
    if xml.count("<Image ") > 1:
        page.stage, page.image = page.stage.last, page.image.last
    page.open(*new_task(api, backend, pictures, xml), size_hw=SIZE_HW)
    is_labelled = "<Label " in xml
    for tool, label, gesture in gestures(text):
        page.page.keyboard.press(tool.lower())
        if label:
            page.page.keyboard.press(label)
        answered = page.click(ELLIPSE_XY) if gesture == "click" else page.drag(ANOTHER_XYXY)
        assert {region["type"] for region in answered.regions} - {"labels"} == {kind}
        assert answered.mask.any()
        if is_labelled:
            assert all(labels(region) for region in answered.regions if region["type"] != "brush")
        page.accept()
    page.save_screenshot("accepted")
    stored = page.submit()["result"]
    shapes = [region for region in stored if region["type"] == kind]
    assert len(shapes) >= len(gestures(text))
    if is_labelled and kind == "brush":
        assert sum(region["type"] == "labels" for region in stored) == len(shapes)
    assert faults == []


def test_left_one_of_two_images_has_its_tool_in_its_toolbar(labeling_page, api, backend, pictures):
    [xml] = re.findall(r"```xml\n(.*?)```", CONFIGS["Two images side by side"], re.DOTALL)
    page = labeling_page
    page.stage, page.image = page.stage.first, page.image.first
    page.open(*new_task(api, backend, pictures, xml), size_hw=SIZE_HW)
    page.page.locator(".lsf-toolbar").first.locator(".lsf-tool").last.click()
    page.page.keyboard.press("1")
    answered = page.click(ELLIPSE_XY)
    assert {region["to_name"] for region in answered.regions} == {"before"}
    page.accept()
    page.save_screenshot("accepted")


def test_label_key_pressed_again_deselects_a_shared_label(labeling_page, api, backend, pictures):
    [xml] = re.findall(r"```xml\n(.*?)```", CONFIGS["Shared labels"], re.DOTALL)
    page = labeling_page
    page.open(*new_task(api, backend, pictures, xml), size_hw=SIZE_HW)
    page.pick("k", "1")
    page.click(ELLIPSE_XY)
    page.accept()
    page.pick("r", "1")
    answered = page.drag(ANOTHER_XYXY)
    assert [region["type"] for region in answered.regions] == ["brush"]


def test_each_item_of_a_repeater_is_clicked_on_its_own_page(
    labeling_page, label_studio, api, backend, pictures, tmp_path
):
    [xml] = re.findall(r"```xml\n(.*?)```", CONFIGS["A page for each item"], re.DOTALL)
    page = labeling_page
    project_id, task_id = new_task(api, backend, pictures, xml)
    page.open(project_id, task_id, size_hw=SIZE_HW)
    page.turn_to_second_image()
    page.page.wait_for_load_state("networkidle")
    bare = page.seen()
    page.pick("m", "3")
    answered = page.click(SECOND_XY)
    assert {(region["from_name"], region["to_name"]) for region in answered.regions} == {
        ("mask_1", "page_1")
    }
    page.expect_mask(answered.mask, before=bare)
    page.accept()
    page.submit()
    settings = Settings(
        label_studio_url=label_studio.url, label_studio_api_key=label_studio.login.token
    )
    report = run_export(ExportOptions(tmp_path, project_id=project_id), settings)
    assert report.problems == []
    coco = json.loads((tmp_path / "instances.json").read_text())
    [annotation] = coco["annotations"]
    [image] = [image for image in coco["images"] if image["id"] == annotation["image_id"]]
    assert image["file_name"].endswith("10.png")
    assert annotation["area"] == answered.mask.sum()


def test_project_of_two_images_takes_no_uploaded_files(api):
    [xml] = re.findall(r"```xml\n(.*?)```", CONFIGS["Two images side by side"], re.DOTALL)
    project_id = projects.create_project(api, "Two images", xml)
    scene = png_bytes(generate_scene(9, SIZE_HW).image)
    with pytest.raises(Exception, match="more than one data key"):
        projects.upload_files(api, project_id, [("scene.png", scene)])
