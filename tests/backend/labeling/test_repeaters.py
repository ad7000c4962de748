"""A config with a Repeater, as the editor of Label Studio 1.23 shows it for a task."""

import pytest

from backend.commands.connect.clicks import find_target
from backend.commands.connect.config_completion import complete_labeling_config
from backend.core.errors import DatasetError, ImageError, LabelingConfigError
from backend.datasets.coco_tasks import Kind, TaskMaker
from backend.datasets.image_fields import ImageFields
from backend.datasets.labelled_tasks import LabelledTask
from backend.labeling.config import MOST_REPEATED
from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.read_prompts import read_prompts
from backend.labeling.repeaters import LONGEST_NUMBERED

REPEATER = """<View>
<Image name="cover" value="$cover"/>
<Repeater on="$pages" indexFlag="{{idx}}" mode="pagination">
  <View><Image name="page_{{idx}}" value="$pages[{{idx}}].url"/></View>
  <Labels name="label_{{idx}}" toName="page_{{idx}}"><Label value="Object"/></Labels>
  <KeyPoint name="point_{{idx}}" toName="page_{{idx}}" smart="true"/>
  <Brush name="mask_{{idx}}" toName="page_{{idx}}" smart="false"/>
</Repeater></View>
"""
DATA = {"cover": "/c.png", "pages": [{"url": "/0.png"}, {"url": "/1.png"}]}
TASK = {"id": 7, "data": DATA}


def shown(data=DATA, xml=REPEATER):
    return parse_labeling_config(xml).of_task(data)


def test_tags_of_a_repeater_are_there_for_each_item():
    config = shown()
    assert {name: tag.data_key for name, tag in config.images.items()} == {
        "cover": "cover",
        "page_0": "pages[0].url",
        "page_1": "pages[1].url",
    }
    assert [control.name for control in config.prompt_controls] == ["point_0", "point_1"]
    control = config.mask_control("page_1", ("Object",))
    assert (control.name, control.labels_control) == ("mask_1", "label_1")
    assert not config.takes("cover", ("Object",))


NUMBERED_LABEL = REPEATER.replace('value="Object"', 'value="Object {{idx}}"')


def test_label_has_the_number_of_its_item():
    """Tried in Label Studio 1.23.2: its editor offers it so, and a click brings it along."""
    config = shown(xml=NUMBERED_LABEL)
    assert [control.labels for control in config.prompt_controls] == [("Object 0",), ("Object 1",)]
    assert config.mask_control("page_1", ("Object 1",)).name == "mask_1"
    assert not config.takes("page_1", ("Object 0",))


def test_config_without_a_repeater_is_the_same_for_every_task():
    config = parse_labeling_config('<View><Image name="image" value="$image"/></View>')
    assert config.of_task(DATA) is config


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"cover": "/c.png"}, id="no-list"),
        pytest.param({"pages": "/0.png"}, id="text"),
        pytest.param({"pages": []}, id="empty"),
        pytest.param(None, id="no-data"),
    ],
)
def test_task_without_items_shows_what_is_outside_alone(data):
    config = shown(data)
    assert list(config.images) == ["cover"]
    assert config.prompt_controls == config.mask_controls == ()


@pytest.mark.parametrize(
    "xml",
    [
        pytest.param(REPEATER.replace("{{idx}}", "#"), id="another-flag"),
        pytest.param(REPEATER.replace(' indexFlag="{{idx}}"', ""), id="flag-by-default"),
        pytest.param(
            REPEATER.replace("Repeater", "repeater").replace("indexFlag", "indexflag"),
            id="lower-case",
        ),
    ],
)
def test_repeater_is_read_however_it_is_written(xml):
    assert list(shown(xml=xml).images) == ["cover", "page_0", "page_1"]


def test_click_on_an_item_prompts_on_its_image():
    region = {"id": "r", "to_name": "page_1", "is_positive": True}
    value = {"x": 20, "y": 20, "width": 0.2}
    sent = [
        {**region, "type": "keypoint", "from_name": "point_1", "value": value},
        {
            **region,
            "type": "labels",
            "from_name": "label_1",
            "value": {**value, "labels": ["Object"]},
        },
    ]
    (prompt,) = read_prompts(sent, shown())
    assert (prompt.to_name, prompt.labels) == ("page_1", ("Object",))


def test_repeater_in_a_repeater_is_refused():
    nested = REPEATER.replace("<View><Image", '<Repeater on="$x"><Image').replace(
        '.url"/></View>', '.url"/></Repeater>'
    )
    with pytest.raises(LabelingConfigError, match="inside another"):
        parse_labeling_config(nested)


@pytest.mark.parametrize("text", ["page_{{idx}}", "$pages[{{idx}}].url"])
def test_long_text_that_each_item_would_have_is_refused(text):
    long = REPEATER.replace(text, text + "x" * LONGEST_NUMBERED)
    with pytest.raises(LabelingConfigError) as caught:
        parse_labeling_config(long)
    assert caught.value.reason.startswith("Repeater has a text of 10")
    long = REPEATER.replace('value="Object"', f'value="{"x" * 2000}"')  # all items share that
    assert len(shown(xml=long).images) == 3


@pytest.mark.parametrize(
    ("xml", "tags"),
    [pytest.param(REPEATER, 4, id="tags"), pytest.param(NUMBERED_LABEL, 6, id="labels")],
)
def test_more_than_anybody_could_label_is_refused(xml, tags):
    with pytest.raises(LabelingConfigError, match=f"times its {tags} tags"):
        shown({"pages": [{}] * (MOST_REPEATED + 1)}, xml)


def test_test_click_goes_to_the_first_item():
    target = find_target(parse_labeling_config(REPEATER), TASK)
    assert target.tag.name == "page_0"
    assert [region["from_name"] for region in target.prompts((50, 50))] == ["point_0", "label_0"]


def test_test_click_on_a_task_without_items_says_so():
    outside = '<Image name="cover" value="$cover"/>'
    config = parse_labeling_config(REPEATER.replace(outside, ""))
    with pytest.raises(ImageError, match="task 7 has no item in 'pages'"):
        find_target(config, {"id": 7, "data": {"pages": []}})


def test_export_finds_the_image_of_each_item():
    task = LabelledTask(7, DATA)
    images, missing = ImageFields(parse_labeling_config(REPEATER)).images(task, [])
    assert {name: image.uri for (name, _), image in images.items()} == {
        "cover": "/c.png",
        "page_0": "/0.png",
        "page_1": "/1.png",
    }
    assert missing == []


def test_import_of_coco_into_a_repeater_is_refused():
    with pytest.raises(DatasetError, match="has a Repeater"):
        TaskMaker(parse_labeling_config(REPEATER), "brush", Kind.ANNOTATIONS, max_pixels=100)


def test_what_a_repeater_lacks_is_added_with_its_placeholder():
    bare = """<View><Repeater on="$pages">
      <Image name="page_{{idx}}" value="$pages[{{idx}}]"/>
      <BrushLabels name="mask_{{idx}}" toName="page_{{idx}}"><Label value="Cat"/></BrushLabels>
    </Repeater></View>"""
    completed = complete_labeling_config(bare)
    config = parse_labeling_config(completed.xml).of_task({"pages": ["/0.png", "/1.png"]})
    assert [control.name for control in config.prompt_controls] == [
        *("point_0", "point_1", "box_0", "box_1"),
    ]
