"""The report: the same prompts for every method, intervals over images, paired differences."""

import json

import numpy as np
import pytest

from mobilesam.__main__ import main
from mobilesam.evaluation.report import (
    BOUNDARY_PX,
    Labelled,
    boundary_iou,
    differences,
    interval,
    measure,
    off_centre_point,
    rows,
)


def disc(radius, size=120, centre=60):
    y, x = np.mgrid[0:size, 0:size]
    return np.hypot(x - centre, y - centre) < radius


@pytest.fixture
def images():
    blank = np.zeros((120, 120, 3), np.uint8)
    return [
        Labelled("a", blank, [disc(8), disc(40), disc(2)], ["pea", "plate", "speck"], "kitchen"),
        Labelled("b", blank, [disc(8, centre=30)], ["pea"], "garden"),
    ]


def drawing(radius, asked=None):
    """Answer every prompt with a disc at its first point or its box's middle."""

    def open_image(image):
        def ask(prompt):
            if asked is not None:
                asked.append(prompt)
            if prompt.box_xyxy is None:
                x, y = prompt.points_xy[0]
            else:
                x, y = (
                    (prompt.box_xyxy[0] + prompt.box_xyxy[2]) / 2 - 0.5,
                    (prompt.box_xyxy[1] + prompt.box_xyxy[3]) / 2 - 0.5,
                )
            rows_, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
            return np.hypot(columns - x, rows_ - y) < radius

        return ask

    return open_image


def test_objects_are_divided_by_prompt_and_size(images):
    answers = measure(drawing(8), images)
    found = {(row["group"], row["prompt"]): row for row in rows(answers, ["size", "category"])}
    assert found["all", "box"]["objects"] == 3  # the speck is too small to count
    assert found["size small", "box"]["iou"][0] == 1
    assert found["size medium", "box"]["iou"][0] == pytest.approx((8 / 40) ** 2, abs=0.01)
    assert found["category plate", "click"]["objects"] == 1
    assert found["size small", "click"]["iou"][0] == 1
    assert found["size small", "off-centre click"]["iou"][0] < 1


def test_every_method_gets_the_same_prompts(images):
    one, other = [], []
    measure(drawing(8, one), images)
    measure(drawing(20, other), images)
    assert one == other


def test_clicks_are_counted_until_the_mask_is_good(images):
    answers = measure(drawing(8), images, clicks=4)
    by_category = {a.category: a.clicks for a in answers if a.prompt == "click"}
    assert by_category == {"pea": (1, 1), "plate": (5, 5)}
    (row,) = [
        row for row in rows(answers, []) if row["prompt"] == "click" and row["group"] == "all"
    ]
    assert row["clicks"] == [pytest.approx((1 + 5 + 1) / 3, abs=0.01)] * 2


def test_differences_are_paired_and_have_a_sign(images):
    better, worse = measure(drawing(8), images), measure(drawing(6), images)
    found = {
        (row["group"], row["prompt"]): row["difference"]
        for row in differences(better, worse, ["source"])
    }
    mean, low, high = found["source garden", "box"]
    assert mean > 0
    assert low == high == mean  # one image has no spread
    assert found["all", "box"][0] > 0
    assert differences(worse, better, [])[2]["difference"][0] < 0


def test_interval_resamples_images_and_is_the_same_each_time(images):
    answers = measure(drawing(8), images)
    one = interval(answers, lambda answer: answer.iou)
    assert one == interval(answers, lambda answer: answer.iou)
    assert one.low <= one.mean <= one.high
    assert one.low < one.high


def test_boundary_iou_sees_what_iou_does_not():
    outer, inner = disc(40), disc(39 - BOUNDARY_PX)
    assert (outer & inner).sum() / outer.sum() > 0.8
    assert boundary_iou(outer, inner) < 0.1
    assert boundary_iou(outer, outer) == 1


def test_off_centre_clicks_are_on_the_object_and_mostly_off_its_middle():
    mask = disc(20)
    points = np.array([off_centre_point(np.random.default_rng(i), mask) for i in range(200)])
    assert all(mask[int(y), int(x)] for x, y in points)
    assert np.median(np.hypot(*(points - 60).T)) > 10
    assert off_centre_point(np.random.default_rng(0), disc(1)) == (60, 60)


def test_evaluate_reports_differences_and_writes_json(tmp_path, capsys):
    file = tmp_path / "report.json"
    options = ["--checkpoint", "demo", "--device", "cpu", "--scenes", "2", "--json", str(file)]
    assert main(["evaluate", *options, "--against", "demo", "--by", "category"]) == 0
    content = json.loads(file.read_text())
    assert {row["difference"][0] for row in content["differences"]} == {0}
    assert len(content["answers"]) == 3 * content["rows"][0]["objects"]
    printed = capsys.readouterr().out
    assert "category shape" in printed
    assert "difference of IoU, the same prompts" in printed
