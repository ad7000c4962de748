"""Regions that prompt, as Label Studio sends them, and the prompts that they are."""

from recordings import recording

from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.prompts import Point, Prompt, Rectangle
from backend.labeling.read_prompts import read_prompts

CONFIG = parse_labeling_config(
    """<View><Image name="image" value="$image"/><Image name="other" value="$other"/>
    <BrushLabels name="brush" toName="image,other"><Label value="Cat"/></BrushLabels>
    <KeyPointLabels name="keypoint" toName="image,other"><Label value="Cat"/></KeyPointLabels>
    <RectangleLabels name="rectangle" toName="image"><Label value="Cat"/></RectangleLabels>
    <RectangleLabels name="plain" toName="image" smart="false"/>
    <Labels name="labels" toName="image"><Label value="Cat"/></Labels>
    <KeyPoint name="kp" toName="image"/><Rectangle name="rect" toName="image"/></View>"""
)


def clicks(*positive, negative=(), labels=("Cat",), item_index=None, image_rotation=0):
    """A prompt of points (x, y) in percent."""
    points = [Point(*xy, is_positive=True) for xy in positive]
    points += [Point(*xy, is_positive=False) for xy in negative]
    return Prompt("image", item_index, labels, image_rotation, tuple(points))


def drag(region_id, sides, rotation=0.0):
    """A prompt of one rectangle (x, y, width, height) in percent of an image of 4:3."""
    rectangle = Rectangle(*sides, rotation, 4 / 3, f"region {region_id!r}")
    return Prompt("image", None, ("Cat",), 0, rectangle=rectangle)


def point(x=50.0, y=40.0, *, is_positive=True, **fields):
    region = {
        "id": "p",
        "from_name": "keypoint",
        "to_name": "image",
        "type": "keypointlabels",
        "value": {"x": x, "y": y, "width": 0.2, "keypointlabels": ["Cat"]},
        "is_positive": is_positive,
    }
    return region | fields


def rectangle(x=20.0, y=20.0, width=40.0, height=30.0, rotation=0, **fields):
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    region = {
        "id": "r",
        "from_name": "rectangle",
        "to_name": "image",
        "type": "rectanglelabels",
        "value": {**value, "rectanglelabels": ["Cat"]},
        "original_width": 200,
        "original_height": 100,
    }
    return region | fields


def without(region, field):
    return {name: value for name, value in region.items() if name != field}


def recorded(name):
    body = recording(name)["body"]
    context = body["params"]["context"] or {"result": []}  # null: a task was opened, or a batch
    return context["result"], parse_labeling_config(body["label_config"])


def read(*regions):
    """Each prompt as (x, y, is_positive) of its points, and its rectangle's corner or None."""
    return [
        (
            [(point.x_pct, point.y_pct, point.is_positive) for point in prompt.points],
            prompt.rectangle and (prompt.rectangle.x_pct, prompt.rectangle.y_pct),
        )
        for prompt in read_prompts(regions, CONFIG)
    ]
