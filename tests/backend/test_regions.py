import json
from pathlib import Path

import numpy as np
import pytest

from backend.brush import decode_brush
from backend.labeling_config import parse_labeling_config
from backend.prompts import Point, Prompt
from backend.regions import mask_region

RECORDINGS = Path(__file__).parents[1] / "golden" / "label_studio"
CLICK = (Point(50.0, 40.0, is_positive=True),)


def recording(name):
    return json.loads((RECORDINGS / f"{name}.json").read_text())


def answer(name, prompt, mask=None, score=0.9):
    """The results for a mask in the project that a request was recorded in."""
    config = parse_labeling_config(recording(name)["body"]["label_config"])
    control = config.mask_control(prompt.to_name, prompt.labels)
    mask = np.eye(3, 4, dtype=bool) if mask is None else mask
    return mask_region(mask, control=control, prompt=prompt, score=score)


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
    [region] = mask_region(np.eye(2, dtype=bool), control=control, prompt=prompt, score=1.0)
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
