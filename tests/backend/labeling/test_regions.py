import json

import numpy as np
import pytest
import torch
from filled_polygons import polygons_mask
from recordings import recording

from backend.codecs.bitmask import decode_bitmask
from backend.codecs.brush import decode_brush
from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.prompts import Point, Prompt
from backend.labeling.regions import mask_regions
from mobilesam.masks import find_runs

CLICK = (Point(50.0, 40.0, is_positive=True),)


def answer(name, prompt, mask=None, score=0.9):
    """The results for a mask in the project that a request was recorded in."""
    config = parse_labeling_config(recording(name)["body"]["label_config"])
    control = config.mask_control(prompt.to_name, prompt.labels)
    mask = np.eye(3, 4, dtype=bool) if mask is None else mask
    return mask_regions(mask, control=control, prompt=prompt, score=score)


def test_region_is_the_one_that_the_browser_accepted():
    """Only the id, the origin and the exact run lengths are ours."""
    accepted = recording("answer_brush")["results"][0]["result"][0]
    rle = accepted["value"].pop("rle")
    mask = decode_brush(rle, 576, 768)
    [region] = answer("kp_1_positive", Prompt("image", None, ("Cat",), 0, CLICK), mask)
    np.testing.assert_array_equal(decode_brush(region["value"].pop("rle"), 576, 768), mask)
    assert region == {**accepted, "id": region["id"], "origin": "prediction"}


def test_region_is_ready_for_json():
    prompt = Prompt("image", None, ("Cat",), 0, CLICK)
    results = answer("kp_1_positive", prompt, score=np.float32(0.5))
    assert json.loads(json.dumps(results)) == results
    assert results[0]["score"] == 0.5


def test_region_has_the_size_of_the_mask_and_echoes_page_and_rotation():
    prompt = Prompt("image", 1, ("Cat",), 90, CLICK)
    [region] = answer("kp_multi_image_page_2", prompt, np.ones((5, 7), dtype=bool))
    assert (region["original_height"], region["original_width"]) == (5, 7)
    assert (region["item_index"], region["image_rotation"]) == (1, 90)


def test_runs_give_the_region_of_their_mask():
    prompt = Prompt("image", None, ("Cat",), 0, CLICK)
    mask = np.random.default_rng(0).random((7, 9)) > 0.5
    [region] = answer("kp_1_positive", prompt, mask)
    [from_runs] = answer("kp_1_positive", prompt, find_runs(torch.from_numpy(mask)))
    assert from_runs == region | {"id": from_runs["id"]}


def test_region_never_uses_an_id_again():
    prompt = Prompt("image", None, ("Cat",), 0, CLICK)
    ids = {answer("kp_1_positive", prompt)[0]["id"] for _ in range(50)}
    assert len(ids) == 50


def test_region_keeps_every_label():
    config = parse_labeling_config(
        '<View><Image name="i" value="$i"/><BrushLabels name="b" toName="i" choice="multiple">'
        '<Label value="Cat"/><Label value="Dog"/></BrushLabels></View>'
    )
    prompt = Prompt("i", None, ("Cat", "Dog"), 0, CLICK)
    control = config.mask_control("i", prompt.labels)
    [region] = mask_regions(np.eye(2, dtype=bool), control=control, prompt=prompt, score=1.0)
    assert region["value"]["brushlabels"] == ["Cat", "Dog"]


def test_region_of_a_shared_labels_control_is_a_mask_and_its_label_under_one_id():
    """The form that Label Studio 1.23.2 shows with its label, accepts, and saves itself.

    One result of type `brush` that carries `labels` is shown without a label; one of type `labels`
    that carries the mask is saved without its brush.
    """
    brush, labels = answer("kp_labels_tag", Prompt("image", None, ("Dog",), 0, CLICK))
    assert brush["id"] == labels["id"]
    assert (brush["from_name"], brush["type"]) == ("brush", "brush")
    assert sorted(brush["value"]) == ["format", "rle"]
    assert (labels["from_name"], labels["type"]) == ("labels", "labels")
    assert labels["value"] == {"labels": ["Dog"]}
    assert {brush["to_name"], labels["to_name"]} == {"image"}


@pytest.mark.parametrize("name", ["kp_no_labels", "kp_labels_tag"])
def test_region_of_a_prompt_without_label_is_a_mask_alone(name):
    [brush] = answer(name, Prompt("image", None, (), 0, CLICK))
    assert brush["type"] == "brush"
    assert sorted(brush["value"]) == ["format", "rle"]


OUTPUTS = ["brush", "bitmask", "polygon", "rectangle"]
TAGS = {output: output.title() for output in OUTPUTS}
# Two parts, the smaller one with a hole, and a speck.
MASK = np.zeros((60, 80), bool)
MASK[5:30, 10:50] = True
MASK[40:55, 50:70] = True
MASK[45:50, 55:65] = False
MASK[2, 2] = True


def regions_in(tag, *, shared_labels=False, labels=("Cat",), **options):
    """The results for `MASK` in a project whose only control for masks is of this tag."""
    label = '<Label value="Cat"/><Label value="Dog"/>'
    xml = f'<{tag}Labels name="m" toName="image">{label}</{tag}Labels>'
    if shared_labels:
        xml = f'<{tag} name="m" toName="image"/><Labels name="l" toName="image">{label}</Labels>'
    config = parse_labeling_config(f'<View><Image name="image" value="$image"/>{xml}</View>')
    prompt = Prompt("image", 1, labels, 90, CLICK)
    control = config.mask_control("image", labels)
    return mask_regions(MASK, control=control, prompt=prompt, score=0.75, **options)


def is_label(result):
    return result["type"] == "labels"


@pytest.mark.parametrize("shared_labels", [False, True], ids=["own-labels", "shared-labels"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_every_kind_of_region_has_what_the_editor_needs(output, shared_labels):
    results = regions_in(TAGS[output], shared_labels=shared_labels)
    assert json.loads(json.dumps(results)) == results
    for result in results:
        assert (result["original_height"], result["original_width"]) == MASK.shape
        assert (result["item_index"], result["image_rotation"]) == (1, 90)
        assert (result["score"], result["origin"]) == (0.75, "prediction")
    shapes = [result for result in results if not is_label(result)]
    assert (
        len({shape["id"] for shape in shapes}) == len(shapes) == (2 if output == "polygon" else 1)
    )
    if shared_labels:
        assert {shape["type"] for shape in shapes} == {output}
        assert {result["from_name"] for result in results if is_label(result)} == {"l"}
        assert [result["value"] for result in results if is_label(result)] == [
            {"labels": ["Cat"]}
        ] * len(shapes)
        assert [result["id"] for result in results[::2]] == [r["id"] for r in results[1::2]]
        assert not any("labels" in key for shape in shapes for key in shape["value"])
    else:
        assert len(shapes) == len(results)
        assert {shape["type"] for shape in shapes} == {f"{output}labels"}
        assert all(shape["value"][f"{output}labels"] == ["Cat"] for shape in shapes)


@pytest.mark.parametrize("output", ["bitmask", "polygon", "rectangle"])
def test_region_has_the_fields_that_the_browser_accepted(output):
    accepted = recording(f"answer_{output}")["results"][0]["result"][0]
    region = regions_in(TAGS[output])[0]
    assert set(region) == {*accepted, "item_index", "origin"}
    assert region["type"] == accepted["type"]
    assert set(region["value"]) == set(accepted["value"])


def test_bitmask_region_is_the_mask():
    [region] = regions_in("Bitmask")
    np.testing.assert_array_equal(
        decode_bitmask(region["value"]["imageDataURL"], *MASK.shape), MASK
    )


def filled(region):
    ring = np.array(region["value"]["points"]) / 100 * MASK.shape[::-1]
    return polygons_mask([ring], MASK.shape)


def test_polygon_regions_are_the_parts_of_the_mask():
    larger, smaller = regions_in("Polygon", polygon_tolerance_px=1)
    expected = MASK.copy()
    expected[2, 2] = False  # not deeper than the tolerance
    np.testing.assert_array_equal(filled(larger) | filled(smaller), expected)
    assert filled(larger)[10, 20]
    assert len(larger["value"]["points"]) == 4
    assert larger["value"]["closed"] is True
    assert len(regions_in("Polygon", polygon_tolerance_px=0)) == 3


def test_rectangle_region_is_the_tight_box():
    [region] = regions_in("Rectangle")
    value = region["value"]
    assert value["rotation"] == 0
    edges = value["x"], value["y"], value["x"] + value["width"], value["y"] + value["height"]
    assert np.multiply(edges, [0.8, 0.6, 0.8, 0.6]) == pytest.approx([2, 2, 70, 55])


@pytest.mark.parametrize("output", OUTPUTS)
def test_region_of_a_prompt_without_label_has_none(output):
    shapes = regions_in(TAGS[output], shared_labels=True, labels=())
    assert {shape["type"] for shape in shapes} == {output}
